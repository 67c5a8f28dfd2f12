import type { CallOutcome, CallRecord } from '@flexpush/actor-runtime';
import {
  BOUNDS,
  internalRecordSchema,
  sessionOptions,
  type ChatEvent,
  type FoldReply,
  type OptionValues,
} from '@flexpush/contracts';
import { createLogger, Operations, readConfig, serviceModule } from '@flexpush/process';
import { transition, type FoldInput, type Session } from '@flexpush/session';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { chatApiParts } from './chat-api';
import type { CallPort } from './chat-service';
import { configSchema } from './config';
import type { FileStorePort } from './file-service';
import { ChatMetrics } from './metrics';
import { RequestGate } from './request-gate';

/** Of a whole answer; what is not given is that of a request that went well. */
export function answered(reply: Partial<FoldReply> = {}, messages: unknown[] = []): CallOutcome {
  return {
    kind: 'answered',
    answer: {
      alias: '204',
      reply: { outcome: 'ok', chatEnded: false, monitored: false, ...reply },
      messages: messages as never,
    },
  };
}

/** Plays the fold: remembers records, answers what it is told to. */
export class PlayedFold implements CallPort {
  readonly records: CallRecord[] = [];
  answer: (record: CallRecord) => CallOutcome | Promise<CallOutcome> = () => answered();

  async call(record: CallRecord): Promise<CallOutcome> {
    this.records.push(record);
    return this.answer(record);
  }
}

/** The real fold over sessions in memory. A record that the log would refuse is a defect of chat-api. */
export class RealFold implements CallPort {
  readonly sessions = new Map<string, Session>();
  readonly transcripts = new Map<string, ChatEvent[]>();
  private atMs = 1_790_000_000_000;

  constructor(private readonly options: OptionValues = {}) {}

  async call(record: CallRecord): Promise<CallOutcome> {
    const parsed = internalRecordSchema.parse(JSON.parse(JSON.stringify(record)));
    if (JSON.stringify(parsed).length > BOUNDS.recordBytes)
      throw new Error('the record is too large for the log');
    return this.fold(parsed as FoldInput & { sessionId: string });
  }

  fold(record: FoldInput & { sessionId: string }): CallOutcome {
    const { sessionId } = record;
    const context = { atMs: ++this.atMs, options: sessionOptions(this.options, 'support') };
    const outcome = transition(this.sessions.get(sessionId), record, context);
    const transcript = this.transcripts.get(sessionId) ?? [];
    for (const effect of outcome.effects) if (effect.kind === 'append') transcript.push(effect.event);
    this.transcripts.set(sessionId, transcript);
    if (outcome.session) this.sessions.set(sessionId, outcome.session);
    const { page, ...reply } = outcome.reply ?? { outcome: 'refused' as const };
    return answered(reply, page ? transcript.slice(page.first - 1, page.last) : []);
  }
}

/** The HTTP side as it runs, listening on loopback, over whatever plays the rest. */
export async function startApp(backend: {
  calls: () => CallPort | undefined;
  files?: () => FileStorePort | undefined;
  options?: () => OptionValues;
  env?: Record<string, string>;
  onRoute?: (method: string, url: string) => void;
}): Promise<{ app: NestFastifyApplication; url: string; operations: Operations; logLines: string[] }> {
  const config = readConfig(configSchema, {
    FLEXPUSH_KEY_SECRET: 'a secret of forty characters, for tests.',
    ...backend.env,
  });
  const nodeId = 'chat-api-1';
  const logLines: string[] = [];
  const log = createLogger({ service: 'chat-api', nodeId, level: 'fatal' });
  const told = Object.create(log) as Record<string, unknown>;
  for (const level of ['debug', 'info', 'warn', 'error', 'fatal'])
    told[level] = (...parts: unknown[]) => void logLines.push(`${level} ${JSON.stringify(parts)}`);
  const operations = new Operations({ service: 'chat-api', nodeId });
  const gate = new RequestGate(config.FLEXPUSH_REQUESTS_IN_FLIGHT_MAX);
  const metrics = new ChatMetrics(operations.registry, () => gate.inFlight());
  const parts = chatApiParts(
    { config, log: told as unknown as typeof log, operations, nodeId, incarnation: 'abc' },
    { callerId: 'chat-api-1-abc', metrics, gate, ...backend },
  );
  const app = await NestFactory.create<NestFastifyApplication>(
    serviceModule(parts, operations),
    parts.adapter,
    { logger: false, abortOnError: false },
  );
  const { onRoute } = backend;
  if (onRoute)
    app
      .getHttpAdapter()
      .getInstance()
      .addHook('onRoute', ({ method, url }) => [method].flat().forEach((one) => onRoute(one, url)));
  await parts.configure(app);
  await app.listen(0, '127.0.0.1');
  return { app, url: await app.getUrl(), operations, logLines };
}
