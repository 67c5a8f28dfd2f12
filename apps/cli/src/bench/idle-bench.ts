import { readFileSync } from 'node:fs';
import { connectBus, waitForShardCount } from '@flexpush/nats-bus';
import { connectRedis, keys } from '@flexpush/redis-store';
import { shardOf } from '@flexpush/contracts';
import type { Stack } from '@flexpush/stack';
import { printProgress } from '../output';
import { withOwnStack } from '../own-stack';
import { atMost, toBenchResult, type BenchResult } from './bench-result';
import { cpuMsOf, processesOf } from './cpu';
import { LogFill } from './log-fill';
import { untilQuiet } from './metrics';
import { percentile, round } from './statistics';
import { sleep } from './wait';

export interface IdleSettings {
  readonly sessions: number;
  readonly seconds: number;
  /** After the last chat: V8 gives memory back when a process has been quiet for one or two minutes. */
  readonly settleSeconds: number;
}

type Redis = ReturnType<typeof connectRedis>;

interface Service {
  readonly residentMb: number;
  readonly cpuPercent: number;
}

const BYTES_BAR = 1_200;
const RESIDENT_BAR_MB = 300;
const CPU_BAR_PERCENT = 5;
const CHATS_AT_ONCE = 50_000;
/** Transcripts whose size is asked for; all are alike. */
const TRANSCRIPTS_ASKED = 1_000;

/** Open chats in which nothing happens: what they hold in Redis, and what the services use meanwhile. */
export async function runIdle(settings: IdleSettings): Promise<BenchResult> {
  return withOwnStack(
    {
      stack: { logLevel: 'warn' },
      options: [
        ['push', 'pushEnabled', 'customhttp'],
        ['settings', 'flex-push-on-join', 'true'],
        // The ladder would ask after each of them meanwhile; twenty days are its longest.
        ['settings', 'flex-push-timeout', '1728000'],
      ],
    },
    (stack) => measure(stack, settings),
  );
}

async function measure(stack: Stack, settings: IdleSettings): Promise<BenchResult> {
  const { sessions, seconds, settleSeconds } = settings;
  const redis = connectRedis({ url: stack.redisUrl });
  const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
  try {
    const emptyBytes = await usedMemory(redis);
    const fill = await LogFill.open(bus, 'none');
    const asked: string[] = [];
    for (let opened = 0; opened < sessions; opened += CHATS_AT_ONCE) {
      printProgress(`${opened} of ${sessions} chats are open`);
      const sessionIds = await fill.openChats(Math.min(CHATS_AT_ONCE, sessions - opened), {
        isAnswered: false,
      });
      if (asked.length < TRANSCRIPTS_ASKED) asked.push(...sessionIds.slice(0, TRANSCRIPTS_ASKED));
    }
    await untilQuiet(stack);
    printProgress(`letting the services settle for ${settleSeconds} s`);
    await sleep(settleSeconds * 1_000);
    const bytesPerSession = ((await usedMemory(redis)) - emptyBytes) / sessions;
    const transcriptBytes = await meanTranscript(redis, asked, await waitForShardCount(bus));
    printProgress(`watching the services for ${seconds} s`);
    return toResult({ bytesPerSession, transcriptBytes, services: await watch(stack, seconds) }, settings);
  } finally {
    redis.disconnect();
    await bus.close();
  }
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

async function meanTranscript(
  redis: Redis,
  sessionIds: readonly string[],
  shardCount: number,
): Promise<number> {
  const sizes = await Promise.all(
    sessionIds.map((id) => redis.memory('USAGE', keys.transcript(shardOf(id, shardCount), id))),
  );
  return sizes.reduce((sum: number, size) => sum + (size ?? 0), 0) / sessionIds.length;
}

async function watch(stack: Stack, seconds: number): Promise<Record<string, Service>> {
  const processes = processesOf(stack).filter(({ pid }) => pid !== process.pid);
  const before = processes.map(({ pid }) => cpuMsOf(pid) ?? 0);
  await sleep(seconds * 1_000);
  return Object.fromEntries(
    processes.map(({ name, pid }, n) => [
      name,
      {
        residentMb: residentMb(pid),
        cpuPercent: round(((cpuMsOf(pid) ?? 0) - (before[n] ?? 0)) / seconds / 10),
      },
    ]),
  );
}

function residentMb(pid: number): number {
  const kb = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return round(kb / 1_024, 0);
}

function toResult(
  found: { bytesPerSession: number; transcriptBytes: number; services: Record<string, Service> },
  settings: IdleSettings,
): BenchResult {
  const { bytesPerSession, transcriptBytes, services } = found;
  // Redis holds the chats, and NATS the log of a day: what they use is told, and is no service's.
  const own = Object.entries(services).filter(([name]) => name !== 'redis' && name !== 'nats');
  const most = (of: (service: Service) => number) => Math.max(...own.map(([, service]) => of(service)));
  return toBenchResult(
    'idle',
    [
      atMost(
        'Redis bytes per chat without its transcript',
        round(bytesPerSession - transcriptBytes, 0),
        BYTES_BAR,
      ),
      atMost(
        'resident MB of the largest service',
        most(({ residentMb }) => residentMb),
        RESIDENT_BAR_MB,
      ),
      atMost(
        '% of a core of the busiest service',
        most(({ cpuPercent }) => cpuPercent),
        CPU_BAR_PERCENT,
      ),
    ],
    {
      settings,
      bytesPerSession: round(bytesPerSession, 0),
      transcriptBytes: round(transcriptBytes, 0),
      services,
      medianResidentMb: percentile(
        own.map(([, { residentMb }]) => residentMb),
        50,
      ),
    },
  );
}
