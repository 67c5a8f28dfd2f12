import { connectBus, EventPublisher, openOptionStore, type NatsBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { ChatClient, type ChatIdentity } from '../chat-client';
import { processesOf, type NamedProcess } from './cpu';
import { CUSTOMER, LogFill, secureKeyOf } from './log-fill';
import { untilQuiet } from './metrics';
import { CONFIRM_CONNECTIONS, type ReliableSystem } from './reliable-load';

const TEXT = 'How can I help you today?';

/** This product: events over NATS as an agent's program publishes them, confirmed by a refresh over REST. */
export class FlexpushSystem implements ReliableSystem {
  readonly name = 'flexpush';
  readonly processes: readonly NamedProcess[];

  private constructor(
    private readonly stack: Stack,
    private readonly bus: NatsBus,
    private readonly events: EventPublisher,
    private readonly client: ChatClient,
  ) {
    this.processes = processesOf(stack).filter(({ pid }) => pid !== process.pid);
  }

  static async connect(stack: Stack): Promise<FlexpushSystem> {
    const at = { url: stack.natsUrl, name: 'flexpush-bench' };
    const client = new ChatClient(stack.chatApiUrl ?? '', 'support-web', CONFIRM_CONNECTIONS);
    return new FlexpushSystem(stack, await connectBus(at), await EventPublisher.connect(at), client);
  }

  /** Through the log, because by REST a million would take minutes. Resolves when nothing is on its way any more. */
  async open(count: number, ...receiverUrls: [string, ...string[]]): Promise<readonly string[]> {
    const options = await openOptionStore(this.bus);
    for (const [n, url] of receiverUrls.entries()) {
      const set = await options.set(`push.provider.${providerOf(n)}`, 'customhttp.url', url);
      if (set.kind === 'refused') throw new Error(set.reason);
    }
    options.close();
    const ofEach: string[][] = [];
    for (const n of receiverUrls.keys()) {
      const fill = await LogFill.open(this.bus, providerOf(n));
      const sessionIds = await fill.openChats(shareOf(count, n, receiverUrls.length));
      await fill.refreshChats(sessionIds);
      ofEach.push(sessionIds);
    }
    await untilQuiet(this.stack);
    return inTurn(ofEach);
  }

  async publish(sessionId: string): Promise<void> {
    const event = { type: 'message.send', sessionId, userId: 'agent' as never, text: TEXT } as const;
    const outcome = await this.events.publish(event);
    if (outcome.kind !== 'stored') throw new Error(`the event was not stored: ${JSON.stringify(outcome)}`);
  }

  async confirm(sessionId: string): Promise<void> {
    const identity: ChatIdentity = {
      chatId: sessionId,
      userId: CUSTOMER,
      secureKey: secureKeyOf(sessionId),
      alias: '0',
    };
    const { body } = await this.client.call('refresh', identity, { transcriptPosition: '1000000' });
    if (body.statusCode !== 0) throw new Error(`the refresh was refused: ${JSON.stringify(body)}`);
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.events.close();
    await this.bus.close();
  }
}

function providerOf(n: number): string {
  return `bench-${n}`;
}

/** Of `count` things that are dealt out to so many, those of the `n`th. */
function shareOf(count: number, n: number, ofAll: number): number {
  return Math.ceil((count - n) / ofAll);
}

/** The first of each list, then the second of each, and so on. */
function inTurn(lists: readonly (readonly string[])[]): string[] {
  const longest = Math.max(...lists.map(({ length }) => length));
  return Array.from({ length: longest }, (_, n) => lists.flatMap((list) => list[n] ?? [])).flat();
}
