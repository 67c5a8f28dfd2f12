import { connectBus, NotThereError, type NatsBus } from '@flexpush/nats-bus';
import { defaultStackDir, readRun } from '@flexpush/stack';
import type { Command } from 'commander';
import { natsUrlFromEnvironment, redisUrlFromEnvironment } from './config';

/** Which system a command talks to. */
export interface TargetOptions {
  readonly nats?: string;
  readonly dir: string;
}

const CONNECT_TIMEOUT_MS = 5_000;

export function withTarget(command: Command): Command {
  return command
    .option('--nats <url>', 'NATS of the system (default: FLEXPUSH_NATS_URL, else what "flexpush up" runs)')
    .option('--dir <folder>', 'folder of the running "flexpush up"', defaultStackDir);
}

/** The NATS URL of the system meant; the error says what to do when none runs. */
export function natsUrlOf(target: TargetOptions): string {
  const url = target.nats ?? natsUrlFromEnvironment() ?? runOf(target)?.nats.url;
  if (url === undefined)
    throw new Error(
      `nothing runs in ${target.dir}; start it with "npm start", or name a system with --nats <url>`,
    );
  return url;
}

function runOf({ dir }: TargetOptions): ReturnType<typeof readRun> {
  try {
    return readRun(dir);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const what = `run.json in ${dir} is not what "flexpush up" writes`;
    throw new Error(`${what}; name another folder with --dir, or a system with --nats <url>`, {
      cause: error,
    });
  }
}

/**
 * The Redis of the system meant, if anything tells it. What "flexpush up" runs counts only where its NATS is meant too:
 * the Redis of one system would be judged by the log of another.
 */
export function redisUrlOf(target: TargetOptions & { readonly redis?: string }): string | undefined {
  const named = target.redis ?? redisUrlFromEnvironment();
  if (named !== undefined) return named;
  const run = runOf(target);
  return run?.nats.url === natsUrlOf(target) ? run.redis.url : undefined;
}

/** Runs a task with a connection; a server that is not there is an error after a few seconds, not a wait for ever. */
export async function withBus<T>(target: TargetOptions, task: (bus: NatsBus) => Promise<T>): Promise<T> {
  const bus = await connectBus({
    url: natsUrlOf(target),
    name: 'flexpush-cli',
    firstConnectTimeoutMs: CONNECT_TIMEOUT_MS,
  }).catch((error: unknown) => {
    throw error instanceof NotThereError
      ? new Error(`${error.message}; is the system running?`, { cause: error })
      : error;
  });
  try {
    return await task(bus);
  } finally {
    await bus.close();
  }
}
