import { readOption } from '@flexpush/contracts';
import { openOptionStore, type NatsBus, type OptionStore } from '@flexpush/nats-bus';

/** What the system's options say about resends. */
export interface PushRules {
  readonly resendDelayMs: number;
  readonly resendAttemptMax: number;
  /** Who asks for nothing for this long is pinged, and then removed. */
  readonly pushTimeoutMs: number;
}

const OPTION = 'customhttp.url';

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

  async restore(): Promise<void> {
    for (const section of this.sections) await this.store.unset(section, OPTION);
    this.store.close();
  }
}
