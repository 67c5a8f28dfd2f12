import { LATE_MS } from '../drill/judge-takeover';
import { printProgress } from '../output';
import { INTERRUPTED_CODE, watchStopSignals } from '../up-signals';
import { ReliableLoad, type LoadPhase, type ReliableSystem, type Told } from './reliable-load';
import { RestateSystem } from './restate-system';
import { round, spread } from './statistics';
import { sleep } from './wait';

export interface RestateLossSettings {
  readonly sessions: number;
  readonly ratePerS: number;
  /** How often it is killed. */
  readonly runs: number;
}

/** What one loss has shown, from the kill on. */
export interface RestateLoss {
  /** To the first push of an event that was due afterwards; null when none came. */
  readonly gapMs: number | null;
  /** To the last push that was late. 0 when none was. */
  readonly backlogMs: number;
  /** Events without a push within the patience of the load. */
  readonly untold: number;
}

export interface RestateLosses extends RestateLossSettings {
  readonly awayMs: number;
  /** Before the first loss. */
  readonly calm: Pick<LoadPhase, 'p50Ms' | 'p99Ms'>;
  readonly gapMs: ReturnType<typeof spread>;
  readonly backlogGoneMs: ReturnType<typeof spread>;
  readonly each: readonly RestateLoss[];
}

const WARM_UP_S = 5;
const BEFORE_S = 1;
/** How long it is away: as a supervisor would start it again. */
const AWAY_MS = 1_000;
/** Load goes on for so long after the kill; what is on its way is awaited. */
const AFTER_S = 8;
const RETRY_MS = 20;
const PATIENCE_MS = 60_000;

/**
 * Restate's server is killed under the load of its reliable job and started again on the same data, as often as told. It
 * is one node, so every chat is affected. Whoever publishes tries again until it is taken, as soon as it is well again.
 */
export async function loseRestate(settings: RestateLossSettings): Promise<RestateLosses> {
  let restate: PatientRestate | undefined;
  const exit = () => process.exit(INTERRUPTED_CODE);
  const signals = watchStopSignals(exit);
  void signals.requested.then(() => restate?.close()).then(exit, exit);
  try {
    restate = new PatientRestate(await RestateSystem.start());
    return await loseAgainAndAgain(restate, settings);
  } finally {
    signals.dispose();
    await restate?.close();
  }
}

async function loseAgainAndAgain(
  restate: PatientRestate,
  settings: RestateLossSettings,
): Promise<RestateLosses> {
  const { sessions, ratePerS, runs } = settings;
  printProgress(`restate: opening ${sessions} chats`);
  const load = await ReliableLoad.open(restate, sessions);
  try {
    printProgress('restate: warming up');
    const calm = await load.openLoop({ seconds: WARM_UP_S, perSecond: ratePerS });
    const each: RestateLoss[] = [];
    for (let run = 1; run <= runs; run++) {
      printProgress(`restate: kill ${run} of ${runs}`);
      each.push(await lose(restate, load, ratePerS));
    }
    return summaryOf(settings, calm, each);
  } finally {
    await load.close();
  }
}

async function lose(restate: PatientRestate, load: ReliableLoad, ratePerS: number): Promise<RestateLoss> {
  const told: Told[] = [];
  let killedAtMs = 0;
  const breakIt = async (): Promise<void> => {
    await sleep(BEFORE_S * 1_000);
    killedAtMs = performance.now();
    await restate.killAndRestart(AWAY_MS);
  };
  await Promise.all([
    load.openLoop({
      seconds: BEFORE_S + AFTER_S,
      perSecond: ratePerS,
      onTold: (one) => told.push(one),
    }),
    breakIt(),
  ]);
  return lossOf(told, killedAtMs);
}

/** Exported for its spec. */
export function lossOf(told: readonly Told[], killedAtMs: number): RestateLoss {
  let firstAtMs = Number.POSITIVE_INFINITY;
  let lastLateAtMs = killedAtMs;
  let untold = 0;
  for (const { dueAtMs, latencyMs } of told) {
    if (latencyMs === undefined) {
      untold++;
      continue;
    }
    const atMs = dueAtMs + latencyMs;
    if (dueAtMs >= killedAtMs) firstAtMs = Math.min(firstAtMs, atMs);
    if (latencyMs > LATE_MS) lastLateAtMs = Math.max(lastLateAtMs, atMs);
  }
  return {
    gapMs: Number.isFinite(firstAtMs) ? round(firstAtMs - killedAtMs, 1) : null,
    backlogMs: round(lastLateAtMs - killedAtMs, 1),
    untold,
  };
}

function summaryOf(
  settings: RestateLossSettings,
  calm: LoadPhase,
  each: readonly RestateLoss[],
): RestateLosses {
  return {
    ...settings,
    awayMs: AWAY_MS,
    calm: { p50Ms: calm.p50Ms, p99Ms: calm.p99Ms },
    gapMs: spread(each.map(({ gapMs }) => gapMs ?? Number.NaN)),
    backlogGoneMs: spread(each.map(({ backlogMs }) => backlogMs)),
    each,
  };
}

/** Restate with clients that do not give up while it is away. */
class PatientRestate implements ReliableSystem {
  private up: Promise<void> = Promise.resolve();
  private events = 0;
  private closed: Promise<void> | undefined;

  constructor(private readonly restate: RestateSystem) {}

  get name(): string {
    return this.restate.name;
  }

  get processes() {
    return this.restate.processes;
  }

  open(count: number, receiverUrl: string): Promise<readonly string[]> {
    return this.restate.open(count, receiverUrl);
  }

  publish(chatId: string): Promise<void> {
    const key = `event-${this.events++}`;
    return this.untilTaken(() => this.restate.publish(chatId, key));
  }

  confirm(chatId: string): Promise<void> {
    return this.untilTaken(() => this.restate.confirm(chatId));
  }

  /** Resolves when it is well again. */
  async killAndRestart(awayMs: number): Promise<void> {
    const killed = this.restate.kill();
    this.up = killed.then(() => sleep(awayMs)).then(() => this.restate.restart());
    await this.up;
  }

  /** The load closes it too. */
  close(): Promise<void> {
    this.closed ??= this.restate.close();
    return this.closed;
  }

  /** Everybody waits until it is well instead of asking meanwhile, which would take its time from it. */
  private async untilTaken(ask: () => Promise<void>): Promise<void> {
    const endMs = performance.now() + PATIENCE_MS;
    for (;;) {
      await this.up;
      const problem = await ask().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (problem === undefined) return;
      if (performance.now() > endMs) throw problem;
      await sleep(RETRY_MS);
    }
  }
}
