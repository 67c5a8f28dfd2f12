import { shardOf, userIdSchema, type PublicRecord } from '@flexpush/contracts';
import type { CallRecord } from '@flexpush/actor-runtime';
import { appendFrom } from './actor-host';
import { CometClient } from './comet-client';
import type { Cluster } from './cluster';
import { newChat, type ChatHistory, type History, type Said, type SeenEvent } from './history';
import { Host } from './host';
import type { ChatPlan } from './plan';
import { SHARDS, type World } from './world';

const AGENT = userIdSchema.parse('jonas');
const KEY_HASH = 'a1'.repeat(32);
/** How soon a customer's program or an agent tries again what failed. */
const RETRY_MS = 200;

type CallFields<R = CallRecord> = R extends CallRecord
  ? Omit<R, 'v' | 'id' | 'sessionId' | 'userId' | 'replyTo'>
  : never;

/** A customer, its web application and its HTTP server, and the agent: everything on the outside of one chat. */
export class People {
  readonly chat: ChatHistory;
  private readonly client: CometClient | undefined;
  private readonly agentHost: Host;
  private readonly append: ReturnType<typeof appendFrom>;
  private ids = 0;
  private turn: number;
  private nextPosition = 1;
  private refreshing = false;
  private refreshAgain = false;
  private refreshes = 0;
  /** One after the other, each when the one before is acknowledged. */
  private agentLine: Promise<void> = Promise.resolve();
  private customerLine: Promise<void> = Promise.resolve();
  private resting = false;

  constructor(
    private readonly world: World,
    private readonly cluster: Cluster,
    readonly chatId: string,
    private readonly plan: ChatPlan,
    number: number,
  ) {
    this.chat = newChat(chatId, plan.kind);
    if (plan.kind === 'comet') this.client = this.cometClient(number);
    this.turn = number;
    this.agentHost = new Host(`agent-${number}`, world.time);
    this.append = appendFrom(world, this.agentHost);
  }

  start(): void {
    const { plan, world } = this;
    const at = (atMs: number, task: () => void) => void world.time.after(atMs - world.nowMs(), task);
    at(plan.createAtMs, () => {
      this.customerLine = this.create();
      this.agentLine = this.customerLine.then(() => this.agentJoins());
    });
    for (const { atMs, who } of plan.says) at(atMs, () => this.say(who));
    for (const { atMs, forMs } of plan.goesAway) at(atMs, () => this.client?.goAway(forMs));
  }

  say(who: 'agent' | 'customer'): void {
    const text = `${this.chatId} ${who} ${++this.ids}`;
    if (who === 'agent') this.agentLine = this.agentLine.then(() => this.agentSays(text));
    else this.customerLine = this.customerLine.then(() => this.customerSays(text));
  }

  /** A POST has reached the customer's server. */
  receive(isTrigger: boolean): void {
    if (!isTrigger || this.plan.kind !== 'refreshing' || this.resting) return;
    const delays = this.plan.refreshAfterMs;
    const delayMs = delays[this.refreshes++ % delays.length] ?? 0;
    this.world.time.after(delayMs, () => void this.refreshSoon());
  }

  /** From now on the customer's application does nothing by itself. */
  rest(): void {
    this.resting = true;
  }

  /** The whole transcript, when all is over. */
  async readAll(): Promise<void> {
    await this.agentLine;
    await this.customerLine;
    await this.refresh(1, true);
  }

  private async create(): Promise<void> {
    const { plan } = this;
    await this.call({
      type: 'session.create',
      service: 'support',
      secureKey: 'secret-of-mira',
      keyHash: KEY_HASH,
      obfuscatedKey: 'opaque',
      nickname: 'Mira',
      userData: {},
      subscription: {
        deviceId: this.chatId,
        deviceType: 'customhttp',
        // The client reads its own words elsewhere than on the device.
        notifyRequestor: plan.kind === 'comet',
        includePayload: true,
        resend: plan.kind !== 'plain' && plan.kind !== 'comet',
        ...(plan.receiver === 'sick' ? { provider: 'sick' } : {}),
        debug: false,
      },
      ...(this.client ? { address: this.client.connect() } : {}),
    });
  }

  private cometClient(number: number): CometClient {
    const ask = async (fields: CallFields) => (await this.call(fields)).messages as SeenEvent[];
    const keyHash = KEY_HASH;
    return new CometClient(
      this.world,
      this.cluster,
      this.chat,
      {
        follow: (address, transcriptPosition) =>
          ask({ type: 'request.follow', keyHash, address, transcriptPosition }),
        away: (address, transcriptPosition) =>
          ask({ type: 'request.away', keyHash, address, transcriptPosition }),
        refresh: (transcriptPosition) => ask({ type: 'request.refresh', keyHash, transcriptPosition }),
      },
      number,
    );
  }

