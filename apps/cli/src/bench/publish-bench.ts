import { randomUUID } from 'node:crypto';
import { LOG_STREAM, subjects } from '@flexpush/contracts';
import { connectBus, type NatsBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { withOwnStack } from '../own-stack';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { BenchProcess } from './bench-process';
import { CpuMeter, processesOf } from './cpu';
import { LogFill } from './log-fill';
import { readCounters } from './metrics';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { round, spread } from './statistics';
import { until } from './wait';
import type { BareConsumerSettings } from './processes/bare-consumer';

export interface PublishSettings extends RoundsSettings {
  readonly sessions: number;
  readonly inFlight: number;
}

interface Phase {
  recordsPerS: number;
  cpuUsPerRecord: Record<string, number>;
  missing: number;
}

const BARE_STREAM = 'FLEXPUSH_BENCH';
const BARE_BAR = 0.5;
/** What was acknowledged is read within this time, or it is missing. */
const READ_WITHIN = { lookMs: 20, maxMs: 60_000 };
const WARM_UP_MS = 1_000;
/** The event of the calm day: some 600 bytes as JSON. */
const TEXT = 'How can I help you today? '.repeat(17);

/** Published, stored, folded and committed, without any subscription: against publish and consume of the same messages. */
export async function runPublish(settings: PublishSettings): Promise<BenchResult> {
  return withOwnStack(
    {
      stack: {
        logLevel: 'warn',
        counts: { 'resend-timer': 0, 'gms-registry': 0, 'gms-node': 0, 'chat-api': 0 },
      },
      options: [],
    },
    (stack) => measure(stack, settings),
  );
}

async function measure(stack: Stack, settings: PublishSettings): Promise<BenchResult> {
  const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
  const sessionIds = await (await LogFill.open(bus)).openChats(settings.sessions);
  const jsm = await bus.connection.jetstreamManager();
  const { storage, num_replicas, duplicate_window } = (await jsm.streams.info(LOG_STREAM)).config;
  await jsm.streams.add({
    name: BARE_STREAM,
    subjects: ['flexpush-bench.>'],
    storage,
    num_replicas,
    duplicate_window,
  });
  const consumer = await BenchProcess.start('bare-consumer', {
    natsUrl: stack.natsUrl,
    stream: BARE_STREAM,
  } satisfies BareConsumerSettings);
  const actor = stack.servicesOf('session-actor')[0]?.url ?? '';
  const processes = [...processesOf(stack), consumer];
  const phase = async (
    subjectOf: (sessionId: string) => string,
    read: () => Promise<number>,
  ): Promise<Phase> => {
    const publisher = { bus, sessionIds, subjectOf, inFlight: settings.inFlight };
    const before = await read();
    await untilRead(read, before + (await publishFor(WARM_UP_MS, publisher)));
    const meter = new CpuMeter(processes);
    const startedMs = performance.now();
    const from = await read();
    const published = await publishFor(settings.seconds * 1000, publisher);
    const missing = await untilRead(read, from + published);
    return {
      recordsPerS: round(published / ((performance.now() - startedMs) / 1000), 0),
      cpuUsPerRecord: meter.perItemUs(published),
      missing,
    };
  };
  try {
    const figures = await alternate(
      {
        flexpush: () => phase(subjects.event, async () => (await readCounters(actor)).recordsFolded),
        jetstream: () =>
          phase(
            (sessionId) => `flexpush-bench.${sessionId}`,
            () => consumer.ask<number>('consumed'),
          ),
      },
      settings,
    );
    return toResult(figures, settings);
  } finally {
    await consumer.stop();
    await bus.close();
  }
}

/** Publishes as an agent's program does, `inFlight` at once; returns how many were acknowledged. */
async function publishFor(
  durationMs: number,
  publisher: {
    bus: NatsBus;
    sessionIds: readonly string[];
    subjectOf: (id: string) => string;
    inFlight: number;
  },
): Promise<number> {
  const { bus, sessionIds, subjectOf, inFlight } = publisher;
  const jetstream = bus.connection.jetstream();
  const endMs = performance.now() + durationMs;
  let published = 0;
  const worker = async (first: number): Promise<void> => {
    for (let n = first; performance.now() < endMs; n += inFlight) {
      const sessionId = sessionIds[n % sessionIds.length] ?? '';
      const id = randomUUID();
      const event = { v: 1, id, sessionId, type: 'message.send', userId: 'agent', text: TEXT };
      await jetstream.publish(subjectOf(sessionId), JSON.stringify(event), { msgID: id });
      published++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, n) => worker(n)));
  return published;
}

/** Returns how many never came. */
async function untilRead(read: () => Promise<number>, wanted: number): Promise<number> {
  let seen = 0;
  const isRead = async () => (seen = await read()) >= wanted;
  // What is missing then is counted.
  await until(isRead, 'records are missing', READ_WITHIN).catch(() => undefined);
  return Math.max(0, wanted - seen);
}

function toResult(
  figures: Record<'flexpush' | 'jetstream', Phase[]>,
  settings: PublishSettings,
): BenchResult {
  const rates = (name: keyof typeof figures) => figures[name].map(({ recordsPerS }) => recordsPerS);
  const ratios = { 'of publish + consume': ratio(rates('flexpush'), rates('jetstream')) };
  const shown = (name: keyof typeof figures) => ({
    recordsPerS: spread(rates(name)),
    cpuUsPerRecord: figures[name].at(-1)?.cpuUsPerRecord,
  });
  const missing = figures.flexpush.reduce((sum, phase) => sum + phase.missing, 0);
  return toBenchResult(
    'publish',
    [atLeast('of publish + consume', ratios['of publish + consume'], BARE_BAR), atMost('lost', missing, 0)],
    { settings, flexpush: shown('flexpush'), jetstream: shown('jetstream') },
    ratios,
  );
}
