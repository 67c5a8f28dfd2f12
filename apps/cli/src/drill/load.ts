import { setTimeout as sleep } from 'node:timers/promises';
import { shardOf, userIdSchema } from '@flexpush/contracts';
import { EventPublisher } from '@flexpush/nats-bus';
import { ChatClient } from '../chat-client';
import { Canary, nowMs, type ChatClients } from './canary';
import type { CustomerKind, PublishedEvent, SessionHistory } from './history';
import type { PushText } from './drill-receiver';
import { readPush } from './push-body';

export interface LoadSettings {
  readonly sessions: number;
  readonly ratePerS: number;
  /** A section `push.provider.<name>` per receiver; sessions are dealt out to them in turn. */
  readonly providers: readonly string[];
  readonly withPlain: boolean;
  readonly withSilent: boolean;
  /** Names the devices of this run, so that pushes of others are not taken for ours. */
  readonly runId: string;
  readonly shardCount: number;
}

export interface LoadFigures {
  published: number;
  unacknowledged: number;
  pushes: number;
  refreshes: number;
  /** Events that were due while every session had one on its way. */
  skipped: number;
}

const AGENT = userIdSchema.parse('agent');
const PUBLISHERS = 4;
const SET_UP_PARALLEL = 32;
const CONNECTIONS_PER_CHAT_API = 16;
const TICK_MS = 10;
/** A refused event is sent again under its id, which has no second effect. */
const PUBLISH_RETRY_MS = 100;
const PUBLISH_PATIENCE_MS = 30_000;
/** One session in ten has plain pushes, one in twenty never refreshes; of the latter not so many that resends are the load. */
const PLAIN_EVERY = 10;
const SILENT_EVERY = 20;
const SILENT_MAX = 100;

/**
 * Customers and agents of a drill: chats by REST, events by NATS at a rate, refreshes after pushes.
 *
 * L1. The rate is open: what the system does not take in time is not waited for, as long as some session is free.
 * L2. Every event is sent until the log acknowledges it or the patience ends.
 */
export class Load {
  readonly canaries: Canary[] = [];
  readonly figures: LoadFigures = { published: 0, unacknowledged: 0, pushes: 0, refreshes: 0, skipped: 0 };
  private readonly byDevice = new Map<string, Canary>();
  private readonly clients: ChatClient[];
  private turn = 0;
  private eventCount = 0;
  private nextCanary = 0;
  private publishing: Promise<void> | undefined;
  private isPublishing = false;

  private constructor(
    private readonly settings: LoadSettings,
    private readonly publishers: readonly EventPublisher[],
    chatApiUrls: readonly string[],
    private readonly stopped: AbortSignal,
  ) {
    this.clients = chatApiUrls.map((url) => new ChatClient(url, 'support-web', CONNECTIONS_PER_CHAT_API));
  }

  static async open(
    settings: LoadSettings,
    at: { natsUrl: string; chatApiUrls: readonly string[] },
    stopped: AbortSignal,
  ): Promise<Load> {
    const publishers = await Promise.all(
      Array.from({ length: PUBLISHERS }, () =>
        EventPublisher.connect({ url: at.natsUrl, name: 'flexpush-drill' }),
      ),
    );
    return new Load(settings, publishers, at.chatApiUrls, stopped);
  }

  /** Starts the chats, an agent in each, and confirms what that caused. */
  async startChats(): Promise<void> {
    const numbers = Array.from({ length: this.settings.sessions }, (_, n) => n);
    await inParallel(numbers, SET_UP_PARALLEL, async (n) => {
      this.stopped.throwIfAborted();
      await this.startChat(n);
    });
  }

  /** Takes what a receiver got. */
  received({ text, atMs }: PushText): void {
    const push = readPush(text, atMs);
    const canary = push && this.byDevice.get(push.deviceId);
    if (!canary) return;
    this.figures.pushes++;
    canary.pushed(push.post);
  }

  /** From here on everything counts. */
  startPublishing(): void {
    for (const canary of this.canaries) canary.forgetSetUp();
    this.figures.pushes = 0;
    this.isPublishing = true;
    this.publishing = this.publishAtRate();
  }

  /** Publishes no further events, and resolves when those under way are acknowledged or given up. */
  async stopPublishing(): Promise<void> {
    this.isPublishing = false;
    await this.publishing;
  }

  /** Acknowledged events of which the customer knows nothing yet. */
  untoldCount(): number {
    return this.canaries.reduce((sum, canary) => sum + canary.untoldCount + (canary.isBusy ? 1 : 0), 0);
  }

  async readTranscripts(): Promise<void> {
    await inParallel(this.canaries, SET_UP_PARALLEL, (canary) => canary.readTranscript());
  }

