import { optionKey } from '@flexpush/contracts';
import { connectBus, openOptionStore } from '@flexpush/nats-bus';

const FIRST_MESSAGE = 'You have a new chat event';

/**
 * Gives a fresh system the options without which no push would arrive: the receiver's URL and a text.
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
    if (values[optionKey('push', 'customhttp.message')] === undefined)
      await store.set('push', 'customhttp.message', FIRST_MESSAGE);
  } finally {
    store.close();
    await bus.close();
  }
}
