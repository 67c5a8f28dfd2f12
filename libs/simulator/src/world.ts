import type { LogRecord } from '@flexpush/contracts';
import {
  MemoryLeases,
  MemoryLetters,
  MemoryLog,
  MemorySnapshots,
  MemoryStore,
  VirtualClock,
} from '@flexpush/actor-runtime/testing';
import type { StoredShard } from '@flexpush/actor-runtime/testing';
import { Host } from './host';
import { Network } from './network';
import { Random } from './random';
import { Receivers } from './receivers';
import type { Switch } from './switches';

export const SHARDS = 4;
export const RESEND_DELAY_MS = 1_000;
export const RESEND_ATTEMPTS_MAX = 3;

const START_EPOCH_MS = 1_790_000_000_000;
/**
 * Promise steps that run between two timers. A turn of the event loop would cost five times as much; what takes more steps
 * than these goes on behind the next timer, the same way in each run.
 */
const STEPS = 12;

async function microtasks(): Promise<void> {
  for (let step = 0; step < STEPS; step++) await undefined;
}

/** What the processes log, nobody reads. */
export const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Options as all shards fold with them. */
const OPTIONS = {
  'settings/flex-push-on-join': 'true',
  'push/pushEnabled': 'comet, customhttp',
  'settings/flex-push-resend-delay': String(RESEND_DELAY_MS / 1000),
  'settings/flex-push-resend-attempts': String(RESEND_ATTEMPTS_MAX),
};

/** Everything that stands outside the processes: servers, network, customers' servers, time. */
export class World {
  readonly time = new VirtualClock(START_EPOCH_MS, microtasks);
  readonly startedAtMs = this.time.monotonicMs();
  readonly random: Random;
  readonly network: Network;
  /** Its clock can be stepped: it stamps the records. */
  readonly natsServer = new Host('nats', this.time);
  readonly log = new MemoryLog(() => this.natsServer.clock.nowMs());
  readonly store = new MemoryStore();
  readonly leases = new MemoryLeases();
  readonly snapshots = new MemorySnapshots();
  readonly letters = new MemoryLetters();
  readonly receivers: Receivers;
  /** Shards whose log has been read by someone. */
  readonly readOnce = new Set<number>();
  /** Hosts whose consumers (log readers, lease watch) lag, with by how much (ms). */
  readonly lateConsumers = new Map<string, number>();

  constructor(
    seed: number,
    readonly off: ReadonlySet<Switch>,
  ) {
    this.random = new Random(seed);
    this.network = new Network(this.time, this.random);
    this.receivers = new Receivers(this.time, this.random);
    this.store.comparesCheckpoints = !off.has('checkpoint-comparison');
    for (let shard = 0; shard < SHARDS; shard++)
      void this.append(shard, { v: 1, type: 'options.changed', revision: 1, values: OPTIONS });
  }

  /** True time, ms since the start. */
  nowMs(): number {
    return this.time.monotonicMs() - this.startedAtMs;
  }

  append(shard: number, record: LogRecord): Promise<{ kind: 'appended'; seq: number }> {
    const isPublic = /^(participant|message|typing|notice|url)\.|^session\.end$/.test(record.type);
    return Promise.resolve({
      kind: 'appended',
      seq: this.log.publish(shard, JSON.stringify(record), { isPublic }),
    });
  }

  /** A commit with notifications is saved; its host does not know yet. */
  onCommitted: (host: Host) => void = () => undefined;
  /** Stretches of time (ms since the start) whose records are lost. */
  readonly lostFromLog: { fromMs: number; toMs: number }[] = [];

  /** A power cut takes the last records. */
  cutLog(lostMs: number): void {
    const toMs = this.nowMs();
    this.lostFromLog.push({ fromMs: toMs - lostMs, toMs });
    this.log.truncate(this.log.lastSeqBefore(this.natsServer.clock.nowMs() - lostMs));
  }

  /** A replica takes over that was `lackMs` behind: the present state is lost back to then. */
  failOverRedis(behind: Map<number, StoredShard>): void {
    this.store.restore(behind);
    this.network.break('redis');
  }
}
