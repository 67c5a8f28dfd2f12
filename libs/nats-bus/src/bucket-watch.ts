import type { KV, KvEntry, QueuedIterator } from 'nats';
import type { NatsBus } from './bus';

const RETRY_MS = 200;

/**
 * Follows a bucket: tells every key as it stands, then each change.
 *
 * W1. After a reconnect, and when the server ends the watch, it begins anew with every key as it stands. The client
 *     notices by itself only after missed heartbeats, some 15 s later, which is too late for options and leases.
 * W2. So an entry may be told again; a key that was deleted meanwhile is told as deleted.
 */
export class BucketWatch {
  private watcher: QueuedIterator<KvEntry> | undefined;
  private stopped = false;
  private readonly forgetReconnects: () => void;

  private constructor(
    private readonly bus: NatsBus,
    private readonly kv: KV,
    private readonly handler: (entry: KvEntry) => void,
  ) {
    this.forgetReconnects = bus.onReconnect(() => this.watcher?.stop());
  }

  /** Resolves when every present key has been told. */
  static open(bus: NatsBus, kv: KV, handler: (entry: KvEntry) => void): Promise<BucketWatch> {
    return new Promise((resolve) => {
      const watch = new BucketWatch(bus, kv, handler);
      void watch.follow(() => resolve(watch));
    });
  }

  stop(): void {
    this.stopped = true;
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
    const watcher = await this.kv.watch({ initializedFn: onComplete });
    if (this.stopped) return watcher.stop();
    this.watcher = watcher;
    for await (const entry of watcher) this.bus.guard(() => this.handler(entry));
  }
}
