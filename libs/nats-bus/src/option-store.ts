import {
  checkOption,
  OPTION_BUCKET,
  optionKey,
  parseOptionKey,
  type OptionCheck,
  type OptionValues,
} from '@flexpush/contracts';
import type { KV, KvEntry } from 'nats';
import { BucketWatch } from './bucket-watch';
import type { NatsBus } from './bus';
import { bindBucket, isWrongRevision } from './streams';
import { waitFor } from './waiting';

/** A stored value that is not valid; the last good one stays in force. */
export interface BadOption {
  key: string;
  reason: string;
}

export interface OptionHooks {
  onBad?: (bad: BadOption) => void;
  /** The bucket has lost these keys; those in `restored` were written back from here (O3). */
  onLost?: (loss: { lost: string[]; restored: string[]; error?: unknown }) => void;
}

/**
 * The live copy of the option bucket.
 *
 * O1. `values()` holds valid values only; a bad stored value leaves the last good one and is reported.
 * O2. `revision()` is that of the newest entry of the present bucket, and grows with every change of it.
 * O3. A key that vanished without having been deleted was lost with the server's data: what is known of it here is
 *     written back, unless someone has set it meanwhile. Until then, and for good where it cannot be written, the known
 *     value stays in force.
 */
export class OptionStore {
  private readonly current = new Map<string, string>();
  private readonly handlers = new Set<(values: OptionValues, revision: number) => void>();
  private lastRevision = 0;
  /** The newest one that the watch has told since it began, or began anew. */
  private toldRevision = 0;
  private watch: BucketWatch | undefined;

  private constructor(
    private readonly kv: KV,
    private readonly hooks: OptionHooks,
  ) {}

  /** For `openOptionStore` only. */
  static async follow(bus: NatsBus, kv: KV, hooks: OptionHooks): Promise<OptionStore> {
    const store = new OptionStore(kv, hooks);
    const badAtFirst: string[] = [];
    let live = false;
    store.watch = await BucketWatch.open(bus, kv, {
      begin: () => (store.toldRevision = 0),
      entry: (entry) => {
        const changed = store.take(entry);
        if (changed === 'bad' && !live) badAtFirst.push(entry.key);
        if (changed !== 'same' && live) store.announce();
      },
      complete: (keys) => {
        if (!live) return;
        if (store.toldRevision < store.lastRevision) store.lastRevision = store.toldRevision;
        store.restoreLost(keys);
        store.announce();
      },
    });
    await Promise.all(badAtFirst.map((key) => store.restoreLastGood(key)));
    live = true;
    return store;
  }

  values(): OptionValues {
    return Object.fromEntries(this.current);
  }

  revision(): number {
    return this.lastRevision;
  }

  /** Calls the handler at once with the present values and then after each change. */
  onChange(handler: (values: OptionValues, revision: number) => void): void {
    this.handlers.add(handler);
    handler(this.values(), this.lastRevision);
  }

  /** Stores a value; a refusal says the valid range. */
  async set(section: string, name: string, value: string): Promise<OptionCheck> {
    const checked = checkOption(section, name, value);
    if (checked.kind === 'ok') await this.kv.put(optionKey(section, name), checked.value);
    return checked;
  }

  /** Back to the default. */
  async unset(section: string, name: string): Promise<void> {
    await this.kv.delete(optionKey(section, name));
  }

  /** True when nothing has been written that was not told here yet. */
  async isCurrent(): Promise<boolean> {
    const { streamInfo } = await this.kv.status();
    return streamInfo.state.last_seq <= this.lastRevision;
  }

  /** Writes values that the bucket has lost; what is there stays (O3). Returns the keys that were written. */
  async restore(values: OptionValues): Promise<string[]> {
    const written = await Promise.all(
      Object.entries(values).map(async ([key, value]) => {
        try {
          await this.kv.create(key, value);
          return [key];
        } catch (error) {
          if (isWrongRevision(error)) return [];
          throw error;
        }
      }),
    );
    return written.flat();
  }

  close(): void {
    this.watch?.stop();
  }

  private restoreLost(keys: ReadonlySet<string>): void {
    const lost = Object.fromEntries([...this.current].filter(([key]) => !keys.has(key)));
    if (Object.keys(lost).length === 0) return;
    this.restore(lost).then(
      (restored) => this.hooks.onLost?.({ lost: Object.keys(lost), restored }),
      (error: unknown) => this.hooks.onLost?.({ lost: Object.keys(lost), restored: [], error }),
    );
  }

  /** 'same': the watch began anew and tells what is known. */
  private take(entry: KvEntry): 'changed' | 'bad' | 'same' {
    const isNewer = entry.revision > this.lastRevision;
    const before = this.current.get(entry.key);
    this.lastRevision = Math.max(this.lastRevision, entry.revision);
    this.toldRevision = Math.max(this.toldRevision, entry.revision);
    if (entry.operation !== 'PUT') this.current.delete(entry.key);
    else {
      const checked = checkStored(entry);
      if (checked.kind === 'ok') this.current.set(entry.key, checked.value);
      else if (isNewer || before === undefined) {
        this.hooks.onBad?.({ key: entry.key, reason: checked.reason });
        return 'bad';
      }
    }
    return isNewer || this.current.get(entry.key) !== before ? 'changed' : 'same';
  }

  /** A process that starts after a bad value was stored uses the same one as those that saw it come. */
  private async restoreLastGood(key: string): Promise<void> {
    let good: string | undefined;
    for await (const entry of await this.kv.history({ key })) {
      const checked = entry.operation === 'PUT' ? checkStored(entry) : undefined;
      if (!checked) good = undefined;
      else if (checked.kind === 'ok') good = checked.value;
    }
    if (good !== undefined && !this.current.has(key)) this.current.set(key, good);
  }

  private announce(): void {
    const values = this.values();
    for (const handler of this.handlers) handler(values, this.lastRevision);
  }
}

function checkStored(entry: KvEntry): OptionCheck {
  const at = parseOptionKey(entry.key);
  return at
    ? checkOption(at.section, at.name, entry.string())
    : { kind: 'refused', reason: 'not a section/name key' };
}

/** Opens the store once it is there, with its present values read. */
export async function openOptionStore(bus: NatsBus, hooks: OptionHooks = {}): Promise<OptionStore> {
  const kv = await waitFor(() => bindBucket(bus, OPTION_BUCKET));
  return OptionStore.follow(bus, kv, hooks);
}
