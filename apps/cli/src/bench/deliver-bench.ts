import { connectBus, openOptionStore, type NatsBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import type { BenchProcess } from './bench-process';
import {
  BARE_BAR,
  CONNECTIONS,
  countPosts,
  shownPosts,
  withBareSender,
  withReceiver,
  type PostPhase,
} from './counted-posts';
import { processesOf } from './cpu';
import { firstGmsNode, JobSource } from './job-source';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { sleep } from './wait';

export interface DeliverSettings extends RoundsSettings {
  readonly devices: number;
  readonly receiverMs: number;
}

type Variant = 'parallel' | 'sequential' | 'undici';
type Phase = PostPhase & { readonly outcomes?: Record<string, number> };

interface Parts {
  readonly stack: Stack;
  readonly bus: NatsBus;
  readonly receiver: BenchProcess;
  readonly bare: BenchProcess;
}

const SEQUENTIAL_BAR = 60;
const WARM_UP_MS = 1_000;

/** One gms-node and a receiver that takes its time: POSTs per second, against one at a time and against undici alone. */
export async function runDeliver(settings: DeliverSettings): Promise<BenchResult> {
  return withReceiver(settings.receiverMs, (receiver, url) =>
    withOwnStack(
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
      (stack) =>
        withBareSender(url, async (bare) => {
          const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
          try {
            return await measure({ stack, bus, receiver, bare }, settings);
          } finally {
            await bus.close();
          }
        }),
    ),
  );
}

async function measure(parts: Parts, settings: DeliverSettings): Promise<BenchResult> {
  const { stack, bus, receiver, bare } = parts;
  const lap = async (run: (durationMs: number) => Promise<unknown>): Promise<PostPhase> => {
    await run(WARM_UP_MS);
    const lapMs = settings.seconds * 1_000;
    return countPosts(receiver, [...processesOf(stack), bare], () => run(lapMs));
  };
  const nodeId = await firstGmsNode(bus);
  const product = (mode: 'parallel' | 'sequential') => async () => {
    await setDeliveryMode(bus, mode);
    const source = new JobSource(bus, nodeId, settings.devices);
    source.start();
    const phase = await lap(sleep);
    await source.stop();
    return { ...phase, outcomes: source.outcomes };
  };
  const figures = await alternate<Phase, Variant>(
    {
      parallel: product('parallel'),
      undici: () => lap((ms) => bare.ask('run', ms)),
      sequential: product('sequential'),
    },
    settings,
  );
  return toResult(figures, settings);
}

async function setDeliveryMode(bus: NatsBus, mode: string): Promise<void> {
  const store = await openOptionStore(bus);
  const set = await store.set('push', 'delivery-mode', mode);
  store.close();
  if (set.kind === 'refused') throw new Error(set.reason);
}

function toResult(figures: Record<Variant, Phase[]>, settings: DeliverSettings): BenchResult {
  const rates = (name: Variant) => figures[name].map(({ postsPerS }) => postsPerS);
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
  const { devices, receiverMs, seconds, repeats } = settings;
  return toBenchResult(
    'deliver',
    bars,
    {
      settings: { devices, receiverMs, seconds, repeats, connections: CONNECTIONS },
      parallel: shownPosts(figures.parallel),
      sequential: shownPosts(figures.sequential),
      undici: shownPosts(figures.undici),
    },
    ratios,
  );
}
