import { connectBus, openOptionStore, type NatsBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { BenchProcess } from './bench-process';
import { CpuMeter, processesOf } from './cpu';
import { firstGmsNode, JobSource } from './job-source';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { round, spread } from './statistics';
import type { BareSenderSettings } from './processes/bare-sender';
import type { ReceiverSettings } from './processes/receiver';

export interface DeliverSettings extends RoundsSettings {
  readonly devices: number;
  readonly receiverMs: number;
}

interface Phase {
  postsPerS: number;
  cpuUsPerPost: Record<string, number>;
}

/** As FLEXPUSH_GMS_CONNECTIONS_MAX by default. */
const CONNECTIONS = 128;
const SEQUENTIAL_BAR = 60;
const BARE_BAR = 0.5;
const WARM_UP_MS = 1_000;

/** One gms-node and a receiver that takes its time: POSTs per second, against one at a time and against undici alone. */
export async function runDeliver(settings: DeliverSettings): Promise<BenchResult> {
  const receiver = await BenchProcess.start('receiver', {
    delayMs: settings.receiverMs,
  } satisfies ReceiverSettings);
  try {
    const url = await receiver.ask<string>('url');
    return await withOwnStack(
      {
        stack: {
          logLevel: 'warn',
          counts: { 'resend-timer': 0, 'gms-registry': 0, 'chat-api': 0 },
        },
        options: [
          ['push', 'pushEnabled', 'customhttp'],
          ['push', 'customhttp.url', url],
        ],
      },
      (stack) => measure(stack, receiver, { ...settings, url }),
    );
  } finally {
    await receiver.stop();
  }
}

async function measure(
  stack: Stack,
  receiver: BenchProcess,
  settings: DeliverSettings & { url: string },
): Promise<BenchResult> {
  const { url, seconds } = settings;
  const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
  const bare = await BenchProcess.start('bare-sender', {
    url,
    connections: CONNECTIONS,
  } satisfies BareSenderSettings);
  const lap = async (run: (durationMs: number) => Promise<unknown>): Promise<Phase> => {
    await run(WARM_UP_MS);
    const before = await receiver.ask<number>('received');
    const meter = new CpuMeter([...processesOf(stack), bare, receiver]);
    const startedMs = performance.now();
    await run(seconds * 1000);
    const posts = (await receiver.ask<number>('received')) - before;
    return {
      postsPerS: round(posts / ((performance.now() - startedMs) / 1000), 0),
      cpuUsPerPost: meter.perItemUs(posts),
    };
  };
  try {
    const nodeId = await firstGmsNode(bus);
    const product = (mode: 'parallel' | 'sequential') => async () => {
      await setDeliveryMode(bus, mode);
      const source = new JobSource(bus, nodeId, settings.devices);
      source.start();
      const phase = await lap((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
      await source.stop();
      return { ...phase, outcomes: source.outcomes };
    };
    const figures = await alternate<
      Phase & { outcomes?: Record<string, number> },
      'parallel' | 'sequential' | 'undici'
    >(
      {
        parallel: product('parallel'),
        undici: () => lap((ms) => bare.ask('run', ms)),
        sequential: product('sequential'),
      },
      settings,
    );
    return toResult(figures, settings);
  } finally {
    await bare.stop();
    await bus.close();
  }
}

async function setDeliveryMode(bus: NatsBus, mode: string): Promise<void> {
  const store = await openOptionStore(bus);
  const set = await store.set('push', 'delivery-mode', mode);
  store.close();
  if (set.kind === 'refused') throw new Error(set.reason);
}

type Figures = Record<
  'parallel' | 'sequential' | 'undici',
  (Phase & { outcomes?: Record<string, number> })[]
>;

function toResult(figures: Figures, settings: DeliverSettings): BenchResult {
  const rates = (name: keyof Figures) => figures[name].map(({ postsPerS }) => postsPerS);
  const ratios = {
    'of sequential': ratio(rates('parallel'), rates('sequential')),
    'of undici': ratio(rates('parallel'), rates('undici')),
  };
  const failed = figures.parallel.reduce((sum, { outcomes }) => sum + (outcomes?.['failed'] ?? 0), 0);
  const bars = [
    atLeast('of sequential', ratios['of sequential'], SEQUENTIAL_BAR),
    atLeast('of undici', ratios['of undici'], BARE_BAR),
    atMost('failed', failed, 0),
  ];
  const shown = (name: keyof Figures) => ({
    postsPerS: spread(rates(name)),
    cpuUsPerPost: figures[name].at(-1)?.cpuUsPerPost,
  });
  const { devices, receiverMs, seconds, repeats } = settings;
  return toBenchResult(
    'deliver',
    bars,
    {
      settings: { devices, receiverMs, seconds, repeats, connections: CONNECTIONS },
      parallel: shown('parallel'),
      sequential: shown('sequential'),
      undici: shown('undici'),
    },
    ratios,
  );
}
