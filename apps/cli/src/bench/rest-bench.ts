import { connectBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { BenchProcess } from './bench-process';
import { CpuMeter, processesOf } from './cpu';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { round, spread } from './statistics';
import type { BareRestSettings } from './processes/bare-rest';
import type { RestLoadSettings, RestOperation, RestPhase } from './processes/rest-load';

export interface RestSettings extends RoundsSettings {
  readonly sessions: number;
  readonly connections: number;
}

interface Phase extends RestPhase {
  readonly requestsPerS: number;
  readonly cpuUsPerRequest: Record<string, number>;
}

const BARE_BAR = 0.5;
const WARM_UP_MS = 1_000;
const SUBJECT = 'flexpush-bench.rest';

/** Requests to chat-api, through the log and back, against a handler that only asks over NATS. */
export async function runRest(settings: RestSettings): Promise<BenchResult> {
  return withOwnStack(
    {
      stack: { logLevel: 'warn', counts: { 'resend-timer': 0, 'gms-registry': 0, 'gms-node': 0 } },
      options: [],
    },
    (stack) => measure(stack, settings),
  );
}

async function measure(stack: Stack, settings: RestSettings): Promise<BenchResult> {
  const { natsUrl, chatApiUrl = '' } = stack;
  const { connections, sessions } = settings;
  const bus = await connectBus({ url: natsUrl, name: 'flexpush-bench' });
  bus.subscribe(SUBJECT, (message) => message.respond(ANSWER));
  const bare = await BenchProcess.start('bare-rest', {
    natsUrl,
    subject: SUBJECT,
  } satisfies BareRestSettings);
  const bareUrl = await bare.ask<string>('url');
  const loads = {
    flexpush: await startLoad('load', { baseUrl: chatApiUrl, connections }, sessions),
    fastify: await startLoad('bare-load', { baseUrl: bareUrl, connections }, sessions),
  };
  const processes = [...processesOf(stack), bare, ...Object.values(loads)];
  const phase = (load: BenchProcess, operation: RestOperation) => async (): Promise<Phase> => {
    await load.ask('run', { operation, durationMs: WARM_UP_MS });
    const meter = new CpuMeter(processes);
    const startedMs = performance.now();
    const done = await load.ask<RestPhase>('run', { operation, durationMs: settings.seconds * 1000 });
    const seconds = (performance.now() - startedMs) / 1000;
    return {
      ...done,
      requestsPerS: round(done.requests / seconds, 0),
      cpuUsPerRequest: meter.perItemUs(done.requests),
    };
  };
  try {
    const figures = await alternate(
      {
        requestChat: phase(loads.flexpush, 'requestChat'),
        send: phase(loads.flexpush, 'send'),
        refresh: phase(loads.flexpush, 'refresh'),
        fastify: phase(loads.fastify, 'refresh'),
      },
      settings,
    );
    return toResult(figures, settings);
  } finally {
    for (const process of [bare, ...Object.values(loads)]) await process.stop();
    await bus.close();
  }
}

/** A load with its chats open. */
async function startLoad(name: string, settings: RestLoadSettings, sessions: number): Promise<BenchProcess> {
  const load = await BenchProcess.start('rest-load', settings, name);
  await load.ask('open', sessions);
  return load;
}

function toResult(figures: Record<RestOperation | 'fastify', Phase[]>, settings: RestSettings): BenchResult {
  const rates = (name: keyof typeof figures) => figures[name].map(({ requestsPerS }) => requestsPerS);
  const names = ['requestChat', 'send', 'refresh'] as const;
  const ratios = Object.fromEntries(
    names.map((name) => [`${name} of fastify`, ratio(rates(name), rates('fastify'))]),
  );
  const bars = Object.entries(ratios).map(([name, value]) => atLeast(name, value, BARE_BAR));
  const failed = Object.values(figures)
    .flat()
    .reduce((sum, phase) => sum + phase.failed, 0);
  const shown = (name: keyof typeof figures) => ({
    requestsPerS: spread(rates(name)),
    p50Ms: spread(figures[name].map(({ p50Ms }) => p50Ms)),
    p99Ms: spread(figures[name].map(({ p99Ms }) => p99Ms)),
    cpuUsPerRequest: figures[name].at(-1)?.cpuUsPerRequest,
  });
  return toBenchResult(
    'rest',
    [...bars, atMost('failed', failed, 0)],
    {
      settings,
      ...Object.fromEntries([...names, 'fastify' as const].map((name) => [name, shown(name)])),
    },
    ratios,
  );
}

/** The size and shape of an answer to a refresh that brings nothing. */
const ANSWER = JSON.stringify({
  statusCode: 0,
  messages: [],
  chatId: '00021bBKRTX9M01C',
  userId: '00A1653C92D4000F',
  alias: '204',
  secureKey: '5be07d19c2f8a4360e77',
  nextPosition: 2,
  chatEnded: false,
  monitored: false,
});
