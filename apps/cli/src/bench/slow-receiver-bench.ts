import { connectBus, openOptionStore, type NatsBus, type OptionStore } from '@flexpush/nats-bus';
import { freePort, type Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { BenchProcess } from './bench-process';
import { firstGmsNode, JobSource } from './job-source';
import type { ReceiverSettings } from './processes/receiver';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { percentile, round, spread } from './statistics';
import { sleep } from './wait';

export interface SlowReceiverSettings extends RoundsSettings {
  readonly destinations: number;
  readonly devices: number;
  /** From a delivered notification to the next one of its device. */
  readonly pauseMs: number;
  /** What the slow destination takes. */
  readonly slowMs: number;
}

interface Phase {
  postsPerS: number;
  p50Ms: number;
  p99Ms: number;
}

type Variant = 'all-fast' | 'one-slow' | 'one-refusing';

const RECEIVER_MS = 5;
const WARM_UP_MS = 2_000;
const RATE_BAR = 0.95;
const P99_BAR = 1.05;

/** One of many destinations takes half a minute, or refuses: what the others get of it. */
export async function runSlowReceiver(settings: SlowReceiverSettings): Promise<BenchResult> {
  const fast = await BenchProcess.start('receiver', {
    delayMs: RECEIVER_MS,
    ports: settings.destinations,
  } satisfies ReceiverSettings);
  const slow = await BenchProcess.start(
    'receiver',
    { delayMs: settings.slowMs } satisfies ReceiverSettings,
    'slow',
  );
  try {
    const urls = await fast.ask<string[]>('urls');
    const others = {
      slow: await slow.ask<string>('url'),
      refusing: `http://127.0.0.1:${await freePort()}/push`,
    };
    return await withOwnStack(
      {
        stack: { logLevel: 'error', counts: { 'resend-timer': 0, 'gms-registry': 0, 'chat-api': 0 } },
        options: [
          ['push', 'pushEnabled', 'customhttp'],
          ...urls.map((url, n) => [`push.provider.${nameOf(n)}`, 'customhttp.url', url] as const),
        ],
      },
      (stack) => measure(stack, { first: urls[0] ?? '', ...others }, settings),
    );
  } finally {
    await slow.stop();
    await fast.stop();
  }
}

async function measure(
  stack: Stack,
  urls: { first: string; slow: string; refusing: string },
  settings: SlowReceiverSettings,
): Promise<BenchResult> {
  const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
  const options = await openOptionStore(bus);
  try {
    const nodeId = await firstGmsNode(bus);
    const variant = (url: string) => async () => {
      await pointFirstAt(options, url);
      return lap({ bus, nodeId }, settings);
    };
    const figures = await alternate<Phase, Variant>(
      {
        'all-fast': variant(urls.first),
        'one-slow': variant(urls.slow),
        'one-refusing': variant(urls.refusing),
      },
      settings,
    );
    return toResult(figures, settings);
  } finally {
    options.close();
    await bus.close();
  }
}

/**
 * Only what goes to the other destinations counts. Devices pause, so that the node has room: at full rate every round has
 * another queue, and how long that is says more of the machine than of one destination among others.
 */
async function lap(at: { bus: NatsBus; nodeId: string }, settings: SlowReceiverSettings): Promise<Phase> {
  const { destinations, devices, pauseMs, seconds } = settings;
  const providerOf = (device: number) => nameOf(device % destinations);
  const source = new JobSource(at.bus, at.nodeId, devices, { providerOf, pauseMs });
  source.start();
  await sleep(WARM_UP_MS);
  source.latencies.length = 0;
  await sleep(seconds * 1_000);
  const latenciesMs = source.latencies.flatMap(({ device, ms }) => (device % destinations === 0 ? [] : [ms]));
  await source.stop();
  return {
    postsPerS: round(latenciesMs.length / seconds, 0),
    p50Ms: round(percentile(latenciesMs, 50)),
    p99Ms: round(percentile(latenciesMs, 99)),
  };
}

async function pointFirstAt(options: OptionStore, url: string): Promise<void> {
  const set = await options.set(`push.provider.${nameOf(0)}`, 'customhttp.url', url);
  if (set.kind === 'refused') throw new Error(set.reason);
}

function nameOf(n: number): string {
  return `bench-${n}`;
}

function toResult(figures: Record<Variant, Phase[]>, settings: SlowReceiverSettings): BenchResult {
  const of = (name: Variant, what: keyof Phase) => figures[name].map((phase) => phase[what]);
  const ratios: Record<string, number> = {};
  const bars = [];
  for (const name of ['one-slow', 'one-refusing'] as const) {
    const rate = `rate of the others, ${name}`;
    const p99 = `p99 of the others, ${name}`;
    ratios[rate] = ratio(of(name, 'postsPerS'), of('all-fast', 'postsPerS'));
    ratios[p99] = ratio(of(name, 'p99Ms'), of('all-fast', 'p99Ms'));
    bars.push(atLeast(rate, ratios[rate], RATE_BAR), atMost(p99, ratios[p99], P99_BAR));
  }
  const shown = (name: Variant) => ({
    postsPerS: spread(of(name, 'postsPerS')),
    p50Ms: spread(of(name, 'p50Ms')),
    p99Ms: spread(of(name, 'p99Ms')),
  });
  return toBenchResult(
    'slow-receiver',
    bars,
    {
      settings: { ...settings, receiverMs: RECEIVER_MS },
      'all-fast': shown('all-fast'),
      'one-slow': shown('one-slow'),
      'one-refusing': shown('one-refusing'),
    },
    ratios,
  );
}
