import { BOUNDS, describeProblems, readRecord, redact, shardOf, type LogRecord } from '@flexpush/contracts';
import type { LogMessage } from './ports';

/** One record of a message, or why it is none. `index` is its place in the message. */
export type Decoded = { index: number } & (
  { kind: 'record'; record: LogRecord } | { kind: 'malformed'; reason: string; shown: unknown }
);

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * A log message holds one record or an array of them. The public subject takes public types only; a session's record
 * must lie in the session's shard. Nothing here throws: what is wrong is said, record by record.
 */
export function decode(message: LogMessage, shard: number, shardCount: number): Decoded[] {
  const malformed = (reason: string, shown: unknown): Decoded[] => [
    { index: 0, kind: 'malformed', reason, shown },
  ];
  if (message.isPublic && message.data.length > BOUNDS.recordBytes)
    return malformed('too-large', { bytes: message.data.length });
  let parsed: unknown;
  try {
    parsed = JSON.parse(decoder.decode(message.data));
  } catch {
    return malformed('not-json', { bytes: message.data.length });
  }
  if (!Array.isArray(parsed))
    return [decodeOne(parsed, { index: 0, isPublic: message.isPublic, shard, shardCount })];
  if (parsed.length > BOUNDS.recordsPerMessage)
    return malformed('too-many-records', { records: parsed.length });
  return parsed.map((raw: unknown, index) =>
    decodeOne(raw, { index, isPublic: message.isPublic, shard, shardCount }),
  );
}

function decodeOne(
  raw: unknown,
  at: { index: number; isPublic: boolean; shard: number; shardCount: number },
): Decoded {
  const { index, isPublic, shard, shardCount } = at;
  const isProbe = typeof raw === 'object' && raw !== null && (raw as { type?: unknown }).type === 'probe';
  const parsed = readRecord(raw, isPublic && !isProbe);
  if (!parsed.success) {
    return { index, kind: 'malformed', reason: describeProblems(parsed.error), shown: redact(raw) };
  }
  const record: LogRecord = parsed.data;
  if ('sessionId' in record && shardOf(record.sessionId, shardCount) !== shard) {
    return { index, kind: 'malformed', reason: 'wrong-shard', shown: redact(raw) };
  }
  return { index, kind: 'record', record };
}
