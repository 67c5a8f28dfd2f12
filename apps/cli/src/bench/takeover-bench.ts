import type { DrillContext } from '../drill/drill';
import { busiestOwner } from '../drill/drills-actor';
import type { DrillHistory, Fault } from '../drill/history';
import { backlogsAfter, takeoverAfter, type Takeover } from '../drill/judge-takeover';
import type { OwnTarget } from '../drill/own-target';
import type { DrillResult } from '../drill/run-drill';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { machine, runBenchDrill } from './bench-drill';
import { loseRestate, type RestateLosses } from './restate-losses';
import { percentile, round, spread } from './statistics';

/** How the owner is lost: SIGKILL, SIGSTOP and SIGCONT, or a cut to NATS and Redis. */
export const losses = ['kill', 'freeze', 'cut'] as const;
export type Loss = (typeof losses)[number];

export interface TakeoverSettings {
  readonly sessions: number;
  readonly rate: number;
  readonly runs: number;
  readonly loss: Loss;
  /** Whether Restate is killed too, to be compared with; only for `kill`. */
  readonly peers: boolean;
  readonly peerRuns: number;
  /** Events per second of Restate, which keeps up with fewer. */
  readonly peerRate: number;
}

export interface TakeoverRun extends Takeover {
  readonly what: string;
  /** From the loss until nothing was late any more. */
  readonly backlogMs: number;
}

/** Death shows at once; silence has to last before it counts. */
const GAP_BARS_MS: Record<Loss, number> = { kill: 1_000, freeze: 3_000, cut: 3_000 };
/** How many times longer Restate leaves its customers without a push. */
const OF_RESTATE = 'of restate';
const RESTATE_BAR = 1;
const AWAY_MS = 4_000;
const WARM_UP_MS = 5_000;
const SETTLED_LOOK_MS = 100;
const SETTLED_LOOKS = 10;
const SETTLE_MAX_MS = 120_000;
/** So much is always on its way: what comes in within this time. */
const UNTOLD_FEW_S = 0.2;
const UNTOLD_FEW = 5;

/**
 * A session-actor is lost under load, again and again. Measured from outside: from the loss to the first push, in a session
 * whose owner it was, of an event that was sent afterwards; and until nothing is late any more.
 */
export async function runTakeover(settings: TakeoverSettings): Promise<BenchResult> {
  const { sessions, rate, runs, loss } = settings;
  const loadBefore = machine();
  const { history, result } = await runBenchDrill({
    name: 'takeover',
    needs: { proxied: loss === 'cut' },
    // Published is for as long as the runs take.
    sizes: { sessions, ratePerS: rate, seconds: 1 },
    run: async (context, target) => {
      await settled(context, target);
      await context.pause(WARM_UP_MS);
      for (let run = 1; run <= runs; run++) {
        context.note(`run ${run} of ${runs}`);
        await lose(loss, context);
        await settled(context, target);
      }
    },
  });
  const restate =
    settings.peers && loss === 'kill'
      ? await loseRestate({ sessions, ratePerS: settings.peerRate, runs: settings.peerRuns })
      : undefined;
  return toResult(settings, { history, result, loadBefore, restate });
}

async function lose(loss: Loss, context: DrillContext): Promise<void> {
  if (loss === 'cut') {
    const { partition } = context.target;
    if (!partition) throw new Error('the network of this target cannot be cut');
    const shards = (await context.owners()).get(partition.nodeId) ?? new Set<number>();
    context.fault(`cut off ${partition.nodeId}`, shards);
    partition.cut();
    await context.pause(AWAY_MS);
    partition.heal();
    return;
  }
  const { victim, shards } = await busiestOwner(context);
  context.fault(`${loss} ${victim.name}`, shards);
  if (loss === 'freeze') await victim.freeze?.(AWAY_MS);
  else await victim.kill();
}

/** Every session-actor serves its share again, and hardly anybody waits for anything. */
async function settled(context: DrillContext, target: OwnTarget): Promise<void> {
  const endMs = performance.now() + SETTLE_MAX_MS;
  let looks = 0;
  while (looks < SETTLED_LOOKS) {
    const few = Math.max(UNTOLD_FEW, context.ratePerS * UNTOLD_FEW_S);
    const untold = context.untoldCount();
    const notReady = await target.notReady();
    if (performance.now() > endMs)
      throw new Error(
        `the system does not settle in ${SETTLE_MAX_MS / 1000} s: ${untold} events not told yet; ${notReady.join('; ') || 'all are ready'}`,
      );
    looks = untold <= few && notReady.length === 0 ? looks + 1 : 0;
    await context.pause(SETTLED_LOOK_MS);
  }
}

/** Exported for its spec. */
export function takeoverRuns(history: DrillHistory): TakeoverRun[] {
  const backlogs = backlogsAfter(history);
  return history.faults.flatMap((fault: Fault, run) => {
    const takeover = takeoverAfter(fault, history);
    return takeover ? [{ what: fault.what, ...takeover, backlogMs: backlogs[run] ?? 0 }] : [];
  });
}

interface Ran {
  readonly history: DrillHistory;
  readonly result: DrillResult;
  readonly loadBefore: ReturnType<typeof machine>;
  readonly restate: RestateLosses | undefined;
}

function toResult(settings: TakeoverSettings, ran: Ran): BenchResult {
  const { history, result, loadBefore, restate } = ran;
  const runs = takeoverRuns(history);
  const figures = (of: (run: TakeoverRun) => number) => {
    const values = runs.map(of);
    return { ...spread(values), p99: round(percentile(values, 99)) };
  };
  const gap = figures(({ firstMs }) => firstMs);
  // A run without a push would otherwise not be missed.
  const isWhole = runs.length === settings.runs;
  const ratios: Record<string, number> = restate
    ? { [OF_RESTATE]: isWhole ? round(restate.gapMs.median / gap.median) : Number.NaN }
    : {};
  const bars = [
    atMost(
      `p99 ms from the loss to the first push of an affected session`,
      isWhole ? gap.p99 : null,
      GAP_BARS_MS[settings.loss],
    ),
    ...Object.entries(ratios).map(([name, value]) => atLeast(name, value, RESTATE_BAR)),
    ...result.limits.flatMap(({ name, value, limit }) =>
      limit === null ? [] : [atMost(name, value, limit)],
    ),
  ];
  const metrics = {
    ...settings,
    machine: { ...loadBefore, loadAverage1MinAfter: machine().loadAverage1Min },
    published: result.published,
    skipped: result.skipped,
    gapMs: gap,
    lastShardMs: figures(({ shardMaxMs }) => shardMaxMs),
    backlogGoneMs: figures(({ backlogMs }) => backlogMs),
    latenessP50Ms: result.latenessP50Ms,
    ...(restate === undefined ? {} : { restate }),
    each: runs,
  };
  return toBenchResult('takeover', bars, metrics, ratios);
}
