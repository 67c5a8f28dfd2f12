import type { ChatEvent, ChatResponse, CometPush } from '@flexpush/contracts';
import { ManualClock } from '@flexpush/testkit';
import fc from 'fast-check';
import { COMETD_BOUNDS } from './bounds';
import { FollowedChat, type ChatIdentity, type ChatPort } from './followed-chat';

const identity: ChatIdentity = {
  service: 'support-web',
  sessionId: '00021bBKRTX9M01C',
  userId: '00A1653C92D4000F',
  secureKey: '5be07d19c2f8a4360e77',
  obfuscatedKey: 'obfuscated',
};
const PAGE_EVENTS = 500;

function eventAt(index: number): ChatEvent {
  const from = { nickname: 'Jonas', participantId: 2, type: 'Agent' } as const;
  return { from, index, type: 'Message', text: `text ${index}`, utcTime: 1_790_000_000_000 };
}

function pushOf(event: ChatEvent | undefined): CometPush {
  const { sessionId, userId } = identity;
  return { v: 1, clientId: 'c', sessionId, userId, alias: '204', chatEnded: false, event } as CometPush;
}

/** A chat of so many events, and a client that notes what it gets. */
class Scene implements ChatPort {
  readonly clock = new ManualClock();
  readonly delivered: ChatResponse[] = [];
  readonly confirmations: (() => void)[] = [];
  readonly asked: number[] = [];
  isDropped = false;
  full = false;
  /** Positions that customers are not shown. */
  hidden = new Set<number>();
  failures = 0;
  readonly chat: FollowedChat;

  constructor(public events: number) {
    this.chat = new FollowedChat(identity, this);
  }

  page(position: number): ChatResponse {
    const { sessionId, userId, secureKey } = identity;
    const messages = [];
    let nextPosition = position;
    for (; nextPosition <= this.events && messages.length < PAGE_EVENTS; nextPosition++)
      if (!this.hidden.has(nextPosition)) messages.push(eventAt(nextPosition));
    return {
      statusCode: 0,
      chatId: sessionId,
      userId,
      secureKey,
      alias: '204',
      messages,
      nextPosition,
      chatEnded: false,
      monitored: false,
    };
  }

  refresh = (position: number): Promise<ChatResponse> => {
    this.asked.push(position);
    if (this.failures > 0) {
      this.failures--;
      return Promise.resolve({ statusCode: 1, chatId: identity.sessionId, messages: [], chatEnded: false });
    }
    return Promise.resolve(this.page(position));
  };
  deliver = (body: ChatResponse, _replyTo: unknown, onConfirmed: () => void): void => {
    this.delivered.push(body);
    this.confirmations.push(onConfirmed);
  };
  isFull = () => this.full;
  dropClient = () => void (this.isDropped = true);
  room = () => Promise.resolve();
  isGone = () => this.isDropped;

