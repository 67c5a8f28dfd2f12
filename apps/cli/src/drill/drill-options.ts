import { setTimeout as sleep } from 'node:timers/promises';
import { listOf, readOption } from '@flexpush/contracts';
import { openOptionStore, type NatsBus, type OptionStore } from '@flexpush/nats-bus';

/** What the system's options say about resends. */
export interface PushRules {
  readonly resendDelayMs: number;
  readonly resendAttemptMax: number;
  /** Who asks for nothing for this long is pinged, and then removed. */
  readonly pushTimeoutMs: number;
}

const OPTION = 'customhttp.url';
const RESTORE_ATTEMPTS_MAX = 10;
const RESTORE_RETRY_MS = 1_000;

/**
 * The one thing that a drill changes in a system: a provider section of its own per receiver, which the chats of the drill
 * name in their user data. Nobody else's pushes go there, and `restore()` removes it.
 */
export class DrillOptions {
  private constructor(
    private readonly store: OptionStore,
    private readonly sections: readonly string[],
    readonly rules: PushRules,
  ) {}

  /** Throws when the system would start chats without push, or refuses an option; nothing is left behind then. */
  static async set(bus: NatsBus, providers: readonly { name: string; url: string }[]): Promise<DrillOptions> {
    const store = await openOptionStore(bus);
    const values = store.values();
    const setting = (name: string) => readOption(values, ['settings'], name);
    for (const name of ['flex-push-enabled', 'flex-push-on-join'])
      if (setting(name) !== 'true') {
        store.close();
        throw new Error(
          `the system starts chats without push; set it: npx flexpush options set settings ${name} true`,
        );
      }
    if (!listOf(readOption(values, ['push'], 'pushEnabled')).includes('customhttp')) {
      store.close();
      throw new Error(
        'the system pushes nothing by customhttp; add it: npx flexpush options set push pushEnabled "comet, customhttp"',
      );
    }
    const rules = {
      resendDelayMs: Number(setting('flex-push-resend-delay')) * 1_000,
      resendAttemptMax: Number(setting('flex-push-resend-attempts')),
      pushTimeoutMs: Number(setting('flex-push-timeout')) * 1_000,
    };
    const sections = providers.map(({ name }) => `push.provider.${name}`);
    const options = new DrillOptions(store, sections, rules);
    for (const [n, { url }] of providers.entries()) {
      const checked = await store.set(sections[n] ?? '', OPTION, url);
      if (checked.kind === 'refused') {
        await options.restore();
        throw new Error(checked.reason);
      }
    }
    return options;
  }

  /** Removes what was set. Tries for a while, for NATS may just be what the drill has broken; then throws what is left to do. */
  async restore(): Promise<void> {
    try {
      for (const section of this.sections) await this.unset(section);
    } finally {
      this.close();
    }
  }

  /** Ends without taking anything back, where the system goes away anyway. */
  close(): void {
    this.store.close();
  }

  private async unset(section: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.store.unset(section, OPTION);
        return;
      } catch (error) {
        if (attempt >= RESTORE_ATTEMPTS_MAX)
          throw new Error(
            `an option of the drill is left behind; remove it: npx flexpush options unset ${section} ${OPTION}`,
            { cause: error },
          );
        await sleep(RESTORE_RETRY_MS);
      }
    }
  }
}
