import { BOUNDS, PassingMap, pushJobSchema, subscriptionKey, type PushJob } from '@flexpush/contracts';
import { parseStored, RubbishStateError } from './session-cache';

/** A committed, unsettled notification. */
export class OutboxEntry {
  /** Triggers are keyed by subscription, plain ones by notification id. */
  readonly key: string;

  constructor(
    readonly job: PushJob,
    private text?: string,
  ) {
    this.key = outboxKey(job);
  }

  /** The job as it is stored and sent. Many are replaced or withdrawn within their batch, and never need it. */
  get json(): string {
    return (this.text ??= JSON.stringify(this.job));
  }
}

export function outboxKey(job: PushJob): string {
  return job.kind === 'trigger' ? subscriptionKey(job.sessionId, job.userId) : job.id;
}

/** A stored job, or a `RubbishStateError`. */
export function parseJob(json: string, key?: string): PushJob {
  const parsed = pushJobSchema.safeParse(parseStored('outbox', json));
  if (!parsed.success || (key !== undefined && outboxKey(parsed.data) !== key))
    throw new RubbishStateError('outbox');
  return parsed.data;
}

/**
 * A shard's outbox as folded. It changes only with a batch, and every change is written by that batch's commit.
 *
 * B1. At most one trigger per subscription: a newer one replaces it.
 * B2. At most `plainNotificationsPerSubscription` plain ones per subscription; past that the oldest is dropped, loudly.
 */
export class Outbox {
  private readonly entries = new PassingMap<string, OutboxEntry>();
  /** Plain entries' keys by subscription, oldest first. */
  private readonly plain = new Map<string, string[]>();

  static parse(stored: Record<string, string>): Outbox {
    const outbox = new Outbox();
    const jobs = Object.entries(stored).map(([key, json]) => ({ job: parseJob(json, key), json }));
    jobs.sort((a, b) => a.job.n - b.job.n);
    for (const { job, json } of jobs) outbox.add(new OutboxEntry(job, json));
    return outbox;
  }

  /** Adds an entry; returns the plain ones dropped for it (B2). */
  add(entry: OutboxEntry): OutboxEntry[] {
    this.entries.set(entry.key, entry);
    if (entry.job.kind === 'trigger') return [];
    const subscription = subscriptionKey(entry.job.sessionId, entry.job.userId);
    const keys = this.plain.get(subscription) ?? [];
    keys.push(entry.key);
    this.plain.set(subscription, keys);
    const excess = Math.max(0, keys.length - BOUNDS.plainNotificationsPerSubscription);
    return keys.slice(0, excess).flatMap((oldest) => this.remove(oldest) ?? []);
  }

  remove(key: string): OutboxEntry | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    if (entry.job.kind === 'plain') {
      const subscription = subscriptionKey(entry.job.sessionId, entry.job.userId);
      const keys = (this.plain.get(subscription) ?? []).filter((one) => one !== key);
      if (keys.length > 0) this.plain.set(subscription, keys);
      else this.plain.delete(subscription);
    }
    return entry;
  }

  get(key: string): OutboxEntry | undefined {
    return this.entries.get(key);
  }

  /** All entries, per subscription in the order of their numbers. */
  all(): OutboxEntry[] {
    return [...this.entries.values()].sort((a, b) => a.job.n - b.job.n);
  }

  /** In the order of coming; goes on while entries come and go. */
  values(): IterableIterator<OutboxEntry> {
    return this.entries.values();
  }

  get size(): number {
    return this.entries.size;
  }
}