  begin(position = 1): Promise<ChatResponse> {
    const ask = () => Promise.resolve(this.page(position));
    return this.chat.begin({ position, identity, replyTo: '1', ask });
  }
  push(...indexes: number[]): void {
    for (const index of indexes) this.chat.push(pushOf(eventAt(index)));
  }
  indexes(): number[] {
    return this.delivered.flatMap(({ messages }) => messages.map(({ index }) => index ?? 0));
  }
  settle(): Promise<void> {
    return this.clock.advance(0);
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe('A followed chat', () => {
  it('delivers every event once and in order, whatever way the pushes take (F1)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.array(
          fc.tuple(fc.integer({ min: 1, max: 40 }), fc.constantFrom('push', 'twice', 'ping', 'wait')),
          {
            maxLength: 60,
          },
        ),
        async (events, steps) => {
          const scene = new Scene(0);
          await scene.begin();
          for (const [index, kind] of steps) {
            if (kind === 'wait') await scene.settle();
            else if (kind === 'ping') scene.chat.push(pushOf(undefined));
            else {
              scene.events = Math.max(scene.events, Math.min(index, events));
              const shown = Math.min(index, events);
              scene.push(shown, ...(kind === 'twice' ? [shown] : []));
            }
          }
          scene.chat.push(pushOf(undefined));
          await scene.settle();
          expect(scene.indexes()).toEqual(upTo(scene.events));
        },
      ),
    );
  });

  it('pulls the pages that do not fit into the first reply', async () => {
    const scene = new Scene(1_234);
    await scene.begin();
    await scene.settle();
    expect(scene.indexes()).toEqual(upTo(1_234));
    expect(scene.asked).toEqual([501, 1_001]);
    for (const { messages } of scene.delivered)
      expect(messages.length).toBeLessThanOrEqual(COMETD_BOUNDS.eventsPerMessage);
    for (const { messages, nextPosition } of scene.delivered)
      expect(nextPosition).toBe((messages.at(-1)?.index ?? 0) + 1);
  });

  it('shows the key that CometD clients know, never that of REST', async () => {
    const scene = new Scene(1);
    await scene.begin();
    scene.events = 2;
    scene.push(2);
    expect(scene.delivered.map(({ secureKey }) => secureKey)).toEqual(['obfuscated', 'obfuscated']);
  });

  it('does not ask without end for positions where there is nothing to show', async () => {
    const scene = new Scene(3);
    scene.hidden = new Set([2]);
    await scene.begin(2);
    scene.hidden = new Set([2, 4]);
    scene.events = 3;
    scene.push(5);
    await scene.settle();
    expect(scene.asked.length).toBeLessThanOrEqual(COMETD_BOUNDS.fruitlessPulls);
    expect(scene.indexes()).toEqual([3, 5]);
    // Nor of a session that lags behind what it pushed itself.
    scene.push(9);
    await scene.settle();
    expect(scene.asked.length).toBeLessThanOrEqual(2 * COMETD_BOUNDS.fruitlessPulls);
    expect(scene.indexes()).toEqual([3, 5, 9]);
  });

  it('tries again while the sessions do not answer, then says so, and goes on with the next event', async () => {
    const scene = new Scene(1);
    await scene.begin();
    scene.events = 3;
    scene.failures = COMETD_BOUNDS.tries;
    scene.push(3);
    await scene.clock.advance(COMETD_BOUNDS.retryMs * 2 ** COMETD_BOUNDS.tries);
    expect(scene.asked).toHaveLength(COMETD_BOUNDS.tries);
    expect(scene.delivered.at(-1)).toMatchObject({ statusCode: 1 });
    scene.events = 4;
    scene.push(4);
    await scene.settle();
    expect(scene.indexes()).toEqual([1, 2, 3, 4]);
  });

  it('keeps a bounded number of events that wait, and loses none', async () => {
    const scene = new Scene(1);
    let resolve: (body: ChatResponse) => void = () => undefined;
    const began = scene.chat.begin({
      position: 1,
      identity,
      replyTo: '1',
      ask: () => new Promise((taken) => (resolve = taken)),
    });
    const count = COMETD_BOUNDS.waitingEvents + 50;
    const first = scene.page(1);
    scene.events = count;
    scene.push(...upTo(count));
    resolve(first);
    await began;
    await scene.settle();
    expect(scene.indexes()).toEqual(upTo(count));
  });

  it('drops a client that takes nothing', async () => {
    const scene = new Scene(1);
    await scene.begin();
    scene.full = true;
    scene.push(2, 3);
    expect(scene.isDropped).toBe(true);
    expect(scene.indexes()).toEqual([1]);
  });

  it('knows what the client surely has (F3), and begins anew with a new position', async () => {
    const scene = new Scene(4);
    await scene.begin(3);
    expect(scene.chat.confirmedPosition).toBe(2);
    expect(scene.chat.isSettled).toBe(false);
    scene.confirmations[0]?.();
    expect(scene.chat.confirmedPosition).toBe(4);
    expect(scene.chat.isSettled).toBe(true);
    scene.events = 5;
    scene.push(5);
    expect(scene.chat.confirmedPosition).toBe(4);
    expect(scene.chat.isSettled).toBe(false);
    await scene.begin(2);
    // What was delivered before the client asked for less says nothing any more.
    scene.confirmations[1]?.();
    expect(scene.chat.confirmedPosition).toBe(1);
  });
});
