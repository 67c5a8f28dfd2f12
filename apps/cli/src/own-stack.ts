import { connectBus, openOptionStore } from '@flexpush/nats-bus';
import { prepareStack, waitHttpReady, type Stack, type StackOptions } from '@flexpush/stack';
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder';
import { INTERRUPTED_CODE } from './up-signals';

/** Options to set before anything happens: [section, name, value]. */
export type OptionSetting = readonly [section: string, name: string, value: string];

const READY_TIMEOUT_MS = 30_000;

/** Runs a task against a stack of its own, in a temporary folder and on free ports; everything is gone afterwards. */
export async function withOwnStack<T>(
  settings: { stack?: Omit<StackOptions, 'dir'>; options: readonly OptionSetting[] },
  task: (stack: Stack) => Promise<T>,
): Promise<T> {
  const dir = makeTemporaryFolder('flexpush-');
  try {
    const stack = await prepareStack({
      ...settings.stack,
      dir,
      counts: { 'sample-receiver': 0, ...settings.stack?.counts },
    });
    const interrupted = () => void stack.stop().then(() => process.exit(INTERRUPTED_CODE));
    process.once('SIGINT', interrupted);
    process.once('SIGTERM', interrupted);
    try {
      await stack.start();
      await setOptions(stack.natsUrl, settings.options);
      await untilReady(stack);
      return await task(stack);
    } finally {
      process.off('SIGINT', interrupted);
      process.off('SIGTERM', interrupted);
      await stack.stop();
    }
  } finally {
    removeTemporaryFolder(dir);
  }
}

async function setOptions(natsUrl: string, options: readonly OptionSetting[]): Promise<void> {
  const bus = await connectBus({ url: natsUrl, name: 'flexpush-own-stack' });
  const store = await openOptionStore(bus);
  for (const [section, name, value] of options) {
    const checked = await store.set(section, name, value);
    if (checked.kind === 'refused') throw new Error(checked.reason);
  }
  store.close();
  await bus.close();
}

/** A session-actor is ready again when all its shards fold with the new options. */
async function untilReady(stack: Stack): Promise<void> {
  const actors = stack.servicesOf('session-actor');
  await Promise.all(actors.map(({ url }) => waitHttpReady(url, { timeoutMs: READY_TIMEOUT_MS })));
}
