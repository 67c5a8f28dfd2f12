import { ManualClock } from '@flexpush/testkit';
import type { BayeuxMessage } from './bayeux-message';
import { BayeuxSession, type EndCause, type Socket } from './bayeux-session';
import { COMETD_BOUNDS } from './bounds';

const TIMEOUT_MS = 30_000;
const MAX_INTERVAL_MS = 10_000;

interface Sent {
  channel?: string;
  n?: number;
  ext?: { ack?: number };
}

/** A client that long-polls by hand. */
class Polling {
  readonly clock = new ManualClock();
  readonly ends: { cause: EndCause; position: number | undefined }[] = [];
  readonly confirmed: number[] = [];
  readonly answers: Sent[][] = [];
  readonly session: BayeuxSession;

  constructor(isAcknowledging = false) {
    this.session = new BayeuxSession({
      clientId: 'client',
      browserId: 'browser',
      timeoutMs: TIMEOUT_MS,
      maxIntervalMs: MAX_INTERVAL_MS,
      isAcknowledging,
      clock: this.clock,
      onEnd: (cause, position) => this.ends.push({ cause, position }),
    });
  }

  send(...numbers: number[]): void {
    for (const n of numbers) this.session.send({ n }, () => this.confirmed.push(n));
  }

  connect(message: Partial<BayeuxMessage> = {}) {
    return this.session.connect({ channel: '/meta/connect', data: undefined, ...message }, true, (texts) =>
      this.answers.push(texts.map((text) => JSON.parse(text) as Sent)),
    );
  }

  /** What the nth answer delivered. */
  numbers(answer: number): (number | undefined)[] {
    return (this.answers[answer] ?? []).filter(({ n }) => n !== undefined).map(({ n }) => n);
  }
}

class PlayedSocket implements Socket {
  readonly sent: (number | undefined)[] = [];
  isOpen = true;

  hasRoom = () => this.isOpen;
  attached = () => undefined;
  detached = () => undefined;
  send(texts: string[]): void {
    for (const text of texts) this.sent.push((JSON.parse(text) as Sent).n);
  }
}

