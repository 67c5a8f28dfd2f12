import { connectBus } from '@flexpush/nats-bus';
import type { RedisServer, Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { printProgress } from '../output';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { BenchProcess } from './bench-process';
import {
  BARE_BAR,
  CONNECTIONS,
  countPosts,
  shownPosts,
  withBareSender,
  withReceiver,
  type PostPhase,
} from './counted-posts';
import { processesOf } from './cpu';
import { LogFill } from './log-fill';
import { readCounters, readTimerCounters } from './metrics';
import { withPeerRedis } from './peer-redis';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { round, spread } from './statistics';
import type { BullmqResendSettings } from './processes/bullmq-resend';
import { sleep, until } from './wait';

export interface ResendSettings extends RoundsSettings {
  readonly subscriptions: number;
  /** In seconds. Whoever sends fewer than all subscriptions in this time always has one that is due. */
  readonly delay: number;
  readonly receiverMs: number;
  /** Of gms-node and of undici alone. */
  readonly connections: number;
}

interface Phase extends PostPhase {
  /** Timers fired, for each push that was sent: above 1 what fires replaces what has not been sent yet. */
  readonly firesPerPost?: number;
}

interface Parts {
  readonly stack: Stack;
  readonly peerRedis: RedisServer;
  readonly receiver: BenchProcess;
  readonly bare: BenchProcess;
  readonly bullmq: BenchProcess;
}

type Variant = 'flexpush' | 'bullmq' | 'undici';

const BULLMQ_BAR = 1.5;
const PROVIDER = 'bench';
const WARM_UP_MS = 2_000;
/** An undici that runs a little longer than it is looked at. */
const SLACK_MS = 500;
/** Longer than a commit takes when everything is busy. */
const QUIET_MS = 1_500;
/** Each shard has claimed all that is due long before. */
const FIRES_EACH = 3;

/**
 * Nobody ever confirms, so that every subscription is always due: timer -> log -> fold -> commit -> POST -> next timer,
 * against BullMQ's worker doing the same, and against undici alone.
 */
export async function runResend(settings: ResendSettings): Promise<BenchResult> {
  return withReceiver(settings.receiverMs, (receiver, url) =>
    withOwnStack(
      {
        stack: {
          logLevel: 'warn',
          counts: { 'chat-api': 0 },
          env: { 'gms-node': { FLEXPUSH_GMS_CONNECTIONS_MAX: String(settings.connections) } },
        },
        options: [
          ['push', 'pushEnabled', 'customhttp'],
          [`push.provider.${PROVIDER}`, 'customhttp.url', url],
          ['settings', 'flex-push-on-join', 'true'],
          ['settings', 'flex-push-resend-delay', String(settings.delay)],
          ['settings', 'flex-push-resend-attempts', '1000000'],
          // No ping meanwhile.
          ['settings', 'flex-push-timeout', '1728000'],
        ],
      },
      (stack) =>
        withPeerRedis((peerRedis) =>
          withBareSender(
            url,
            (bare) =>
              withBullmq({ url, peerRedis }, settings, (bullmq) =>
                measure({ stack, peerRedis, receiver, bare, bullmq }, settings),
              ),
            settings.connections,
          ),
        ),
    ),
  );
}

async function withBullmq<T>(
  { url, peerRedis }: { url: string; peerRedis: RedisServer },
  settings: ResendSettings,
  task: (bullmq: BenchProcess) => Promise<T>,
): Promise<T> {
  printProgress(`adding ${settings.subscriptions} jobs of BullMQ`);
  const bullmq = await BenchProcess.start('bullmq-resend', {
    redisPort: peerRedis.port,
    url,
    jobs: settings.subscriptions,
    resendDelayMs: settings.delay * 1_000,
    // Its worker is as fast with 100 as with 300, so more connections are of no use to it.
    concurrency: CONNECTIONS,
  } satisfies BullmqResendSettings);
  try {
    return await task(bullmq);
  } finally {
    await bullmq.stop();
  }
}

async function measure(parts: Parts, settings: ResendSettings): Promise<BenchResult> {
  const { bare, bullmq } = parts;
  await openChats(parts, settings.subscriptions);
  const lapMs = settings.seconds * 1_000;
  const figures = await alternate<Phase, Variant>(
    {
      flexpush: () => whileTimersFire(parts, () => lap(parts, lapMs, () => firedBy(parts))),
      bullmq: async () => {
        await bullmq.ask('resume');
        const phase = await lap(parts, lapMs);
        await bullmq.ask('pause');
        return phase;
      },
      undici: async () => {
        const running = bare.ask('run', WARM_UP_MS + lapMs + SLACK_MS);
        const phase = await lap(parts, lapMs);
        await running;
        return phase;
      },
    },
    settings,
  );
  const lost = await countLost(parts, settings.subscriptions);
  return toResult(figures, { lost, bullmqFailed: await bullmq.ask<number>('failed') }, settings);
}

/** From the first POST on: the warm-up, then what is measured. */
async function lap(
  { stack, receiver, bare, bullmq, peerRedis }: Parts,
  lapMs: number,
  fired?: () => Promise<number>,
): Promise<Phase> {
  const received = () => receiver.ask<number>('received');
  const atFirst = await received();
  await until(async () => (await received()) > atFirst, 'no POST comes');
  await sleep(WARM_UP_MS);
  const firedBefore = await fired?.();
  const processes = [...processesOf(stack), bare, bullmq, { name: 'bullmq-redis', pid: peerRedis.pid }];
  const { posts, ...phase } = await countPosts(receiver, processes, () => sleep(lapMs));
  const firedAfter = await fired?.();
  return firedBefore === undefined || firedAfter === undefined
    ? phase
    : { ...phase, firesPerPost: round((firedAfter - firedBefore) / posts) };
}

/** Resolves when each subscription has got its first push, and waits for a resend-timer. */
async function openChats({ stack, receiver }: Parts, count: number): Promise<void> {
  const [timer] = stack.servicesOf('resend-timer');
  await timer?.stop();
  printProgress(`opening ${count} chats that nobody refreshes`);
  const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
  try {
    await (await LogFill.open(bus, PROVIDER)).openChats(count);
  } finally {
    await bus.close();
  }
  await until(async () => (await receiver.ask<number>('received')) >= count, 'first pushes are missing');
}

/**
 * Between two rounds nothing is claimed, as if every resend-timer had died: the timers wait, fire late, and move their
 * base. So whatever is measured meanwhile has the machine for itself.
 */
async function whileTimersFire<T>({ stack, receiver }: Parts, task: () => Promise<T>): Promise<T> {
  const [timer] = stack.servicesOf('resend-timer');
  await timer?.start();
  try {
    return await task();
  } finally {
    await timer?.stop();
    await untilQuiet(stack, receiver);
  }
}

/** What fired is folded, and what was folded is sent. */
async function untilQuiet(stack: Stack, receiver: BenchProcess): Promise<void> {
  const actor = stack.servicesOf('session-actor')[0]?.url ?? '';
  let last = '';
  let quietSinceMs = performance.now();
  await until(async () => {
    const { recordsFolded, logWaiting } = await readCounters(actor);
    const now = `${recordsFolded} ${await receiver.ask<number>('received')}`;
    if (now !== last || logWaiting > 0) quietSinceMs = performance.now();
    last = now;
    return performance.now() - quietSinceMs > QUIET_MS;
  }, 'it does not become quiet');
}

async function firedBy({ stack }: Parts): Promise<number> {
  return (await readTimerCounters(stack.servicesOf('resend-timer')[0]?.url ?? '')).fired;
}

/** Subscriptions that are not pushed to any more: each is due at once, and so gets one more push at least. */
async function countLost(parts: Parts, subscriptions: number): Promise<number> {
  printProgress('looking whether every subscription still is pushed to');
  const { receiver } = parts;
  await receiver.ask('watch');
  const haveFired = async () => (await firedBy(parts)) >= FIRES_EACH * subscriptions;
  await whileTimersFire(parts, () => until(haveFired, 'timers do not fire'));
  return subscriptions - (await receiver.ask<number>('devicesSeen'));
}

function toResult(
  figures: Record<Variant, Phase[]>,
  { lost, bullmqFailed }: { lost: number; bullmqFailed: number },
  settings: ResendSettings,
): BenchResult {
  const rates = (name: Variant) => figures[name].map(({ postsPerS }) => postsPerS);
  const ratios = {
    'of bullmq': ratio(rates('flexpush'), rates('bullmq')),
    'of undici': ratio(rates('flexpush'), rates('undici')),
  };
  return toBenchResult(
    'resend',
    [
      atLeast('of bullmq', ratios['of bullmq'], BULLMQ_BAR),
      atLeast('of undici', ratios['of undici'], BARE_BAR),
      atMost('lost', lost, 0),
    ],
    {
      settings,
      flexpush: {
        ...shownPosts(figures.flexpush),
        firesPerPost: spread(figures.flexpush.map(({ firesPerPost }) => firesPerPost ?? Number.NaN)),
      },
      bullmq: { ...shownPosts(figures.bullmq), failed: bullmqFailed },
      undici: shownPosts(figures.undici),
    },
    ratios,
  );
}
