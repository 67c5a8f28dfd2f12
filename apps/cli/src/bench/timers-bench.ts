import { connectBus, type NatsBus } from '@flexpush/nats-bus';
import { redisCommand, type RedisServer, type Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { printProgress } from '../output';
import { ArmedChats } from './armed-chats';
import { atLeast, atMost, toBenchResult, type Bar, type BenchResult } from './bench-result';
import { BenchProcess } from './bench-process';
import { CpuMeter, processesOf, type NamedProcess } from './cpu';
import { nextSeq, readFired } from './fired-timers';
import { readTimerCounters } from './metrics';
import { withPeerRedis } from './peer-redis';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { round, spread } from './statistics';
import { sleep, until } from './wait';
import type { BullmqTimersSettings, FiredJobs, ScheduleSettings } from './processes/bullmq-timers';

export interface TimersSettings extends RoundsSettings {
  readonly pending: number;
  /** Timers due per second. */
  readonly rate: number;
  /** Timers that are due at once, for the highest rate. */
  readonly atOnce: number;
}

interface Parts {
  readonly stack: Stack;
  readonly bus: NatsBus;
  readonly chats: ArmedChats;
  readonly peerRedis: RedisServer;
  readonly bullmq: BenchProcess;
}

/** What one lap has shown, of the product or of the peer. */
interface Lap {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly early: number;
  readonly lost: number;
  readonly again: number;
  /** Fired and folded per second, behind the warm-up. */
  readonly perS: number;
  readonly cpuUsPerTimer: Record<string, number>;
}

type Laps = Record<'flexpush' | 'bullmq', Lap[]>;

/** Timers that wait, and how many are due per second beside them. */
interface Point {
  readonly pending: number;
  readonly rate: number;
  readonly barsMs: { readonly p50?: number; readonly p99: number };
}

const CALM = { pending: 100_000, rate: 2_000, barsMs: { p50: 5, p99: 25 } };
const BUSY_BARS_MS = { p99: 50 };
const BULLMQ_BAR = 1.5;
const BYTES_BAR = 160;
const BYTES_OF_BULLMQ_BAR = 0.2;
/** A million jobs would need more than a gigabyte, and neither their size nor their lateness depends on how many wait. */
const BULLMQ_PENDING_MAX = 100_000;
const BULLMQ_PUSHES = 10_000;
/** Faster than 500. */
const BULLMQ_CONCURRENCY = 100;
const WARM_UP_S = 2;
/** The share of what is due at once that is not judged. */
const WARM_UP_SHARE = 0.2;
const LOOKS = { lookMs: 25, maxMs: 120_000 };

/** How late timers fire, what they cost, and how many can fire and be folded per second, against BullMQ's delayed jobs. */
export async function runTimers(settings: TimersSettings): Promise<BenchResult> {
  return withOwnStack(
    {
      stack: { logLevel: 'warn', counts: { 'gms-node': 0, 'gms-registry': 0, 'chat-api': 0 } },
      options: [],
    },
    (stack) =>
      withPeerRedis(async (peerRedis) => {
        const bullmq = await BenchProcess.start('bullmq-timers', {
          redisPort: peerRedis.port,
          concurrency: BULLMQ_CONCURRENCY,
        } satisfies BullmqTimersSettings);
        const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
        const chats = await ArmedChats.open(bus, stack);
        try {
          return await measure({ stack, bus, chats, peerRedis, bullmq }, settings);
        } finally {
          chats.close();
          await bus.close();
          await bullmq.stop();
        }
      }),
  );
}

async function measure(parts: Parts, settings: TimersSettings): Promise<BenchResult> {
  const [timer] = parts.stack.servicesOf('resend-timer');
  await timer?.stop();
  const points: { point: Point; laps: Laps }[] = [];
  const bytes = await fillAndWeigh(parts, settings);
  for (const point of pointsOf(settings)) {
    await parts.chats.addPending(point.pending);
    printProgress(`${point.pending} pending, ${point.rate} due per second`);
    const count = point.rate * (settings.seconds + WARM_UP_S);
    const schedule = { count, spreadMs: (count * 1_000) / point.rate, warmUp: point.rate * WARM_UP_S };
    points.push({ point, laps: await alternateLaps(parts, schedule, settings) });
  }
  printProgress(`${settings.atOnce} due at once`);
  const warmUp = Math.floor(settings.atOnce * WARM_UP_SHARE);
  const atOnce = await alternateLaps(parts, { count: settings.atOnce, spreadMs: 0, warmUp }, settings);
  return toResult({ bytes, points, atOnce }, settings);
}

/** The calm one comes first, because pending timers are only ever added. */
function pointsOf({ pending, rate }: TimersSettings): Point[] {
  const busy = { pending, rate, barsMs: BUSY_BARS_MS };
  const isCalm = pending <= CALM.pending && rate <= CALM.rate;
  return isCalm ? [{ ...busy, barsMs: CALM.barsMs }] : [CALM, busy];
}

function alternateLaps(parts: Parts, schedule: ScheduleSettings, settings: RoundsSettings): Promise<Laps> {
  return alternate<Lap, 'flexpush' | 'bullmq'>(
    { flexpush: () => lapOfProduct(parts, schedule), bullmq: () => lapOfBullmq(parts, schedule) },
    settings,
  );
}

interface Bytes {
  readonly perTimer: number;
  readonly perBullmqJob: number;
  readonly perBullmqJobWithPush: number;
}

/** Adds what waits, and returns how much memory of Redis each timer takes. */
async function fillAndWeigh(
  { stack, chats, peerRedis, bullmq }: Parts,
  { pending }: TimersSettings,
): Promise<Bytes> {
  const perItem = async (redis: RedisServer, items: number, add: () => Promise<unknown>): Promise<number> => {
    const before = await usedBytes(redis);
    await add();
    return round(((await usedBytes(redis)) - before) / items, 1);
  };
  const calm = Math.min(pending, CALM.pending);
  printProgress('adding pending timers and jobs');
  const perTimer = await perItem(stack.redis, calm, () => chats.addPending(calm));
  const jobs = Math.min(pending, BULLMQ_PENDING_MAX);
  const perBullmqJob = await perItem(peerRedis, jobs, () => bullmq.ask('addPending', jobs));
  const pushes = Math.min(pending, BULLMQ_PUSHES);
  const perBullmqJobWithPush = await perItem(peerRedis, pushes, () => bullmq.ask('addPushes', pushes));
  return { perTimer, perBullmqJob, perBullmqJobWithPush };
}

async function usedBytes({ port }: RedisServer): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(String(await redisCommand(port, 'INFO', 'memory')))?.[1]);
}

