import type { CallClock, CallOutcome, CallRecord } from '@flexpush/actor-runtime';
import {
  cometPushAnswerSchema,
  internalRecordSchema,
  type ChatEvent,
  type FoldReply,
  type OptionValues,
  type RecordOf,
} from '@flexpush/contracts';
import { createLogger, Operations, readConfig, serviceModule } from '@flexpush/process';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { chatApiParts } from '../chat-api';
import type { CallPort } from '../chat-service';
import type { FileStorePort } from '../file-service';
import { configSchema } from '../config';
import { ChatMetrics } from '../metrics';
import { RequestGate } from '../request-gate';
import type { NtfFiles } from './chat-ntf';
import type { Cometd } from './cometd';

export const SECRET = 'a secret of forty characters, for tests.';
export const CALLER_ID = 'chat-api-1-abc';
export const CHANNEL = '/service/chatV2/support-web';
const PAGE_EVENTS = 500;

/** Plays the sessions: keeps a transcript, answers requests, and pushes to who follows. */
export class PlayedSessions implements CallPort {
  readonly records: CallRecord[] = [];
  readonly events: ChatEvent[] = [];
  /** Where events are pushed; as the session would know it. */
  address: string | undefined;
  created: RecordOf<'session.create'> | undefined;
  chatEnded = false;
  /** Answers instead of the played session, where it returns something. */
  intercept: (record: CallRecord) => CallOutcome | Promise<CallOutcome> | undefined = () => undefined;
  push: (push: object) => string | undefined = () => undefined;

  async call(record: CallRecord): Promise<CallOutcome> {
    internalRecordSchema.parse(record);
    this.records.push(record);
    const instead = this.intercept(record);
    return instead === undefined ? this.fold(record) : instead;
  }

  of<T extends CallRecord['type']>(type: T): Extract<CallRecord, { type: T }>[] {
    return this.records.filter((record) => record.type === type) as Extract<CallRecord, { type: T }>[];
  }

  /** Something happens in the chat. */
  say(text: string, fields: Partial<ChatEvent> = {}): 'taken' | 'gone' | undefined {
    const event: ChatEvent = {
      from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
      index: this.events.length + 1,
      type: 'Message',
      text,
      utcTime: 1_790_000_000_000,
      ...fields,
    };
    this.events.push(event);
    return this.pushEvent(event);
  }

  pushEvent(event: ChatEvent | undefined): 'taken' | 'gone' | undefined {
    if (this.address === undefined || !this.created) return undefined;
    const { sessionId, userId } = this.created;
    const clientId = this.address.split('/')[1];
    const { chatEnded } = this;
    const answer = this.push({ v: 1, clientId, sessionId, userId, alias: '204', chatEnded, event });
    return answer === undefined ? undefined : cometPushAnswerSchema.parse(JSON.parse(answer)).status;
  }

  private fold(record: CallRecord): CallOutcome {
    switch (record.type) {
      case 'session.create':
        this.created = record;
        this.address = record.address;
        this.say('', { type: 'ParticipantJoined', from: mira });
        return answered({ nextPosition: 1 });
      case 'request.follow':
        this.address = record.address;
        return this.page(record.transcriptPosition);
      case 'request.refresh':
        return this.page(record.transcriptPosition);
      case 'request.away':
        if (this.address === record.address) this.address = undefined;
        return answered({});
      case 'request.send':
        this.say(record.text, { from: mira });
        return answered({});
      case 'request.startTyping':
        this.say(record.text ?? '', { from: mira, type: 'TypingStarted' });
        return answered({});
      case 'request.disconnect':
        this.chatEnded = true;
        this.say('', { from: mira, type: 'ParticipantLeft' });
        return answered({ chatEnded: true });
      default:
        return answered({});
    }
  }

  private page(position = 1): CallOutcome {
    const from = Math.max(position, 1);
    const messages = this.events.slice(from - 1, from - 1 + PAGE_EVENTS);
    return answered({ nextPosition: from + messages.length, chatEnded: this.chatEnded }, messages);
  }
}

const mira = { nickname: 'Mira', participantId: 1, type: 'Client' } as const;

export function answered(reply: Partial<FoldReply>, messages: ChatEvent[] = []): CallOutcome {
  return {
    kind: 'answered',
    answer: {
      alias: '204',
      reply: { outcome: 'ok', chatEnded: false, monitored: false, ...reply },
      messages,
    },
  };
}

export interface CometApp {
  app: NestFastifyApplication;
  cometd: Cometd;
  url: string;
  gate: RequestGate;
  operations: Operations;
  sessions: PlayedSessions;
  /** Of the option bucket; undefined while it is not read. */
  values: OptionValues | undefined;
  isConnected: boolean;
  close(): Promise<void>;
}

export const SWITCHED_ON = { 'chat/enable_notification_mode': 'true' };

/** chat-api as it runs, over played sessions. */
export async function startCometApp(
  env: Record<string, string> = {},
  more: { clock?: CallClock; ntfFiles?: NtfFiles; files?: () => FileStorePort } = {},
): Promise<CometApp> {
  const config = readConfig(configSchema, { FLEXPUSH_KEY_SECRET: SECRET, ...env });
  const nodeId = 'chat-api-1';
  const log = createLogger({ service: 'chat-api', nodeId, level: 'fatal' });
  const operations = new Operations({ service: 'chat-api', nodeId });
  const gate = new RequestGate(config.FLEXPUSH_REQUESTS_IN_FLIGHT_MAX);
  const metrics = new ChatMetrics(operations.registry, () => gate.inFlight());
  const state: Omit<CometApp, 'app' | 'cometd' | 'url' | 'close'> = {
    gate,
    operations,
    sessions: new PlayedSessions(),
    values: SWITCHED_ON,
    isConnected: true,
  };
  const parts = chatApiParts(
    { config, log, operations, nodeId, incarnation: 'abc' },
    {
      callerId: CALLER_ID,
      metrics,
      gate,
      calls: () => (started.isConnected ? started.sessions : undefined),
      options: () => started.values,
      ...more,
    },
  );
  const app = await NestFactory.create<NestFastifyApplication>(
    serviceModule(parts, operations),
    parts.adapter,
    {
      logger: false,
      abortOnError: false,
    },
  );
  const started: CometApp = {
    ...state,
    app,
    cometd: parts.cometd,
    url: '',
    close: () => app.close(),
  };
  await parts.configure(app);
  await app.listen(0, '127.0.0.1');
  started.url = `${await app.getUrl()}/genesys/cometd`;
  return started;
}
