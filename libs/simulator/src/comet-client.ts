import { cometPushSchema, parseJson, type CometPush } from '@flexpush/contracts';
import type { ChatHost } from './chat-host';
import type { Cluster } from './cluster';
import type { ChatHistory, SeenEvent } from './history';
import type { World } from './world';

/** How long a client takes to find another chat-api. */
const RECONNECT_MS = 300;

/** What the client asks of its chat, as one request each, until it is answered. */
export interface ClientCalls {
  follow(address: string, from: number): Promise<readonly SeenEvent[]>;
  away(address: string, position: number): Promise<unknown>;
  refresh(from: number): Promise<readonly SeenEvent[]>;
}

/**
 * A CometD client and what its chat-api does for it: it is shown every event once and in order, steps over none, and
 * connects anew wherever it is let in.
 */
export class CometClient {
  private host: ChatHost | undefined;
  private clientId = '';
  private next = 1;
  private connections = 0;
  private pulling = false;
  /** What it asks goes one after the other. */
  private line: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly world: World,
    private readonly cluster: Cluster,
    private readonly chat: ChatHistory,
    private readonly calls: ClientCalls,
    private readonly number: number,
  ) {}

  /** Connects, and returns its address; what comes for it is shown from now on. */
  connect(): string {
    const host = this.cluster.chatHost(this.number + this.connections++);
    if (!host) throw new Error('no chat-api is there');
    this.host = host;
    const clientId = (this.clientId = `client-${this.number}-${this.connections}`);
    host.clients.set(clientId, (text) => this.hear(text));
    host.host.whenDead(() => {
      if (this.clientId === clientId) this.world.time.after(RECONNECT_MS, () => this.comeBack(clientId));
    });
    return `${host.callerId}/${clientId}`;
  }

  /** To the background, and back after a while; for good when it is never told to come back. */
  goAway(forMs: number): void {
    const { host, clientId, next } = this;
    if (!host?.clients.delete(clientId)) return;
    this.clientId = '';
    const address = `${host.callerId}/${clientId}`;
    this.line = this.line.then(() => this.calls.away(address, next - 1));
    this.world.time.after(forMs, () => this.comeBack(''));
  }

  private comeBack(from: string): void {
    if (this.clientId !== from) return;
    if (!this.cluster.chatHost(0)) {
      this.world.time.after(RECONNECT_MS, () => this.comeBack(from));
      return;
    }
    const address = this.connect();
    this.line = this.line.then(async () => this.show(await this.calls.follow(address, this.next)));
  }

  private hear(text: string): void {
    const { event } = cometPushSchema.parse(parseJson(text)) satisfies CometPush;
    if (event?.index === undefined) return;
    if (event.index > this.next) void this.pull();
    else this.show([event as SeenEvent]);
  }

  /** There is a gap: what is missing is fetched. */
  private async pull(): Promise<void> {
    if (this.pulling) return;
    this.pulling = true;
    this.show(await this.calls.refresh(this.next));
    this.pulling = false;
  }

  private show(events: readonly SeenEvent[]): void {
    for (const event of events) {
      if (event.index !== this.next) continue;
      this.next++;
      this.chat.shown.push({ ...event, atMs: this.world.nowMs() });
    }
  }
}
