import {
  checkOption,
  OPTION_BUCKET,
  optionKey,
  parseOptionKey,
  type OptionCheck,
  type OptionValues,
} from '@flexpush/contracts';
import type { KV, KvEntry, QueuedIterator } from 'nats';
import type { NatsBus } from './bus';
import { bindBucket, waitFor } from './streams';

/** A stored value that is not valid; the last good one stays in force. */
export interface BadOption {
  key: string;
  reason: string;
}

/**
 * The live copy of the option bucket.
 *
 * O1. `values()` holds valid values only; a bad stored value leaves the last good one and is reported.
 * O2. `revision()` is that of the newest entry seen, and grows with every change.
 */
export class OptionStore {
  private readonly current = new Map<string, string>();
  private readonly handlers = new Set<(values: OptionValues, revision: number) => void>();
  private lastRevision = 0;

  constructor(
    private readonly kv: KV,
    private readonly watcher: QueuedIterator<KvEntry>,
    private readonly onBad: (bad: BadOption) => void,
  ) {}

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

  close(): void {
    this.watcher.stop();
  }

  /** For the watcher only. */
  take(entry: KvEntry): void {
    this.lastRevision = Math.max(this.lastRevision, entry.revision);
    if (entry.operation !== 'PUT') {
      this.current.delete(entry.key);
      return;
    }
    const at = parseOptionKey(entry.key);
    const checked: OptionCheck = at
      ? checkOption(at.section, at.name, entry.string())
      : { kind: 'refused', reason: 'not a section/name key' };
    if (checked.kind === 'ok') this.current.set(entry.key, checked.value);
    else this.onBad({ key: entry.key, reason: checked.reason });
  }

  announce(): void {
    const values = this.values();
    for (const handler of this.handlers) handler(values, this.lastRevision);
  }
}

/** Opens the store once it is there, with its present values read. */
export async function openOptionStore(
  bus: NatsBus,
  options: { onBad?: (bad: BadOption) => void } = {},
): Promise<OptionStore> {
  const kv = await waitFor(() => bindBucket(bus, OPTION_BUCKET));
  let initialized: () => void = () => undefined;
  const complete = new Promise<void>((resolve) => (initialized = resolve));
  const watcher = await kv.watch({ initializedFn: () => initialized() });
  const store = new OptionStore(kv, watcher, options.onBad ?? (() => undefined));
  let live = false;
  void (async () => {
    for await (const entry of watcher) {
      store.take(entry);
      if (live) store.announce();
    }
  })();
  await complete;
  live = true;
  return store;
}
