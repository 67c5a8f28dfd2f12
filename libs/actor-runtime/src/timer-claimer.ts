import { BOUNDS, type RecordOf } from '@flexpush/contracts';
import type { Clock, Log } from './ports';

export type Timer = [member: string, dueAtMs: number];

/** The numbers of a claimer; prom-client's counters and histograms fit. */
export interface ClaimMeter {
  readonly claimed: { inc(by: number): void };
  readonly appended: { inc(by: number): void };
  readonly failures: { inc(labels: { step: Step }): void };
  /** Looks at a shard that is held. */
  readonly held: { inc(): void };
  /** Looks at a shard whose fold is behind. */
  readonly behind: { inc(): void };
  /** From the due time to the moment the log has stored the record. */
  readonly latenessMs: { observe(latenessMs: number): void };
}

/** Where due timers are claimed (`TimerStore` of redis-store). */
export interface DueStore {
  claimDue(
    shard: number,
    options: { nowMs: number; visibilityMs: number; limit: number; foldedTo: number | undefined },
  ): Promise<
    | { kind: 'held' }
    | { kind: 'behind' }
    | { kind: 'claimed'; timers: Timer[]; nextDueAtMs: number | undefined }
  >;
}

/** Where firings go (`LogAppender` of nats-bus). */
export interface FireLog {
  append(
    shard: number,
    record: RecordOf<'timers.fired'>,
  ): Promise<{ kind: 'appended'; seq: number } | { kind: 'refused'; reason: string }>;
}

/** Timers in one claim, and so in one record. */
export const CLAIM_TIMERS_MAX = BOUNDS.timersPerRecord;
/** Shards that are claimed from at the same time. */
export const VISITS_IN_FLIGHT_MAX = 64;
/** Full batches in a row from one shard before the others get their turn. */
const CLAIMS_PER_VISIT_MAX = 16;
/** Turns are at least this far apart, so that timers a millisecond apart share a round trip. */
const TURN_GAP_MS = 2;
/** How soon a held shard is looked at again. */
const HELD_RETRY_MS = 100;
/** Records of a shard's timers that may be in the log and not folded yet. */
const UNFOLDED_MAX = 2;
/** How soon a shard whose fold is behind is looked at again; each time in a row after twice as long, up to the maximum. */
const BEHIND_RETRY_MS = 10;
const BEHIND_RETRY_MAX_MS = 80;
/** How soon the stores are asked for again while one is away. */
const AWAY_RETRY_MS = 100;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2_000;

type Step = 'claim' | 'append';

interface Plan {
  lookAtMs: number;
  /** Failed visits in a row. */
  failures: number;
  /** Looks in a row that found the fold behind. */
  behinds: number;
  /** Monotonic; undefined when nobody visits. */
  visitingSinceMs: number | undefined;
  /** The last UNFOLDED_MAX records in the log, the oldest first; times are monotonic. */
  appended: { seq: number; atMs: number }[];
}

/**
 * Turns due timers into `timers.fired` records: sleeps until the next one is due, claims it and appends it.
 *
 * C1 Never early by the given clock, which is the log's (`LogClock`): only timers whose due time has come are claimed.
 * C2 A timer is claimed before it is appended, and claims are not undone: what could not be appended comes back by the
 *    visibility time. So a crash between the two delays a timer and never loses it.
 * C3 Every owned shard is looked at once per look interval at the latest. A new timer is never due sooner than a second
 *    after it was written, so looks at most half a second apart see each one before it is due. These looks are aligned
 *    to the clock, so that all shards are asked in one pipelined round instead of one round trip each.
 * C4 A shard has at most one claim or append outstanding, and at most VISITS_IN_FLIGHT_MAX shards have one.
 * C5 At most UNFOLDED_MAX records of a shard's timers wait for its fold. What is claimed beyond that would come back by its
 *    visibility time before it is folded, and be claimed again: a fold that is behind would fall farther behind. What is
 *    not folded for that time may be lost with the log, so then the shard is claimed from again.
 * C6 A shard that fails backs off alone. While a store is known to be away nothing is claimed at all, since a claim
 *    that cannot be appended would cost its timers the visibility time.
 */
