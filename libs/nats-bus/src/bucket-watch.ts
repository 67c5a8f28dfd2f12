import type { KV, KvEntry, QueuedIterator } from 'nats';
import type { NatsBus } from './bus';

const RETRY_MS = 200;
const LOOK_MS = 1_000;

export interface BucketHandlers {
  /** The watch begins, or begins anew. */
  begin?: () => void;
  entry: (entry: KvEntry) => void;
  /** Every key as it stands has been told; these are the keys. Called each time the watch begins anew, too. */
  complete?: (keys: ReadonlySet<string>) => void;
}

/**
 * Follows a bucket: tells every key as it stands, then each change.
 *
 * W1. After a reconnect, and when the server ends the watch, it begins anew with every key as it stands. The client
 *     notices by itself only after missed heartbeats, some 15 s later, which is too late for options and leases.
 * W2. So an entry may be told again; a key that was deleted meanwhile is told as deleted.
 * W3. Once a second the bucket is looked at. One that was made anew, or lost its end, makes the watch begin anew: its
 *     consumer went with the old bucket, in silence. A key that `complete` does not name any more was lost, not deleted.
 * W4. A revision seen by a look and not told by the next one makes the watch begin anew:
 *     its consumer went with that server of a cluster on which it lived, in silence.
 */
export class BucketWatch {
  private watcher: QueuedIterator<KvEntry> | undefined;
  private stopped = false;
  private createdAt = '';
  /** The newest that was told, or that stood when the watch was complete. */
  private lastRevision = 0;
  /** The newest at the last look. */
  private seenRevision = 0;
  private looking = false;
  private readonly forgetReconnects: () => void;
  private readonly looks: NodeJS.Timeout;

  private constructor(
    private readonly bus: NatsBus,
    private readonly kv: KV,
    private readonly handlers: BucketHandlers,
  ) {
    this.forgetReconnects = bus.onReconnect(() => this.watcher?.stop());
    this.looks = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Resolves when every present key has been told. */
  static open(bus: NatsBus, kv: KV, handlers: BucketHandlers): Promise<BucketWatch> {
    return new Promise((resolve) => {
      const watch = new BucketWatch(bus, kv, handlers);
      void watch.follow(() => resolve(watch));
    });
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.looks);
    this.forgetReconnects();
    this.watcher?.stop();
  }

  private async follow(onComplete: () => void): Promise<void> {
    while (!this.stopped && !this.bus.connection.isClosed()) {
      // A watch that fails says only that the server or the bucket is away: the next one tells all that was missed.
      await this.watchOnce(onComplete).catch(() => undefined);
      if (!this.stopped) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  private async watchOnce(onComplete: () => void): Promise<void> {
    const keys = new Set<string>();
    let isComplete = false;
    const begin = await this.state();
    this.createdAt = begin.createdAt;
    this.lastRevision = 0;
    this.seenRevision = 0;
    this.handlers.begin?.();
    const watcher = await this.kv.watch({
      initializedFn: () => {
        isComplete = true;
        // What stood there and is not told is gone by now.
        this.lastRevision = Math.max(this.lastRevision, begin.lastRevision);
        this.bus.guard(() => this.handlers.complete?.(keys));
        onComplete();
      },
    });
    if (this.stopped) return watcher.stop();
    this.watcher = watcher;
    for await (const entry of watcher) {
      this.lastRevision = Math.max(this.lastRevision, entry.revision);
      if (!isComplete) keys.add(entry.key);
      this.bus.guard(() => this.handlers.entry(entry));
    }
  }

  /** W3, W4 */
  private async look(): Promise<void> {
    if (this.looking || !this.watcher || !this.bus.connected()) return;
    this.looking = true;
    const { watcher, createdAt, lastRevision } = this;
    const state = await this.state().catch(() => undefined);
    this.looking = false;
    // No answer says nothing; and a watch that has begun anew meanwhile has looked for itself.
    if (!state || this.watcher !== watcher) return;
    const isAnother = state.createdAt !== createdAt || state.lastRevision < lastRevision;
    if (isAnother || this.seenRevision > this.lastRevision) watcher.stop();
    this.seenRevision = state.lastRevision;
  }

  private async state(): Promise<{ createdAt: string; lastRevision: number }> {
    const { streamInfo } = await this.kv.status();
    return { createdAt: streamInfo.created, lastRevision: streamInfo.state.last_seq };
  }
}
