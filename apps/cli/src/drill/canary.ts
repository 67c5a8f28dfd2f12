import { setTimeout as sleep } from 'node:timers/promises';
import type { ChatResponse } from '@flexpush/contracts';
import { identityOf, pushUserData, type ChatClient, type ChatIdentity } from '../chat-client';
import type { PublishedEvent, ReceivedPost, SessionHistory, TranscriptEntry } from './history';

const RETRY_MS = 200;
/** Together half a minute, longer than any drill breaks something for. */
const ATTEMPTS_MAX = 150;
const LEAVE_ATTEMPTS_MAX = 5;
const MARKER = /^e\d+$/;
/** A chat of a drill has far fewer events; a transcript that never ends is a fault of the system. */
const PAGES_MAX = 1_000;

/** Takes turns among the chat-apis. */
export interface ChatClients {
  next(): ChatClient;
}

/**
 * One chat of the load and its customer.
 *
 * K1. At most one event of it is on its way to the log, so the order of publishing is the order of the transcript.
 * K2. A refreshing customer refreshes only because of a push, one refresh at a time, and repeats one that failed.
 */
export class Canary {
  /** Acknowledged events that the customer has not been told of. */
  private readonly untold = new Map<string, PublishedEvent>();
  private readonly told = new Set<string>();
  private nextPosition = 1;
  private wantsRefresh = false;
  private isRefreshing = false;
  isPublishing = false;

  private constructor(
    private readonly clients: ChatClients,
    private readonly identity: ChatIdentity,
    readonly history: SessionHistory,
    private readonly stopped: AbortSignal,
  ) {}

  static async start(
    clients: ChatClients,
    settings: {
      deviceId: string;
      provider: string;
      customer: SessionHistory['customer'];
      receiver: number;
      shardOf: (sessionId: string) => number;
      stopped: AbortSignal;
    },
  ): Promise<Canary> {
    const { deviceId, provider, customer, receiver, stopped } = settings;
    const userData = pushUserData(deviceId, {
      GCTI_GMS_PushProvider: provider,
      GCTI_GMS_PushResend: String(customer !== 'plain'),
    });
    const answer = await retrying(
      () => clients.next().requestChat({ nickname: 'flexpush drill' }, userData),
      ({ body }) => body.statusCode !== 1,
      stopped,
    );
    if (answer === undefined) throw new Error('no chat-api starts a chat');
    const identity = identityOf(answer);
    const reason = answer.body.userData?.['flexpush-push-reason'];
    if (reason !== undefined) throw new Error(`the system starts chats without push: ${reason}`);
    const history: SessionHistory = {
      sessionId: identity.chatId,
      customer,
      shard: settings.shardOf(identity.chatId),
      receiver,
      events: [],
      posts: [],
      refreshes: [],
    };
    return new Canary(clients, identity, history, stopped);
  }

  get sessionId(): string {
    return this.identity.chatId;
  }

  /** Acknowledged events that nobody told the customer of yet. */
  get untoldCount(): number {
    return this.untold.size;
  }

  /** True while a refresh is wanted or under way. */
  get isBusy(): boolean {
    return this.isRefreshing || this.isPublishing;
  }

  acknowledged(event: PublishedEvent): void {
    if (!this.told.has(event.marker)) this.untold.set(event.marker, event);
  }

  pushed(post: ReceivedPost): void {
    this.history.posts.push(post);
    switch (this.history.customer) {
      case 'plain':
        if (post.marker !== undefined) this.tell(post.marker);
        return;
      case 'silent':
        for (const { marker, sentAtMs } of this.untold.values()) if (sentAtMs <= post.atMs) this.tell(marker);
        return;
      case 'refreshing':
        this.wantsRefresh = true;
        if (!this.isRefreshing) void this.refreshWhileWanted();
        return;
      default:
        this.history.customer satisfies never;
    }
  }

  /** One refresh now, so that what came before the load is confirmed. */
  async refreshOnce(): Promise<void> {
    this.wantsRefresh = true;
    await this.refreshWhileWanted();
  }

  /** Forgets the pushes and refreshes of the set-up, by which no drill is judged. */
  forgetSetUp(): void {
    this.history.posts.length = 0;
    this.history.refreshes.length = 0;
  }

  /** Reads the whole transcript; it stays undefined when nobody answers. */
  async readTranscript(): Promise<void> {
    const entries: TranscriptEntry[] = [];
    let from = 1;
    for (let page = 0; page < PAGES_MAX; page++) {
      const body = await this.askTranscript(from);
      if (body === undefined) return;
      for (const { index, text } of body.messages)
        if (index !== undefined && text !== undefined && MARKER.test(text))
          entries.push({ position: index, marker: text });
      if ((body.nextPosition ?? from) <= from) break;
      from = body.nextPosition ?? from;
    }
    this.history.transcript = entries;
  }

  /** Leaves the chat; false when that was not possible. */
  async leave(): Promise<boolean> {
    for (let attempt = 1; attempt <= LEAVE_ATTEMPTS_MAX; attempt++) {
      const answer = await this.clients
        .next()
        .call('disconnect', this.identity)
        .catch(() => undefined);
      if (answer?.body.statusCode === 0) return true;
      await sleep(RETRY_MS);
    }
    return false;
  }

  private async refreshWhileWanted(): Promise<void> {
    this.isRefreshing = true;
    try {
      while (this.wantsRefresh) {
        this.wantsRefresh = false;
        const startedAtMs = nowMs();
        const body = await this.askTranscript(this.nextPosition);
        if (body === undefined) return;
        const markers = body.messages.flatMap(({ text }) => (text && MARKER.test(text) ? [text] : []));
        this.nextPosition = Math.max(this.nextPosition, body.nextPosition ?? 0);
        this.history.refreshes.push({
          startedAtMs,
          answeredAtMs: nowMs(),
          nextPosition: body.nextPosition ?? 0,
          markers,
        });
        for (const marker of markers) this.tell(marker);
      }
    } finally {
      this.isRefreshing = false;
    }
  }

  private async askTranscript(from: number): Promise<ChatResponse | undefined> {
    const ask = () =>
      this.clients.next().call('refresh', this.identity, { transcriptPosition: String(from) });
    const answer = await retrying(ask, ({ body }) => body.statusCode === 0, this.stopped);
    return answer?.body;
  }

  private tell(marker: string): void {
    this.told.add(marker);
    this.untold.delete(marker);
  }
}

/** Epoch ms with fractions, never stepping back. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Asks until the answer is good; undefined when it never was, or the drill was stopped. */
async function retrying<T>(
  ask: () => Promise<T>,
  isGood: (answer: T) => boolean,
  stopped: AbortSignal,
): Promise<T | undefined> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX && !stopped.aborted; attempt++) {
    // A chat-api that is away or about to go refuses; the next one in turn may not.
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined && isGood(answer)) return answer;
    await sleep(RETRY_MS, undefined, { signal: stopped }).catch(() => undefined);
  }
  return undefined;
}
