import type { Dispatcher } from './dispatcher';
import type { Ownership } from './ownership';
import type { Clock, Log, Meter, ShardStore } from './ports';
import { TIMER_LATE_MS, type AuditFindings } from './shard-audit';

export interface WatchdogSettings {
  settleDeadlineMs: number;
}

const LOOK_INTERVAL_MS = 1_000;
/** Shards that are audited in one look. */
const AUDITS_PER_LOOK = 4;
/** Shards whose earliest timer is looked at in one look. */
const TIMERS_PER_LOOK = 256;
/** A timer is claimed within half a second of its due time, or its shard is held; then its due time is moved on. */
const TIMER_OVERDUE_MS = 10_000;
/** An entry without a result is sent again by each deadline; after so many of them something is wrong. */
const SETTLE_DEADLINES_MAX = 3;
/** The same trouble is logged again after so long, and what an audit has found is shown so long. */
const REMIND_MS = 60_000;

type Trouble = 'timers' | 'outbox' | 'audit';

/**
 * Looks for what should have happened and did not, in the shards of this node, while everything seems well (I6): timers
 * that nobody claims, notifications that do not settle, and sessions whose timers are not stored. What it finds is said
 * in `/readyz` as a warning, in the log once a minute, and in metrics; what can be put back is, by the shard's own loop.
 *
 * H1. The work of one look is bounded by the constants above; the shards take turns.
 * H2. It changes nothing itself: `ShardActor.audit` does, between two commits.
 */
export class Watchdog {
  private readonly troubles = new Map<Trouble, { text: string; seenAtMs: number; toldAtMs: number }>();
  private nextAudit = 0;
  private nextTimers = 0;
  private looking = false;
  private overdueMs = 0;
  private cancelTick: () => void = () => undefined;
  private stopped = false;

  constructor(
    private readonly deps: {
      store: Pick<ShardStore, 'firstTimers'>;
      ownership: Ownership;
      dispatcher: Dispatcher;
      clock: Clock;
      logger: Log;
      meter: Meter;
    },
    private readonly settings: WatchdogSettings,
  ) {}

  start(): void {
    this.tick();
  }

  stop(): void {
    this.stopped = true;
    this.cancelTick();
  }

  /** True, or what was found within the last minute, in plain words. */
  warning(trouble: Trouble): true | string {
    const seen = this.troubles.get(trouble);
    return seen && this.deps.clock.monotonicMs() - seen.seenAtMs <= REMIND_MS ? seen.text : true;
  }

  /** How long the longest due of the timers that nobody has claimed is due. */
  timerOverdueMs(): number {
    return this.overdueMs;
  }

  notificationsOverdue(): { count: number; oldestMs: number } {
    return this.deps.dispatcher.overdue(SETTLE_DEADLINES_MAX * this.settings.settleDeadlineMs);
  }

  private tick(): void {
    if (this.stopped) return;
    this.cancelTick = this.deps.clock.after(LOOK_INTERVAL_MS, () => this.tick());
    this.lookAtOutbox();
    this.audit();
    // While Redis is away the question waits in its client; more of them would tell no more.
    if (this.looking) return;
    this.looking = true;
    this.lookAtTimers()
      .catch((error: unknown) => this.deps.logger.debug({ err: error }, 'watchdog.not-judged'))
      .finally(() => (this.looking = false));
  }

  private lookAtOutbox(): void {
    const { count, oldestMs } = this.notificationsOverdue();
    if (count === 0) {
      this.troubles.delete('outbox');
      return;
    }
    this.note(
      'outbox',
      `${count} notifications have a GMS node and no settled result, the oldest for ${seconds(oldestMs)} s`,
      { count, oldestMs: Math.round(oldestMs), fact: 'notifications.overdue' },
    );
  }

  private async lookAtTimers(): Promise<void> {
    const { store, ownership, clock } = this.deps;
    const shards = turn(
      ownership.actors().filter((actor) => actor.isCaughtUp()),
      this.nextTimers,
      TIMERS_PER_LOOK,
    ).map(({ shard }) => shard);
    this.nextTimers += TIMERS_PER_LOOK;
    const first = await store.firstTimers(shards);
    const nowMs = clock.nowMs();
    let worst = { shard: -1, overdueMs: 0 };
    shards.forEach((shard, i) => {
      const overdueMs = nowMs - (first[i] ?? nowMs);
      // A shard that has left meanwhile, or is taken anew, may be held.
      if (overdueMs > worst.overdueMs && ownership.actor(shard)?.isCaughtUp() === true)
        worst = { shard, overdueMs };
    });
    this.overdueMs = worst.overdueMs > TIMER_OVERDUE_MS ? worst.overdueMs : 0;
    if (this.overdueMs === 0) {
      this.troubles.delete('timers');
      return;
    }
    this.note(
      'timers',
      `a timer of shard ${worst.shard} is due for ${seconds(worst.overdueMs)} s and nobody claims it: is resend-timer running?`,
      { ...worst, fact: 'timers.overdue' },
    );
  }

  private audit(): void {
    const { ownership } = this.deps;
    const actors = ownership.actors().sort((a, b) => a.shard - b.shard);
    for (const actor of turn(actors, this.nextAudit, AUDITS_PER_LOOK))
      void actor.audit().then((findings) => findings && this.judge(actor.shard, findings));
    this.nextAudit += AUDITS_PER_LOOK;
  }

  private judge(shard: number, { timers, late, oldestLateMs, stranded }: AuditFindings): void {
    const found: string[] = [];
    if (timers.length > 0) found.push(`${timers.length} timers were missing and were written again`);
    if (late > 0)
      found.push(
        `${late} timers are stored and due for more than ${TIMER_LATE_MS / 1_000} s, the oldest for ${seconds(oldestLateMs)} s: are resend-timer's records getting into the log?`,
      );
    if (stranded.length > 0)
      found.push(`${stranded.length} subscriptions have content that nothing announces (I6)`);
    if (found.length === 0) return;
    if (stranded.length > 0) this.deps.meter.count('subscriptionsStranded', stranded.length);
    this.note('audit', `shard ${shard}: ${found.join('; ')}`, {
      shard,
      timers: timers.length,
      late,
      stranded: stranded.slice(0, 5),
      fact: 'audit.found',
    });
  }

  private note(
    trouble: Trouble,
    text: string,
    { fact, ...fields }: { fact: string; [field: string]: unknown },
  ): void {
    const nowMs = this.deps.clock.monotonicMs();
    const toldAtMs = this.troubles.get(trouble)?.toldAtMs ?? Number.NEGATIVE_INFINITY;
    const isDue = nowMs - toldAtMs >= REMIND_MS;
    if (isDue) this.deps.logger.error({ ...fields, text }, fact);
    this.troubles.set(trouble, { text, seenAtMs: nowMs, toldAtMs: isDue ? nowMs : toldAtMs });
  }
}

/** `count` of these, beginning where the last turn has ended. */
function turn<T>(all: readonly T[], from: number, count: number): T[] {
  const length = Math.min(count, all.length);
  return Array.from({ length }, (_, i) => all[(from + i) % all.length] as T);
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000);
}
