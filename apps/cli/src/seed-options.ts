import { optionKey } from '@flexpush/contracts';
import { connectBus, openOptionStore } from '@flexpush/nats-bus';

/** As in the page's sample configuration. */
const FIRST_VALUES = [
  ['chat', 'enable_notification_mode', 'true'],
  ['push', 'pushEnabled', 'comet, customhttp'],
  ['push', 'customhttp.message', 'You have a new chat event'],
] as const;

/**
 * Gives a fresh system the options without which no push would arrive: what is pushed, the receiver's URL, a text.
 * `previousReceiverUrl` is where the receiver listened last time; an option that still says so follows it.
 */
export async function seedOptions(
  natsUrl: string,
  receiverUrl: string,
  previousReceiverUrl?: string,
): Promise<void> {
  const bus = await connectBus({ url: natsUrl, name: 'flexpush-up' });
  const store = await openOptionStore(bus);
  try {
    const values = store.values();
    const url = values[optionKey('push', 'customhttp.url')];
    if (url === undefined || (url === previousReceiverUrl && url !== receiverUrl))
      await store.set('push', 'customhttp.url', receiverUrl);
    for (const [section, name, value] of FIRST_VALUES)
      if (values[optionKey(section, name)] === undefined) await store.set(section, name, value);
  } finally {
    store.close();
    await bus.close();
  }
}
