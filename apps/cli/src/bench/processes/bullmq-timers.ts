import { Queue, Worker } from 'bullmq';
import { percentile, round } from '../statistics';
import { idsLikeReal } from '../timer-shapes';
import { until } from '../wait';
import { serve } from './serve';
import { triggerBody } from './trigger-body';

export interface BullmqTimersSettings {
  readonly redisPort: number;
  readonly concurrency: number;
}

/** What a timer of the product says: whose it is. */
interface Timer {
  readonly sessionId: string;
  readonly userId: string;
}

export interface ScheduleSettings {
  readonly count: number;
  /** From the first that is due to the last; 0: all at once. */
  readonly spreadMs: number;
  /** These come first and are not judged. */
  readonly warmUp: number;
}

/** What became of the jobs that were scheduled last. */
export interface FiredJobs {
  readonly fired: number;
  readonly early: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

interface Lap {
  readonly settings: ScheduleSettings;
  readonly firstDueAtMs: number;
  readonly lateMs: number[];
  fired: number;
  early: number;
}

const JOBS_PER_ADD = 1_000;
const ADDS_AT_ONCE = 2;
const FAR_MS = 86_400_000;
/** Adding may take this much longer than the last time. */
const LEAD_FACTOR = 1.5;
const LEAD_MIN_MS = 2_000;
const SCHEDULE_TRIES_MAX = 4;

/** Timers of BullMQ: delayed jobs whose worker does nothing but note when it got them. */
serve<BullmqTimersSettings>(async ({ redisPort, concurrency }) => {
  const connection = { host: '127.0.0.1', port: redisPort };
  const queue = new Queue<Timer>('timers', { connection });
  const worker = new Worker<Timer>('timers', (job) => Promise.resolve(note(job)), {
    connection,
    concurrency,
    autorun: false,
    // Done is done, in the product too.
    removeOnComplete: { count: 0 },
  });
  worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`));
  await worker.waitUntilReady();
  let lap: Lap | undefined;
  let added = 0;
  let msPerJob = 0.2;

  const note = ({ timestamp, opts }: { timestamp: number; opts: { delay?: number } }): void => {
    if (lap === undefined) return;
    const nowMs = performance.timeOrigin + performance.now();
    const dueAtMs = timestamp + (opts.delay ?? 0);
    const { warmUp, count, spreadMs } = lap.settings;
    if (dueAtMs >= lap.firstDueAtMs + (spreadMs * warmUp) / count) lap.lateMs.push(nowMs - dueAtMs);
    if (nowMs < dueAtMs) lap.early++;
    lap.fired++;
  };

  /** Adds jobs to these times. */
  const add = async (count: number, dueAtMsOf: (n: number) => number): Promise<void> => {
    const startedMs = performance.now();
    let next = 0;
    const adder = async (): Promise<void> => {
      while (next < count) {
        const first = next;
        next = Math.min(count, first + JOBS_PER_ADD);
        const nowMs = Date.now();
        const jobs = Array.from({ length: next - first }, (_, i) => ({
          name: 'resend',
          data: idsLikeReal(added + first + i),
          opts: { delay: Math.max(0, dueAtMsOf(first + i) - nowMs), timestamp: nowMs },
        }));
        await queue.addBulk(jobs);
      }
    };
    await Promise.all(Array.from({ length: ADDS_AT_ONCE }, adder));
    added += count;
    if (count >= JOBS_PER_ADD) msPerJob = (performance.now() - startedMs) / count;
  };

  return {
    addPending: (count: number) => {
      const firstAtMs = Date.now() + FAR_MS;
      return add(count, (n) => firstAtMs + n);
    },
    /** Jobs that carry the whole push, as those of a re-sending worker do. */
    addPushes: (count: number) =>
      new Queue('pushes', { connection })
        .addBulk(
          Array.from({ length: count }, (_, n) => ({
            name: 'resend',
            data: JSON.parse(triggerBody({ n, attempt: 0, deviceId: `device-${n}` })) as object,
            opts: { delay: FAR_MS },
          })),
        )
        .then(() => undefined),
    /** Resolves with the time of the first (epoch ms), when all are there. The worker must be paused. */
    schedule: async (settings: ScheduleSettings): Promise<number> => {
      const { count, spreadMs } = settings;
      let leadMs = LEAD_MIN_MS + LEAD_FACTOR * count * msPerJob;
      for (let tries = 0; tries < SCHEDULE_TRIES_MAX; tries++, leadMs *= 2) {
        const firstDueAtMs = Date.now() + Math.ceil(leadMs);
        lap = { settings, firstDueAtMs, lateMs: [], fired: 0, early: 0 };
        await add(count, (n) => firstDueAtMs + Math.floor((n * spreadMs) / count));
        if (Date.now() < firstDueAtMs) return firstDueAtMs;
        // The first ones would be late by no fault of the worker: it gets rid of them, and all begins anew.
        const allFired = () => Promise.resolve((lap?.fired ?? 0) >= count);
        await worker.resume();
        await until(allFired, 'jobs are not fired');
        await worker.pause();
      }
      throw new Error('the jobs could not be added in time');
    },
    resume: () => worker.resume(),
    pause: () => worker.pause(),
    fired: () => lap?.fired ?? 0,
    outcome: (): FiredJobs => {
      const { lateMs = [], fired = 0, early = 0 } = lap ?? {};
      return {
        fired,
        early,
        p50Ms: round(percentile(lateMs, 50)),
        p99Ms: round(percentile(lateMs, 99)),
        maxMs: round(percentile(lateMs, 100)),
      };
    },
  };
});