/** Arms the timers and lets a resend-timer fire them; afterwards the log tells when each fired. */
async function lapOfProduct(parts: Parts, schedule: ScheduleSettings): Promise<Lap> {
  const { stack, bus, chats } = parts;
  const { count, spreadMs, warmUp } = schedule;
  const [timer] = stack.servicesOf('resend-timer');
  if (timer === undefined) throw new Error('there is no resend-timer');
  await chats.prepare(count);
  await timer.start();
  try {
    const { url } = timer;
    const isReady = async () => (await readTimerCounters(url)).shardsOwned === chats.shardCount;
    await until(isReady, 'no timer is claimed', LOOKS);
    const fromSeq = await nextSeq(bus);
    const { armed, firstDueAtMs } = await chats.arm(count, spreadMs);
    const judgedFromMs = firstDueAtMs + (spreadMs * warmUp) / count;
    const folded = async () => count - (await chats.countNear());
    const { perS, cpuUsPerTimer } = await meter(parts, { ...schedule, judgedFromMs, done: folded });
    const fired = await readFired(bus, armed, { fromSeq, judgedFromMs });
    return { ...fired, perS, cpuUsPerTimer };
  } finally {
    await timer.stop();
  }
}

async function lapOfBullmq(parts: Parts, schedule: ScheduleSettings): Promise<Lap> {
  const { bullmq } = parts;
  const { count, spreadMs, warmUp } = schedule;
  const firstDueAtMs = await bullmq.ask<number>('schedule', schedule);
  // What is due at once waits until it is due, or the first ones would go ahead.
  if (spreadMs === 0) await sleep(firstDueAtMs - Date.now());
  await bullmq.ask('resume');
  const judgedFromMs = firstDueAtMs + (spreadMs * warmUp) / count;
  const { perS, cpuUsPerTimer } = await meter(parts, {
    ...schedule,
    judgedFromMs,
    done: () => bullmq.ask<number>('fired'),
  });
  await bullmq.ask('pause');
  const fired = await bullmq.ask<FiredJobs>('outcome');
  return { ...fired, lost: count - fired.fired, again: 0, perS, cpuUsPerTimer };
}

