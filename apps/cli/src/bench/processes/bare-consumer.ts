import { connectBus } from '@flexpush/nats-bus';
import { serve } from './serve';

export interface BareConsumerSettings {
  readonly natsUrl: string;
  readonly stream: string;
}

/** Reads a stream in order with the client's own consumer, and counts. */
serve<BareConsumerSettings>(async ({ natsUrl, stream }) => {
  const bus = await connectBus({ url: natsUrl, name: 'flexpush-bench-consumer' });
  const consumer = await bus.connection.jetstream().consumers.get(stream);
  let consumed = 0;
  await consumer.consume({
    max_messages: 1_000,
    callback: (message) => {
      if (message.data.length > 0) consumed++;
    },
  });
  return { consumed: () => consumed };
});
