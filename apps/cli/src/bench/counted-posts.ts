import { BenchProcess } from './bench-process';
import { CpuMeter, type NamedProcess } from './cpu';
import { round, spread } from './statistics';
import type { BareSenderSettings } from './processes/bare-sender';
import type { ReceiverSettings } from './processes/receiver';

/** As FLEXPUSH_GMS_CONNECTIONS_MAX by default. */
export const CONNECTIONS = 128;
/** What undici alone does is the most that this machine can. */
export const BARE_BAR = 0.5;

/** POSTs of one lap. */
export interface PostPhase {
  readonly postsPerS: number;
  readonly cpuUsPerPost: Record<string, number>;
}

/** Runs a task with a customer's server that takes its time; it is gone afterwards. */
export async function withReceiver<T>(
  receiverMs: number,
  task: (receiver: BenchProcess, url: string) => Promise<T>,
): Promise<T> {
  const receiver = await BenchProcess.start('receiver', { delayMs: receiverMs } satisfies ReceiverSettings);
  try {
    return await task(receiver, await receiver.ask<string>('url'));
  } finally {
    await receiver.stop();
  }
}

/** Runs a task with undici alone, which POSTs to this URL when it is asked to. */
export async function withBareSender<T>(
  url: string,
  task: (bare: BenchProcess) => Promise<T>,
  connections = CONNECTIONS,
): Promise<T> {
  const settings: BareSenderSettings = { url, connections };
  const bare = await BenchProcess.start('bare-sender', settings);
  try {
    return await task(bare);
  } finally {
    await bare.stop();
  }
}

/** POSTs as the receiver counts them while the lap runs, and CPU of these processes for each. */
export async function countPosts(
  receiver: BenchProcess,
  processes: readonly NamedProcess[],
  lap: () => Promise<unknown>,
): Promise<PostPhase & { readonly posts: number }> {
  const before = await receiver.ask<number>('received');
  const meter = new CpuMeter([...processes, receiver]);
  const startedMs = performance.now();
  await lap();
  const posts = (await receiver.ask<number>('received')) - before;
  const seconds = (performance.now() - startedMs) / 1_000;
  return { posts, postsPerS: round(posts / seconds, 0), cpuUsPerPost: meter.perItemUs(posts) };
}

/** One variant in the result. */
export function shownPosts(phases: readonly PostPhase[]) {
  return {
    postsPerS: spread(phases.map(({ postsPerS }) => postsPerS)),
    cpuUsPerPost: phases.at(-1)?.cpuUsPerPost,
  };
}
