import { connectBus, EventPublisher, openOptionStore } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { ChatClient, identityOf, pushUserData, type ChatIdentity } from '../chat-client';
import { processesOf, type NamedProcess } from './cpu';
import { inParallel, type ReliableSystem } from './reliable-load';

const SET_UP_PARALLEL = 64;
const TEXT = 'How can I help you today?';

/** This product: events over NATS as an agent's program publishes them, confirmed by a refresh over REST. */
export class FlexpushSystem implements ReliableSystem {
  readonly name = 'flexpush';
  readonly processes: readonly NamedProcess[];
  private readonly chats = new Map<string, ChatIdentity>();

  private constructor(
    private readonly stack: Stack,
    private readonly events: EventPublisher,
    private readonly client: ChatClient,
  ) {
    this.processes = processesOf(stack).filter(({ pid }) => pid !== process.pid);
  }

  static async connect(stack: Stack, connections = 128): Promise<FlexpushSystem> {
    const events = await EventPublisher.connect({ url: stack.natsUrl, name: 'flexpush-bench' });
    return new FlexpushSystem(
      stack,
      events,
      new ChatClient(stack.chatApiUrl ?? '', 'support-web', connections),
    );
  }

  /** By REST, with an agent in each. */
  async open(count: number, receiverUrl: string): Promise<readonly string[]> {
    await this.setReceiver(receiverUrl);
    await inParallel(
      Array.from({ length: count }, (_, n) => n),
      SET_UP_PARALLEL,
      async (n) => {
        const started = await this.client.requestChat({ nickname: `Load ${n}` }, pushUserData(`device-${n}`));
        const identity = identityOf(started);
        this.chats.set(identity.chatId, identity);
        await this.append(identity.chatId, {
          type: 'participant.join',
          nickname: 'Agent',
          participantType: 'Agent',
        });
        await this.confirm(identity.chatId);
      },
    );
    return [...this.chats.keys()];
  }

  private async setReceiver(url: string): Promise<void> {
    const bus = await connectBus({ url: this.stack.natsUrl, name: 'flexpush-bench' });
    const options = await openOptionStore(bus);
    const set = await options.set('push', 'customhttp.url', url);
    options.close();
    await bus.close();
    if (set.kind === 'refused') throw new Error(set.reason);
  }

  publish(chatId: string): Promise<void> {
    return this.append(chatId, { type: 'message.send', text: TEXT });
  }

  async confirm(chatId: string): Promise<void> {
    const identity = this.chats.get(chatId);
    if (!identity) throw new Error(`no chat ${chatId}`);
    const { body } = await this.client.call('refresh', identity, { transcriptPosition: '1000000' });
    if (body.statusCode !== 0) throw new Error(`the refresh was refused: ${JSON.stringify(body)}`);
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.events.close();
  }

  private async append(sessionId: string, event: AgentEvent): Promise<void> {
    const outcome = await this.events.publish({ sessionId, userId: 'agent' as never, ...event });
    if (outcome.kind !== 'stored') throw new Error(`the event was not stored: ${JSON.stringify(outcome)}`);
  }
}

type AgentEvent =
  | { type: 'participant.join'; nickname: string; participantType: 'Agent' }
  | { type: 'message.send'; text: string };
