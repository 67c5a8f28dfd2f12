import { LOG_STREAM, parseJson } from '@flexpush/contracts';
import type { NatsBus } from '@flexpush/nats-bus';
import { percentile, round } from './statistics';

/** Firings of timers as the log holds them. */
export interface FiredTimers {
  readonly lost: number;
  /** More than once: claimed again behind the visibility time, before the first claim was folded. */
  readonly again: number;
  readonly early: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

interface Fired {
  readonly type: string;
  readonly timers?: readonly (readonly [member: string, scoreMs: number])[];
}

const INTERNAL_SUBJECTS = 'flexpush.log.*.int';
const NS_PER_MS = 1e6;

/** Where the next record of the log will be. */
export async function nextSeq(bus: NatsBus): Promise<number> {
  const jsm = await bus.connection.jetstreamManager();
  return (await jsm.streams.info(LOG_STREAM)).state.last_seq + 1;
}

/**
 * Reads afterwards, by a consumer like any other's, what fired from `fromSeq` on: a timer is late by the time at which
 * NATS stored its firing, against the score that it was armed with. Those due before `judgedFromMs` are the warm-up.
 */
export async function readFired(
  bus: NatsBus,
  armed: ReadonlyMap<string, number>,
  { fromSeq, judgedFromMs }: { fromSeq: number; judgedFromMs: number },
): Promise<FiredTimers> {
  const seen = new Set<string>();
  const lateMs: number[] = [];
  let fires = 0;
  let early = 0;
  for await (const { storedAtMs, records } of readLog(bus, fromSeq))
    for (const { type, timers } of records) {
      if (type !== 'timers.fired') continue;
      for (const [member, scoreMs] of timers ?? []) {
        const dueAtMs = armed.get(member);
        if (dueAtMs === undefined) continue;
        fires++;
        if (storedAtMs < scoreMs || storedAtMs < dueAtMs) early++;
        if (dueAtMs >= judgedFromMs && !seen.has(member)) lateMs.push(storedAtMs - dueAtMs);
        seen.add(member);
      }
    }
  return {
    lost: armed.size - seen.size,
    again: fires - seen.size,
    early,
    p50Ms: round(percentile(lateMs, 50)),
    p99Ms: round(percentile(lateMs, 99)),
    maxMs: round(percentile(lateMs, 100)),
  };
}

/** From a place to the present end. */
async function* readLog(
  bus: NatsBus,
  fromSeq: number,
): AsyncGenerator<{ storedAtMs: number; records: readonly Fired[] }> {
  if ((await nextSeq(bus)) <= fromSeq) return;
  const consumer = await bus.connection.jetstream().consumers.get(LOG_STREAM, {
    filterSubjects: INTERNAL_SUBJECTS,
    opt_start_seq: fromSeq,
    // The enumeration of the client is not to be had here.
    deliver_policy: 'by_start_sequence' as never,
  });
  const messages = await consumer.consume();
  for await (const message of messages) {
    const records = [parseJson(message.string())].flat() as Fired[];
    yield { storedAtMs: message.info.timestampNanos / NS_PER_MS, records };
    if (message.info.pending === 0) break;
  }
  await messages.close();
}
