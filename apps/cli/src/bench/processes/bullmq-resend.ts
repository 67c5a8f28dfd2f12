import { DelayedError, Queue, Worker } from 'bullmq';
import { createPoster } from './poster';
import { serve } from './serve';
import { triggerBody } from './trigger-body';

export interface BullmqResendSettings {
  readonly redisPort: number;
  readonly url: string;
  /** Each is a push that nobody ever confirms. */
  readonly jobs: number;
  readonly resendDelayMs: number;
  /** Jobs that are worked on at once, and connections. */
  readonly concurrency: number;
}

interface Push {
  readonly deviceId: string;
  readonly position: number;
}

const QUEUE = 'resend';
const JOBS_PER_ADD = 1_000;

/** How pushes are sent again with BullMQ: a delayed job each, whose worker POSTs and moves it to its next time. */
serve<BullmqResendSettings>(async ({ redisPort, url, jobs, resendDelayMs, concurrency }) => {
  const connection = { host: '127.0.0.1', port: redisPort };
  const post = createPoster(url, concurrency);
  const queue = new Queue<Push>(QUEUE, { connection });
  const worker = new Worker<Push>(
    QUEUE,
    async (job, token) => {
      const { deviceId, position } = job.data;
      await post(triggerBody({ n: position, attempt: job.attemptsStarted, deviceId }));
      await job.moveToDelayed(Date.now() + resendDelayMs, token);
      // By this the worker learns that the job is not done.
      throw new DelayedError();
    },
    { connection, concurrency, autorun: false },
  );
  let failed = 0;
  worker.on('failed', () => failed++);
  // It repeats what the command that failed says.
  worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`));
  await worker.waitUntilReady();
  for (let first = 0; first < jobs; first += JOBS_PER_ADD)
    await queue.addBulk(
      Array.from({ length: Math.min(JOBS_PER_ADD, jobs - first) }, (_, i) => ({
        name: 'push',
        data: { deviceId: `device-${first + i}`, position: 2 },
        opts: { delay: 1 + ((first + i) % resendDelayMs) },
      })),
    );
  return {
    resume: () => worker.resume(),
    /** Resolves when what it has begun is done. */
    pause: () => worker.pause(),
    failed: () => failed,
  };
});