export class TimerClaimer {
  private readonly plans = new Map<number, Plan>();
  private readonly visits = new Set<Promise<void>>();
  private readonly troubles = new Map<Step, { sinceMs: number; failures: number }>();
  private running = false;
  private away: string | undefined;
  private cancelTimer: (() => void) | undefined;
  private wakeAtMs = Number.POSITIVE_INFINITY;
  private turnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly parts: {
      store: DueStore;
      fires: FireLog;
      clock: Clock;
      log: Log;
      metrics: ClaimMeter;
      /** `true`, or which store is away. */
      ready: () => true | string;
      visibilityMs: number;
      lookIntervalMs: number;
    },
  ) {}

  start(): void {
    this.running = true;
    this.turn();
  }

  /** Resolves when what was claimed is appended or refused. */
  async stop(): Promise<void> {
    this.running = false;
    this.cancelTimer?.();
    await Promise.all(this.visits);
  }

  /** The shards to claim from, from now on. New ones are looked at at once. */
  own(shards: readonly number[]): void {
    const owned = new Set(shards);
    for (const shard of this.plans.keys()) if (!owned.has(shard)) this.plans.delete(shard);
    for (const shard of owned)
      if (!this.plans.has(shard))
        this.plans.set(shard, {
          lookAtMs: Number.NEGATIVE_INFINITY,
          failures: 0,
          behinds: 0,
          visitingSinceMs: undefined,
          appended: [],
        });
    this.wakeBy(this.parts.clock.nowMs());
  }

  /** How long the slowest of the present visits has taken so far. */
  longestVisitMs(): number {
    const nowMs = this.parts.clock.monotonicMs();
    let longestMs = 0;
    for (const { visitingSinceMs } of this.plans.values())
      if (visitingSinceMs !== undefined) longestMs = Math.max(longestMs, nowMs - visitingSinceMs);
    return longestMs;
  }

  private turn(): void {
    this.wakeAtMs = Number.POSITIVE_INFINITY;
    if (!this.running) return;
    const nowMs = this.parts.clock.nowMs();
    if (!this.storesReady()) return this.wakeBy(nowMs + AWAY_RETRY_MS);
    this.turnedAtMs = nowMs;
    const farthestMs = nowMs + Math.max(this.parts.lookIntervalMs, BACKOFF_MAX_MS);
    let nextMs = this.nextLookMs(nowMs);
    for (const [shard, plan] of this.plans) {
      if (plan.visitingSinceMs !== undefined) continue;
      // A plan beyond every interval means that the clock was set back: do not sleep out the difference.
      const due = plan.lookAtMs <= nowMs || plan.lookAtMs > farthestMs;
      if (due && this.visits.size < VISITS_IN_FLIGHT_MAX) this.beginVisit(shard, plan);
      else if (!due) nextMs = Math.min(nextMs, plan.lookAtMs);
    }
    this.wakeBy(nextMs);
  }

  /** The end of a visit frees a place and may have planned something sooner. */
  private beginVisit(shard: number, plan: Plan): void {
    plan.visitingSinceMs = this.parts.clock.monotonicMs();
    const visit = this.visit(shard, plan).then(() => {
      plan.visitingSinceMs = undefined;
      const wasFull = this.visits.size >= VISITS_IN_FLIGHT_MAX;
      this.visits.delete(visit);
      this.wakeBy(wasFull ? this.parts.clock.nowMs() : plan.lookAtMs);
    });
    this.visits.add(visit);
  }

  private async visit(shard: number, plan: Plan): Promise<void> {
    const { clock } = this.parts;
    let answer: 'more' | { lookAtMs: number } | 'failed' = 'more';
    for (let claims = 0; answer === 'more' && claims < CLAIMS_PER_VISIT_MAX && this.running; claims++)
      answer = await this.claimOnce(shard, plan);
    if (answer === 'failed') {
      const backoffMs = Math.min(BACKOFF_FIRST_MS * 2 ** plan.failures, BACKOFF_MAX_MS);
      plan.failures++;
      plan.lookAtMs = clock.nowMs() + backoffMs;
      return;
    }
    plan.failures = 0;
    plan.lookAtMs = answer === 'more' ? clock.nowMs() : answer.lookAtMs;
  }

  private async claimOnce(shard: number, plan: Plan): Promise<'more' | { lookAtMs: number } | 'failed'> {
    const { store, clock, metrics, visibilityMs } = this.parts;
    let claim: Awaited<ReturnType<DueStore['claimDue']>>;
    try {
      claim = await store.claimDue(shard, {
        nowMs: clock.nowMs(),
        visibilityMs,
        limit: CLAIM_TIMERS_MAX,
        foldedTo: this.mustBeFolded(plan),
      });
    } catch (error) {
      return this.failed('claim', { shard, err: error });
    }
    this.succeeded('claim');
    if (claim.kind === 'held') {
      metrics.held.inc();
      return { lookAtMs: clock.nowMs() + HELD_RETRY_MS };
    }
    if (claim.kind === 'behind') {
      metrics.behind.inc();
      const delayMs = Math.min(BEHIND_RETRY_MS * 2 ** plan.behinds, BEHIND_RETRY_MAX_MS);
      plan.behinds++;
      return { lookAtMs: clock.nowMs() + delayMs };
    }
    plan.behinds = 0;
    const { timers, nextDueAtMs } = claim;
    if (timers.length > 0 && !(await this.append(shard, plan, timers))) return 'failed';
    if (timers.length >= CLAIM_TIMERS_MAX) return 'more';
    return { lookAtMs: Math.min(nextDueAtMs ?? Infinity, this.nextLookMs(clock.nowMs())) };
  }

  /** C5 */
  private mustBeFolded({ appended }: Plan): number | undefined {
    const [oldest] = appended;
    if (!oldest || appended.length < UNFOLDED_MAX) return undefined;
    const ageMs = this.parts.clock.monotonicMs() - oldest.atMs;
    return ageMs < this.parts.visibilityMs ? oldest.seq : undefined;
  }

  private async append(shard: number, plan: Plan, timers: Timer[]): Promise<boolean> {
    const { fires, clock, metrics } = this.parts;
    metrics.claimed.inc(timers.length);
    const answer = await fires
      .append(shard, { v: 1, type: 'timers.fired', timers })
      .catch((error: unknown) => ({ kind: 'refused' as const, reason: String(error) }));
    if (answer.kind === 'refused') {
      this.failed('append', { shard, reason: answer.reason, timers: timers.length });
      return false;
    }
    this.succeeded('append');
    plan.appended.push({ seq: answer.seq, atMs: clock.monotonicMs() });
    if (plan.appended.length > UNFOLDED_MAX) plan.appended.shift();
    metrics.appended.inc(timers.length);
    const nowMs = clock.nowMs();
    for (const [, dueAtMs] of timers) metrics.latenessMs.observe(nowMs - dueAtMs);
    return true;
  }

  /** One line when trouble begins; its repeats are in the metric, its end is the next line. */
  private failed(step: Step, facts: Record<string, unknown>): 'failed' {
    this.parts.metrics.failures.inc({ step });
    const trouble = this.troubles.get(step);
    if (trouble !== undefined) trouble.failures++;
    else {
      this.troubles.set(step, { sinceMs: this.parts.clock.monotonicMs(), failures: 1 });
      this.parts.log.warn({ step, ...facts }, 'timers.trouble');
    }
    return 'failed';
  }

  private succeeded(step: Step): void {
    const trouble = this.troubles.get(step);
    if (trouble === undefined) return;
    this.troubles.delete(step);
    const tookMs = Math.round(this.parts.clock.monotonicMs() - trouble.sinceMs);
    this.parts.log.info({ step, failures: trouble.failures, tookMs }, 'timers.recovered');
  }

  private storesReady(): boolean {
    const ready = this.parts.ready();
    const away = ready === true ? undefined : ready;
    if (away !== this.away) {
      if (away === undefined) this.parts.log.info({}, 'timers.resumed');
      else this.parts.log.warn({ reason: away }, 'timers.paused');
    }
    this.away = away;
    return away === undefined;
  }

  private nextLookMs(nowMs: number): number {
    const { lookIntervalMs } = this.parts;
    return (Math.floor(nowMs / lookIntervalMs) + 1) * lookIntervalMs;
  }

  /** Keeps one timer, for the earliest wish. */
  private wakeBy(atMs: number): void {
    if (!this.running || atMs >= this.wakeAtMs) return;
    this.cancelTimer?.();
    this.wakeAtMs = atMs;
    const nowMs = this.parts.clock.nowMs();
    const earliestMs = Math.max(atMs, Math.min(this.turnedAtMs, nowMs) + TURN_GAP_MS);
    this.cancelTimer = this.parts.clock.after(Math.max(0, Math.ceil(earliestMs - nowMs)), () => this.turn());
  }
}