describe('A Bayeux session', () => {
  it('holds /meta/connect until there is something to say, or the time-out', async () => {
    const polling = new Polling();
    polling.connect({ advice: { timeout: 0 } });
    expect(polling.answers).toHaveLength(1);
    polling.connect();
    await polling.clock.advance(TIMEOUT_MS - 1);
    expect(polling.answers).toHaveLength(1);
    await polling.clock.advance(1);
    expect(polling.answers[1]).toMatchObject([{ channel: '/meta/connect', successful: true }]);
    polling.connect();
    polling.send(1);
    expect(polling.numbers(2)).toEqual([1]);
    polling.send(2, 3);
    polling.connect();
    expect(polling.numbers(3)).toEqual([2, 3]);
  });

  it('ends after the interval without /meta/connect, never while one is held', async () => {
    const polling = new Polling();
    polling.connect();
    await polling.clock.advance(TIMEOUT_MS - 1);
    expect(polling.ends).toEqual([]);
    await polling.clock.advance(1 + MAX_INTERVAL_MS - 1);
    expect(polling.ends).toEqual([]);
    await polling.clock.advance(1);
    expect(polling.ends).toEqual([{ cause: 'expired', position: undefined }]);
    await polling.clock.advance(TIMEOUT_MS);
    expect(polling.ends).toHaveLength(1);
  });

  it('ends after the interval when the client never connects, or its held request breaks', async () => {
    const never = new Polling();
    await never.clock.advance(MAX_INTERVAL_MS);
    expect(never.ends).toHaveLength(1);
    const broken = new Polling();
    broken.connect().gone();
    await broken.clock.advance(MAX_INTERVAL_MS - 1);
    expect(broken.ends).toEqual([]);
    await broken.clock.advance(1);
    expect(broken.ends).toHaveLength(1);
  });

  it('takes as received only what went out before the answer that the client came back from (B1)', () => {
    const polling = new Polling();
    polling.send(1, 2);
    polling.connect();
    expect(polling.confirmed).toEqual([]);
    polling.connect();
    expect(polling.confirmed).toEqual([1, 2]);
    polling.send(3);
    expect(polling.confirmed).toEqual([1, 2]);
  });

  it.each([
    { name: 'the client says that it lost the connection', how: 'advice' as const },
    { name: 'the answer broke off', how: 'broken' as const },
  ])('sends again what may not have arrived when $name (B2)', ({ how }) => {
    const polling = new Polling();
    polling.send(1);
    const held = polling.connect();
    if (how === 'broken') held.gone();
    polling.send(2);
    polling.connect(how === 'advice' ? { advice: { timeout: 0 } } : {});
    expect(polling.numbers(1)).toEqual([1, 2]);
    expect(polling.confirmed).toEqual([]);
    polling.connect();
    expect(polling.confirmed).toEqual([1, 2]);
  });

  it('goes by the acknowledgements of a client that gives them', () => {
    const polling = new Polling(true);
    polling.send(1);
    polling.connect({ ext: { ack: -1 } });
    const first = polling.answers[0]?.at(-1)?.ext?.ack;
    polling.send(2);
    polling.connect({ ext: { ack: first } });
    expect(polling.confirmed).toEqual([1]);
    expect(polling.numbers(1)).toEqual([2]);
    // The second answer did not arrive.
    polling.connect({ ext: { ack: first } });
    expect(polling.numbers(2)).toEqual([2]);
    polling.connect({ ext: { ack: polling.answers[2]?.at(-1)?.ext?.ack } });
    expect(polling.confirmed).toEqual([1, 2]);
  });

  it('ends an earlier held /meta/connect with the next one (B3)', () => {
    const polling = new Polling();
    polling.connect({ id: 'first' });
    polling.connect({ id: 'second' });
    expect(polling.answers).toMatchObject([[{ id: 'first' }]]);
    polling.send(1);
    expect(polling.answers[1]).toMatchObject([{ n: 1 }, { id: 'second' }]);
  });

  it('says when no more should be queued, and when there is room again (B5)', async () => {
    const polling = new Polling();
    let hasRoom = false;
    for (let n = 0; n < COMETD_BOUNDS.queuedMessages; n++) polling.send(n);
    expect(polling.session.isFull()).toBe(true);
    void polling.session.room().then(() => (hasRoom = true));
    polling.connect();
    await polling.clock.advance(0);
    expect(hasRoom).toBe(false);
    polling.connect();
    await polling.clock.advance(0);
    expect(hasRoom).toBe(true);
    expect(polling.session.isFull()).toBe(false);
  });

  it('drops a client at twice the bound, whatever was to be sent to it', () => {
    const polling = new Polling();
    for (let n = 0; n < 2 * COMETD_BOUNDS.queuedMessages; n++) polling.send(n);
    expect(polling.ends).toEqual([]);
    polling.send(-1);
    expect(polling.ends).toMatchObject([{ cause: 'queue-full' }]);
  });

  it('lets nobody wait for room in a session that has ended', async () => {
    const polling = new Polling();
    for (let n = 0; n < COMETD_BOUNDS.queuedMessages; n++) polling.send(n);
    const waiting = polling.session.room();
    polling.session.end('disconnect');
    await expect(waiting).resolves.toBeUndefined();
  });

  it('answers the held /meta/connect when it ends, and sends nothing after', () => {
    const polling = new Polling();
    polling.connect();
    polling.session.end('disconnect', 7);
    polling.session.end('disconnect', 8);
    polling.send(1);
    expect(polling.ends).toEqual([{ cause: 'disconnect', position: 7 }]);
    expect(polling.answers).toMatchObject([[{ advice: { reconnect: 'none' } }]]);
  });

  it('tells a client that was dropped to begin anew', () => {
    const polling = new Polling();
    polling.connect();
    polling.session.end('queue-full');
    expect(polling.answers).toMatchObject([[{ successful: false, advice: { reconnect: 'handshake' } }]]);
  });

  it('hands over what waits when the process stops', () => {
    const polling = new Polling();
    polling.connect();
    polling.session.leave();
    expect(polling.answers).toMatchObject([[{ successful: false, advice: { reconnect: 'handshake' } }]]);
    expect(polling.ends).toMatchObject([{ cause: 'stopping' }]);
    const overSocket = new Polling();
    const socket = new PlayedSocket();
    overSocket.session.attach(socket);
    overSocket.connect();
    socket.isOpen = false;
    overSocket.send(1);
    socket.isOpen = true;
    overSocket.session.leave();
    expect(socket.sent).toEqual([1]);
    expect(overSocket.answers).toEqual([]);
    expect(overSocket.ends).toMatchObject([{ cause: 'stopping' }]);
  });

  it('pushes through a socket at once, and takes it as received by the next /meta/connect', () => {
    const polling = new Polling();
    const socket = new PlayedSocket();
    polling.session.attach(socket);
    polling.send(1);
    expect(socket.sent).toEqual([]);
    polling.connect({ advice: { timeout: 0 } });
    polling.connect();
    polling.send(2, 3);
    expect([...polling.numbers(0), ...socket.sent]).toEqual([1, 2, 3]);
    expect(polling.confirmed).toEqual([1]);
    polling.connect();
    // The second connect was replaced, not answered by us: what came while it was held is not confirmed yet.
    expect(polling.confirmed).toEqual([1]);
  });

  it('keeps messages while a socket has no room, and sends them again through the next one', async () => {
    const polling = new Polling();
    const first = new PlayedSocket();
    polling.session.attach(first);
    polling.connect();
    polling.send(1);
    first.isOpen = false;
    polling.send(2);
    expect(first.sent).toEqual([1]);
    polling.session.detach(first);
    await polling.clock.advance(MAX_INTERVAL_MS - 1);
    const second = new PlayedSocket();
    polling.session.attach(second);
    polling.connect();
    expect(second.sent).toEqual([1, 2]);
    polling.session.detach(second);
    await polling.clock.advance(MAX_INTERVAL_MS);
    expect(polling.ends).toMatchObject([{ cause: 'expired' }]);
    expect(polling.confirmed).toEqual([]);
  });
});