/** Waits until all is done; looks at rate and CPU from the end of the warm-up on. */
async function meter(
  { stack, bullmq, peerRedis }: Parts,
  lap: ScheduleSettings & { judgedFromMs: number; done: () => Promise<number> },
): Promise<Pick<Lap, 'perS' | 'cpuUsPerTimer'>> {
  const { count, spreadMs, warmUp, judgedFromMs, done } = lap;
  const processes: NamedProcess[] = [
    ...processesOf(stack),
    bullmq,
    { name: 'bullmq-redis', pid: peerRedis.pid },
  ];
  await sleep(judgedFromMs - Date.now());
  let atFirst = await done();
  // What is due at once is warm when the first of it are done.
  const isWarm = async () => spreadMs > 0 || (atFirst = await done()) >= warmUp;
  await until(isWarm, 'no timer fires', LOOKS);
  const cpu = new CpuMeter(processes);
  const startedMs = performance.now();
  await until(async () => (await done()) >= count, 'timers are not folded', LOOKS).catch(() => undefined);
  const items = (await done()) - atFirst;
  return {
    perS: round(items / ((performance.now() - startedMs) / 1_000), 0),
    cpuUsPerTimer: cpu.perItemUs(items),
  };
}

function toResult(
  measured: { bytes: Bytes; points: readonly { point: Point; laps: Laps }[]; atOnce: Laps },
  settings: TimersSettings,
): BenchResult {
  const { bytes, points, atOnce } = measured;
  const ours = [...points.map(({ laps }) => laps.flexpush), atOnce.flexpush].flat();
  const total = (of: (lap: Lap) => number) => ours.reduce((sum, lap) => sum + of(lap), 0);
  const rates = (laps: readonly Lap[]) => laps.map(({ perS }) => perS);
  const ratios = {
    'of bullmq': ratio(rates(atOnce.flexpush), rates(atOnce.bullmq)),
    'bytes of bullmq': round(bytes.perTimer / bytes.perBullmqJobWithPush),
  };
  return toBenchResult(
    'timers',
    [
      ...points.flatMap(barsOf),
      atLeast('of bullmq', ratios['of bullmq'], BULLMQ_BAR),
      atMost('bytes per timer', bytes.perTimer, BYTES_BAR),
      atMost('bytes of bullmq', ratios['bytes of bullmq'], BYTES_OF_BULLMQ_BAR),
      atMost(
        'early',
        total(({ early }) => early),
        0,
      ),
      atMost(
        'lost',
        total(({ lost }) => lost),
        0,
      ),
    ],
    {
      settings: { ...settings, bullmqConcurrency: BULLMQ_CONCURRENCY },
      bytes,
      paced: points.map(({ point: { pending, rate }, laps }) => ({
        pending,
        bullmqPending: Math.min(settings.pending, BULLMQ_PENDING_MAX),
        rate,
        flexpush: shown(laps.flexpush),
        bullmq: shown(laps.bullmq),
      })),
      atOnce: { flexpush: shown(atOnce.flexpush), bullmq: shown(atOnce.bullmq) },
    },
    ratios,
  );
}

function barsOf({ point, laps }: { point: Point; laps: Laps }): Bar[] {
  const { p50, p99 } = point.barsMs;
  const at = `at ${point.rate}/s with ${point.pending} pending`;
  const median = (of: (lap: Lap) => number) => spread(laps.flexpush.map(of)).median;
  return [
    ...(p50 === undefined
      ? []
      : [
          atMost(
            `p50 ms late ${at}`,
            median(({ p50Ms }) => p50Ms),
            p50,
          ),
        ]),
    atMost(
      `p99 ms late ${at}`,
      median(({ p99Ms }) => p99Ms),
      p99,
    ),
  ];
}

function shown(laps: readonly Lap[]) {
  const all = (of: (lap: Lap) => number) => spread(laps.map(of));
  return {
    p50Ms: all(({ p50Ms }) => p50Ms),
    p99Ms: all(({ p99Ms }) => p99Ms),
    maxMs: all(({ maxMs }) => maxMs),
    perS: all(({ perS }) => perS),
    early: laps.map(({ early }) => early),
    lost: laps.map(({ lost }) => lost),
    firedAgain: laps.map(({ again }) => again),
    cpuUsPerTimer: laps.at(-1)?.cpuUsPerTimer,
  };
}
