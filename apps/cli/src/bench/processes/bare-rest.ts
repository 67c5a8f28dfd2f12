import { connectBus } from '@flexpush/nats-bus';
import fastify from 'fastify';
import { serve } from './serve';

export interface BareRestSettings {
  readonly natsUrl: string;
  /** Answers with what a session would say. */
  readonly subject: string;
}

/** The least that a chat API can be: Fastify, a form, one NATS request, its answer. */
serve<BareRestSettings>(async ({ natsUrl, subject }) => {
  const bus = await connectBus({ url: natsUrl, name: 'flexpush-bench-rest' });
  const app = fastify();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(body as string))),
  );
  const ask = async (fields: unknown): Promise<unknown> =>
    (await bus.connection.request(subject, JSON.stringify(fields), { timeout: 10_000 })).json();
  app.post('/genesys/2/chat/:service', (request) => ask(request.body));
  app.post('/genesys/2/chat/:service/:chatId/:operation', (request) => ask(request.body));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return { url: () => url };
});
