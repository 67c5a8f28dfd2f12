import type { OptionValues } from '@flexpush/contracts';
import { openOptionStore, type NatsBus, type OptionStore } from '@flexpush/nats-bus';
import type { CheckResult, Logger } from '@flexpush/process';

/** The options that chat-api itself reads, as they stand now; until they have been read, none is set. */
export class OptionWatch {
  private store: OptionStore | undefined;
  private current: OptionValues = {};

  constructor(private readonly log: Logger) {}

  values(): OptionValues {
    return this.current;
  }

  /** Waits for the bucket, and follows it from then on. */
  async open(bus: NatsBus): Promise<void> {
    this.store = await openOptionStore(bus, {
      onBad: ({ key, reason }) => this.log.warn({ key, reason }, 'option.not-valid'),
      onLost: ({ error, ...loss }) => this.log.error({ ...loss, err: error }, 'options.lost'),
    });
    this.store.onChange((values) => (this.current = values));
  }

  check(): CheckResult {
    return this.store ? true : 'the options are not read yet';
  }

  close(): void {
    this.store?.close();
  }
}
