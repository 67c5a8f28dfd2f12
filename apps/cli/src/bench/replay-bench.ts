import { connectBus, type NatsBus } from '@flexpush/nats-bus';
import { isHttpReady } from '@flexpush/stack';
import { ChatClient, identityOf, type ChatIdentity } from '../chat-client';
import type { DrillContext } from '../drill/drill';
import type { OwnTarget } from '../drill/own-target';
import type { DrillHistory } from '../drill/history';
import type { DrillResult } from '../drill/run-drill';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { machine, runBenchDrill } from './bench-drill';
import { CpuMeter } from './cpu';
import { LogFill } from './log-fill';
import { readCounters, type Counters } from './metrics';
import { percentile, round } from './statistics';

export interface ReplaySettings {
  readonly records: number;
  /** Chats that the records belong to. */
  readonly sessions?: number;
  readonly sessionActors: number;
}

/** What happened between the wipe and the end of the catch-up. */
interface Replay {
  /** From FLUSHALL until every shard had caught up. */
  readonly totalMs: number;
  readonly nodes: readonly { readonly records: number; readonly ms: number; readonly recordsPerS: number }[];
  readonly cpuUsPerRecord: Record<string, number>;
  readonly rest: {
    readonly asked: number;
    readonly refused: number;
    readonly latenciesMs: readonly number[];
  };
}

const RECORDS_PER_SESSION = 50;
const RATE_BAR_PER_S = 20_000;
const NOTICE_BAR_MS = 5_000;
/** The live load beside: chats that are watched from outside while the log is folded again. */
const WATCHED_SESSIONS = 100;
const WATCHED_RATE_PER_S = 20;
const LOOK_MS = 50;
const ASK_EVERY_MS = 100;
const QUIET_LOOKS = 10;
const CATCH_UP_MAX_MS = 600_000;
/** Unready soon after the wipe, or the wipe was not noticed at all. */
const NOTICE_MAX_MS = 30_000;

/**
 * Redis is emptied behind a log of many records. Measured: until every shard is folded again, how fast each node folded,
 * and what callers and customers met meanwhile.
 */
export async function runReplay(settings: ReplaySettings): Promise<BenchResult> {
  const loadBefore = machine();
  let replay: Replay | undefined;
  const { history, result } = await runBenchDrill({
    name: 'replay',
    needs: { sessionActors: settings.sessionActors },
    // Published is for as long as the bench takes.
    sizes: { sessions: WATCHED_SESSIONS, ratePerS: WATCHED_RATE_PER_S, seconds: 1 },
    run: async (context, target) => {
      const bus = await connectBus({ url: target.natsUrl, name: 'flexpush-bench' });
      try {
        await fill(settings, bus, context);
        await untilFolded(target, context);
        replay = await wipeAndWatch(context, target);
      } finally {
        await bus.close();
      }
    },
  });
  if (!replay) throw new Error('nothing was measured');
  return toResult(settings, replay, { history, result, loadBefore });
}

async function fill(settings: ReplaySettings, bus: NatsBus, context: DrillContext): Promise<void> {
  const { records } = settings;
  const sessions = settings.sessions ?? Math.max(1, Math.round(records / RECORDS_PER_SESSION));
  context.note(`writing ${records} records of ${sessions} chats`);
  const filled = await LogFill.open(bus, context.providers[0] ?? '');
  await filled.write({ records, sessions });
}

/** What was written is folded, pushed and confirmed. */
async function untilFolded(target: OwnTarget, context: DrillContext): Promise<void> {
  context.note('waiting until it is folded');
  let looks = 0;
  let before = -1;
  while (looks < QUIET_LOOKS) {
    const counters = await Promise.all(target.sessionActorUrls.map(readCounters));
    const commits = sum(counters, ({ recordsFolded }) => recordsFolded);
    const isIdle =
      sum(counters, ({ logWaiting, unsettled }) => logWaiting + unsettled) <= WATCHED_RATE_PER_S &&
      commits - before < RECORDS_PER_SESSION * WATCHED_RATE_PER_S;
    looks = isIdle ? looks + 1 : 0;
    before = commits;
    await context.pause(2 * ASK_EVERY_MS);
  }
}

