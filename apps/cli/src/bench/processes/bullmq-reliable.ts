import { DelayedError, Queue, Worker, type Job } from 'bullmq';
import fastify from 'fastify';
import { createPoster } from './poster';
import { serve } from './serve';
import { triggerBody } from './trigger-body';

export interface BullmqReliableSettings {
  readonly redisPort: number;
  readonly queue: string;
  readonly url: string;
  readonly concurrency: number;
}

/** A push of a chat; its job id is `chat-n`. */
export interface ReliablePush {
  readonly chatId: string;
  readonly n: number;
  readonly text: string;
}

const RESEND_DELAY_MS = 10_000;
const ATTEMPTS_MAX = 3;

/**
 * Reliable pushes with BullMQ: the worker POSTs and moves the job to its next time, a confirm over HTTP removes it. No log,
 * no order within a chat, and what was confirmed while it was being POSTed is remembered by this process alone.
 */
serve<BullmqReliableSettings>(async ({ redisPort, queue: name, url, concurrency }) => {
  const connection = { host: '127.0.0.1', port: redisPort };
  const post = createPoster(url, concurrency);
  const queue = new Queue<ReliablePush>(name, { connection });
  const underWay = new Set<string>();
  const confirmed = new Set<string>();

  const perform = async (job: Job<ReliablePush>, token: string | undefined): Promise<void> => {
    const { chatId, n } = job.data;
    const attempt = job.attemptsStarted - 1;
    await post(triggerBody({ n, attempt, deviceId: `device-of-${chatId}`, sessionId: chatId }));
    if (confirmed.delete(job.id ?? '') || attempt + 1 >= ATTEMPTS_MAX) return;
    await job.moveToDelayed(Date.now() + RESEND_DELAY_MS, token);
    // By this the worker learns that the job is not done.
    throw new DelayedError();
  };
  const worker = new Worker<ReliablePush>(
    name,
    async (job, token) => {
      const id = job.id ?? '';
      underWay.add(id);
      try {
        await perform(job, token);
      } finally {
        underWay.delete(id);
        if (confirmed.delete(id)) await queue.remove(id);
      }
    },
    { connection, concurrency, removeOnComplete: { count: 0 } },
  );
  worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`));
  await worker.waitUntilReady();

  const app = fastify();
  app.post<{ Params: { id: string } }>('/confirm/:id', async ({ params: { id } }) => {
    // A job that is being worked on cannot be removed.
    if (underWay.has(id)) confirmed.add(id);
    else await queue.remove(id);
    return { statusCode: 0 };
  });
  const confirmUrl = await app.listen({ host: '127.0.0.1', port: 0 });
  return { url: () => confirmUrl };
});
