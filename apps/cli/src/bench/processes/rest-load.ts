import { ChatClient, identityOf, type ChatIdentity } from '../../chat-client';
import { percentile, round } from '../statistics';
import { serve } from './serve';

export interface RestLoadSettings {
  readonly baseUrl: string;
  /** Connections, and requests at once. */
  readonly connections: number;
}

export type RestOperation = 'requestChat' | 'send' | 'refresh';

export interface RestPhase {
  readonly requests: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Customers' programs: each connection asks, waits for the answer, and asks again. */
serve<RestLoadSettings>(({ baseUrl, connections }) => {
  const client = new ChatClient(baseUrl, 'support-web', connections);
  const chats: ChatIdentity[] = [];
  const requestChat = () => client.requestChat({ nickname: 'Mira', subject: 'Order late' });

  const perform = async (operation: RestOperation, n: number): Promise<boolean> => {
    const chat = chats[n % chats.length];
    if (operation === 'requestChat' || !chat) return (await requestChat()).body.statusCode === 0;
    const fields: Record<string, string> =
      operation === 'send' ? { message: 'Where is my order 4711?' } : { transcriptPosition: '1000000' };
    return (await client.call(operation, chat, fields)).body.statusCode === 0;
  };

  const atOnce = async (worker: (first: number) => Promise<void>): Promise<void> => {
    await Promise.all(Array.from({ length: connections }, (_, n) => worker(n)));
  };

  return {
    open: async (count: number) => {
      await atOnce(async (first) => {
        for (let n = first; n < count; n += connections) chats.push(identityOf(await requestChat()));
      });
    },
    run: async ({
      operation,
      durationMs,
    }: {
      operation: RestOperation;
      durationMs: number;
    }): Promise<RestPhase> => {
      const endMs = performance.now() + durationMs;
      const latenciesMs: number[] = [];
      let failed = 0;
      await atOnce(async (first) => {
        for (let n = first; performance.now() < endMs; n += connections) {
          const startedMs = performance.now();
          const isDone = await perform(operation, n);
          latenciesMs.push(performance.now() - startedMs);
          if (!isDone) failed++;
        }
      });
      return {
        requests: latenciesMs.length,
        failed,
        p50Ms: round(percentile(latenciesMs, 50)),
        p99Ms: round(percentile(latenciesMs, 99)),
      };
    },
  };
});