  /** Ends the chats of this run, so that none stays behind in a running system. Returns how many could not be ended. */
  async leaveChats(): Promise<number> {
    let left = 0;
    await inParallel(this.canaries, SET_UP_PARALLEL, async (canary) => {
      // The customer first: its own leave is not pushed, while it would be told of the agent's.
      if (!(await canary.leave())) return;
      const { sessionId } = canary;
      const agentLeft = await this.publisherOf(0).publish({
        sessionId,
        type: 'participant.leave',
        userId: AGENT,
      });
      if (agentLeft.kind === 'stored') left++;
    });
    return this.canaries.length - left;
  }

  histories(): readonly SessionHistory[] {
    return this.canaries.map(({ history }) => history);
  }

  async close(): Promise<void> {
    this.isPublishing = false;
    await Promise.all(this.clients.map((client) => client.close()));
    await Promise.all(this.publishers.map((publisher) => publisher.close().catch(() => undefined)));
  }

  private async startChat(n: number): Promise<void> {
    const { settings, stopped } = this;
    const receiver = n % settings.providers.length;
    const deviceId = `${settings.runId}-${n}`;
    const canary = await Canary.start(this.chatClients, {
      deviceId,
      provider: settings.providers[receiver] ?? '',
      customer: this.customerOf(Math.floor(n / settings.providers.length)),
      receiver,
      shardOf: (sessionId) => shardOf(sessionId, settings.shardCount),
      stopped,
    });
    this.byDevice.set(deviceId, canary);
    await this.publisherOf(n).publish({
      sessionId: canary.sessionId,
      type: 'participant.join',
      userId: AGENT,
      nickname: 'Agent',
      participantType: 'Agent',
    });
    await canary.refreshOnce();
    this.canaries.push(canary);
  }

  private readonly chatClients: ChatClients = {
    next: () => {
      const client = this.clients[this.turn++ % this.clients.length];
      if (!client) throw new Error('there is no chat-api');
      return client;
    },
  };

  private customerOf(n: number): CustomerKind {
    if (this.settings.withPlain && n % PLAIN_EVERY === 1) return 'plain';
    const isSilent = this.settings.withSilent && n % SILENT_EVERY === 2 && n / SILENT_EVERY < SILENT_MAX;
    return isSilent ? 'silent' : 'refreshing';
  }

  private publisherOf(n: number): EventPublisher {
    const publisher = this.publishers[n % this.publishers.length];
    if (!publisher) throw new Error('there is no publisher');
    return publisher;
  }

  private async publishAtRate(): Promise<void> {
    const startedMs = performance.now();
    const underWay = new Set<Promise<void>>();
    let due = 0;
    while (this.isPublishing && !this.stopped.aborted) {
      const wanted = ((performance.now() - startedMs) / 1000) * this.settings.ratePerS;
      for (; due < wanted; due++) {
        const canary = this.freeCanary();
        if (!canary) {
          this.figures.skipped++;
          continue;
        }
        const task = this.publish(canary).finally(() => underWay.delete(task));
        underWay.add(task);
      }
      await sleep(TICK_MS);
    }
    await Promise.all(underWay);
  }

  private freeCanary(): Canary | undefined {
    const { canaries } = this;
    for (let looked = 0; looked < canaries.length; looked++) {
      const canary = canaries[this.nextCanary++ % canaries.length];
      if (canary && !canary.isPublishing) return canary;
    }
    return undefined;
  }

  private async publish(canary: Canary): Promise<void> {
    const n = this.eventCount++;
    const event: PublishedEvent = { marker: `e${n}`, sentAtMs: nowMs() };
    canary.isPublishing = true;
    canary.history.events.push(event);
    if (await this.isAcknowledged(canary.sessionId, event, n)) {
      event.ackedAtMs = nowMs();
      this.figures.published++;
      canary.acknowledged(event);
    } else this.figures.unacknowledged++;
    canary.isPublishing = false;
  }

  private async isAcknowledged(sessionId: string, event: PublishedEvent, n: number): Promise<boolean> {
    const id = `${this.settings.runId}-${event.marker}`;
    while (nowMs() - event.sentAtMs < PUBLISH_PATIENCE_MS && !this.stopped.aborted) {
      const result = await this.publisherOf(n).publish({
        id,
        sessionId,
        type: 'message.send',
        userId: AGENT,
        text: event.marker,
      });
      if (result.kind === 'stored') return true;
      if (result.kind === 'invalid') throw new Error(result.problems.join('; '));
      await sleep(PUBLISH_RETRY_MS);
    }
    return false;
  }
}

/** Waits for all, so many at once. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await task(items[next++] as T);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
