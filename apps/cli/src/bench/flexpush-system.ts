import { connectBus, EventPublisher, openOptionStore, type NatsBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { ChatClient, type ChatIdentity } from '../chat-client';
import { processesOf, type NamedProcess } from './cpu';
import { CUSTOMER, LogFill, secureKeyOf } from './log-fill';
import { untilQuiet } from './metrics';
import { CONFIRM_CONNECTIONS, type ReliableSystem } from './reliable-load';

const TEXT = 'How can I help you today?';
const PROVIDER = 'bench';

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
  async open(count: number, receiverUrl: string): Promise<readonly string[]> {
    const options = await openOptionStore(this.bus);
    const set = await options.set(`push.provider.${PROVIDER}`, 'customhttp.url', receiverUrl);
    options.close();
    if (set.kind === 'refused') throw new Error(set.reason);
    const fill = await LogFill.open(this.bus, PROVIDER);
    const sessionIds = await fill.openChats(count);
    await fill.refreshChats(sessionIds);
    await untilQuiet(this.stack);
    return sessionIds;
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