  private agentJoins(): Promise<void> {
    const record = {
      type: 'participant.join',
      userId: AGENT,
      nickname: 'Jonas',
      participantType: 'Agent',
    } as const;
    return this.note({ type: 'ParticipantJoined', text: '', who: 'agent' }, () => this.publish(record));
  }

  private agentSays(text: string): Promise<void> {
    const record = { type: 'message.send', userId: AGENT, text } as const;
    return this.note({ type: 'Message', text, who: 'agent' }, () => this.publish(record));
  }

  private customerSays(text: string): Promise<void> {
    const record = { type: 'request.send', keyHash: KEY_HASH, text } as const;
    return this.note({ type: 'Message', text, who: 'customer' }, () => this.call(record));
  }

  private async note(what: Pick<Said, 'type' | 'text' | 'who'>, act: () => Promise<unknown>): Promise<void> {
    const said: Said = { ...what, startedAtMs: this.world.nowMs() };
    this.chat.said.push(said);
    await act();
    said.acknowledgedAtMs = this.world.nowMs();
  }

  /** Again under the same id until the log has it. */
  private async publish(fields: PublicFields): Promise<void> {
    const record = { v: 1, id: this.nextId(), sessionId: this.chatId, ...fields } as PublicRecord;
    for (;;) {
      const appended = await this.append(shardOf(this.chatId, SHARDS), record);
      if (appended.kind === 'appended') return;
      await this.pause(RETRY_MS);
    }
  }

  private async refreshSoon(): Promise<void> {
    if (this.refreshing) {
      this.refreshAgain = true;
      return;
    }
    this.refreshing = true;
    do {
      this.refreshAgain = false;
      await this.refresh(this.nextPosition, false);
    } while (this.refreshAgain);
    this.refreshing = false;
  }

  private async refresh(from: number, isFinal: boolean): Promise<void> {
    const startedAtMs = this.world.nowMs();
    const answer = await this.call({ type: 'request.refresh', keyHash: KEY_HASH, transcriptPosition: from });
    const nextPosition = answer.reply.nextPosition ?? from;
    this.nextPosition = Math.max(this.nextPosition, nextPosition);
    this.chat.refreshes.push({
      from,
      startedAtMs,
      answeredAtMs: this.world.nowMs(),
      events: answer.messages as SeenEvent[],
      nextPosition,
      isFinal,
    });
  }

  /** A REST request under one Idempotency-Key, again until it is answered with ok. */
  private async call(fields: CallFields) {
    const record = {
      v: 1,
      id: this.nextId(),
      sessionId: this.chatId,
      userId: 'mira',
      ...fields,
    } as CallRecord;
    for (;;) {
      const answer = await this.cluster.chatHost(this.turn++)?.call(record);
      if (answer?.kind === 'answered' && answer.answer.reply.outcome === 'ok') return answer.answer;
      await this.pause(RETRY_MS);
    }
  }

  private nextId(): string {
    return `${this.chatId}-r${++this.ids}`;
  }

  private pause(forMs: number): Promise<void> {
    return new Promise((resolve) => this.world.time.after(forMs, resolve));
  }
}

type PublicFields<R = PublicRecord> = R extends PublicRecord ? Omit<R, 'v' | 'id' | 'sessionId'> : never;

/** Reads what a customer's server gets: the bodies of the contract, nothing else. */
export function notePost(
  history: History,
  body: PushBody,
  at: { atMs: number; taken: boolean },
): string | undefined {
  const chat = history.chats.get(body.deviceId);
  const [event] = body.message?.messages ?? [];
  if (!chat || !event) return undefined;
  const isTrigger = event.text === 'PUSH-NOTIFICATION' && event.index === 0;
  chat.posts.push(
    isTrigger
      ? {
          ...at,
          kind: 'trigger',
          attempt: Number(event.userData?.['notify-attempt']),
          position: Number(event.userData?.['notify-position']),
        }
      : { ...at, kind: 'event', index: event.index, text: event.text },
  );
  return isTrigger ? 'trigger' : 'event';
}

export interface PushBody {
  deviceId: string;
  message?: { messages?: { index: number; text?: string; userData?: Record<string, string> }[] };
}
