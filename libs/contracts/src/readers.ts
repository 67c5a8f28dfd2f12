import type { z } from 'zod';
import { callRepliesSchema } from './chat-response';
import { jsonReader, type JsonReader } from './json-reader';
import { dispatchSchema, pushResultsSchema } from './push';
import { internalRecordSchema, publicRecordSchema, type LogRecord } from './records';

/** What travels by the thousand between our own services. */
export const dispatchReader = jsonReader(dispatchSchema);
export const pushResultsReader = jsonReader(pushResultsSchema);
export const callRepliesReader = jsonReader(callRepliesSchema);

/** Types of records that are frequent, and whose schemas have no refinements. */
export const frequentRecordTypes: ReadonlySet<string> = new Set<LogRecord['type']>([
  ...(['message.send', 'typing.start', 'typing.stop'] as const),
  ...(['request.refresh', 'request.send', 'request.startTyping', 'request.stopTyping'] as const),
  ...(['timers.fired', 'push.settled'] as const),
]);

const publicReaders = frequentReaders(publicRecordSchema.options);
const internalReaders = frequentReaders(internalRecordSchema.options);

/** Reads a record of the log. Public ones are of the types that anyone may publish. */
export function readRecord(raw: unknown, isPublic: boolean): z.ZodSafeParseResult<LogRecord> {
  const type = typeof raw === 'object' && raw !== null ? (raw as { type?: unknown }).type : undefined;
  const frequent = (isPublic ? publicReaders : internalReaders).get(type);
  return (frequent ?? (isPublic ? publicRecordSchema : internalRecordSchema)).safeParse(raw);
}

function frequentReaders(
  schemas: readonly (z.ZodType<LogRecord> & { shape: { type: z.ZodLiteral<string> } })[],
): Map<unknown, JsonReader<LogRecord>> {
  return new Map(
    schemas
      .filter(({ shape }) => frequentRecordTypes.has(shape.type.value))
      .map((schema) => [schema.shape.type.value, jsonReader(schema)]),
  );
}