async function wipeAndWatch(context: DrillContext, target: OwnTarget): Promise<Replay> {
  const caller = await RestCaller.start(target.chatApiUrls[0] ?? '');
  const before = await Promise.all(target.sessionActorUrls.map(readCounters));
  const meter = new CpuMeter(target.processes());
  const startedMs = performance.now();
  context.fault('FLUSHALL', 'all');
  await target.wipeRedis();
  const asking = caller.askEvery(ASK_EVERY_MS);
  try {
    const nodes = await Promise.all(
      target.sessionActorUrls.map((url, n) => watchNode(url, before[n]?.recordsFolded ?? 0, context)),
    );
    const totalMs = performance.now() - startedMs;
    const cpuUsPerRecord = meter.perItemUs(nodes.reduce((all, { records }) => all + records, 0));
    await asking.stop();
    const { asked, refused, latenciesMs } = caller;
    return { totalMs, nodes, cpuUsPerRecord, rest: { asked, refused, latenciesMs } };
  } finally {
    await asking.stop();
    await caller.close();
  }
}

/**
 * From the first shard that is not caught up to the moment when all are. Only readiness is looked at meanwhile: reading the
 * metrics twenty times per second cost the node as much as folding.
 */
async function watchNode(
  url: string,
  foldedBefore: number,
  context: DrillContext,
): Promise<Replay['nodes'][number]> {
  const until = async (wanted: boolean, maxMs: number, problem: string): Promise<number> => {
    const endMs = performance.now() + maxMs;
    while ((await isHttpReady(`${url}/readyz`)) !== wanted) {
      if (performance.now() > endMs) throw new Error(`${url} ${problem}`);
      await context.pause(LOOK_MS);
    }
    return performance.now();
  };
  const begunMs = await until(false, NOTICE_MAX_MS, 'does not notice that Redis is empty');
  const ms = round((await until(true, CATCH_UP_MAX_MS, 'does not catch up')) - begunMs, 0);
  const records = (await readCounters(url)).recordsFolded - foldedBefore;
  return { records, ms, recordsPerS: round((records * 1_000) / ms, 0) };
}

/** Asks for the transcript of one chat, again and again, as a customer's page would. */
class RestCaller {
  asked = 0;
  refused = 0;
  readonly latenciesMs: number[] = [];

  private constructor(
    private readonly client: ChatClient,
    private readonly identity: ChatIdentity,
  ) {}

  static async start(url: string): Promise<RestCaller> {
    const client = new ChatClient(url);
    return new RestCaller(client, identityOf(await client.requestChat({ nickname: 'Bench' })));
  }

  askEvery(intervalMs: number): { stop(): Promise<void> } {
    const underWay = new Set<Promise<void>>();
    const timer = setInterval(() => {
      const task = this.ask().finally(() => underWay.delete(task));
      underWay.add(task);
    }, intervalMs);
    return {
      stop: async () => {
        clearInterval(timer);
        await Promise.all(underWay);
      },
    };
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  private async ask(): Promise<void> {
    const startedMs = performance.now();
    this.asked++;
    const answer = await this.client
      .call('refresh', this.identity, { transcriptPosition: '1' })
      .catch(() => undefined);
    if (answer?.body.statusCode === 0) this.latenciesMs.push(performance.now() - startedMs);
    else this.refused++;
  }
}

function toResult(
  settings: ReplaySettings,
  replay: Replay,
  ran: { history: DrillHistory; result: DrillResult; loadBefore: ReturnType<typeof machine> },
): BenchResult {
  const { result, loadBefore } = ran;
  const { totalMs, nodes, cpuUsPerRecord, rest } = replay;
  const slowestPerS = Math.min(...nodes.map(({ recordsPerS }) => recordsPerS));
  const records = nodes.reduce((all, node) => all + node.records, 0);
  const replayBarMs = (records / nodes.length / RATE_BAR_PER_S) * 1_000;
  const bars = [
    atLeast('records/s per node', slowestPerS, RATE_BAR_PER_S),
    atMost('ms from FLUSHALL until all is folded again', round(totalMs, 0), NOTICE_BAR_MS + replayBarMs),
    ...result.limits.flatMap(({ name, value, limit }) =>
      limit === null ? [] : [atMost(name, value, limit)],
    ),
  ];
  return toBenchResult('replay', bars, {
    ...settings,
    machine: { ...loadBefore, loadAverage1MinAfter: machine().loadAverage1Min },
    totalMs: round(totalMs, 0),
    nodes,
    cpuUsPerRecord,
    rest: {
      asked: rest.asked,
      refused: rest.refused,
      p50Ms: round(percentile(rest.latenciesMs, 50)),
      maxMs: round(percentile(rest.latenciesMs, 100)),
    },
    pushes: { first: result.takeover, latenessMaxMs: result.latenessMaxMs, delivered: result.delivered },
  });
}

function sum(counters: readonly Counters[], of: (counter: Counters) => number): number {
  return counters.reduce((all, counter) => all + of(counter), 0);
}
