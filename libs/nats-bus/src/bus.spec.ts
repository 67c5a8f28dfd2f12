import { parseJson } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';

describe('parseJson', () => {
  it.each([
    { name: 'an object', text: '{"a":1}', value: { a: 1 } },
    { name: 'a text', text: '"a"', value: 'a' },
    { name: 'nothing', text: '', value: undefined },
    { name: 'half an object', text: '{"a":', value: undefined },
  ])('gives the value of $name, or undefined', ({ text, value }) => {
    expect(parseJson(text)).toEqual(value);
  });
});

describe('NatsBus', () => {
  let nats: TestNats;
  let bus: NatsBus;
  const statuses: string[] = [];
  let onStatus: (status: string) => void = () => undefined;
  const handlerErrors: unknown[] = [];

  beforeAll(async () => {
    nats = await startTestNats();
    bus = await connectBus({
      url: nats.url,
      name: 'test',
      onStatus: (status) => {
        statuses.push(status);
        onStatus(status);
      },
      onHandlerError: (error) => handlerErrors.push(error),
    });
  });
  afterAll(async () => {
    await bus.close();
    await nats.stop();
  });

  function statusSeen(wanted: string): Promise<void> {
    return new Promise((resolve) => {
      onStatus = (status) => status === wanted && resolve();
    });
  }

  it('carries text, umlauts too, to every subscriber', async () => {
    const heard = new Promise<string>((resolve) =>
      bus.subscribe('test.a', (message) => resolve(`${message.subject} ${message.text()}`)),
    );
    bus.publish('test.a', 'Grüße 😀');
    expect(await heard).toBe('test.a Grüße 😀');
  });

  it('gives a message to one subscriber of a queue', async () => {
    const heard: string[] = [];
    const subscriptions = ['x', 'y'].map((name) =>
      bus.subscribe('test.queue', () => heard.push(name), { queue: 'q' }),
    );
    for (let i = 0; i < 20; i++) bus.publish('test.queue', String(i));
    await bus.flush();
    await bus.flush();
    expect(heard).toHaveLength(20);
    for (const subscription of subscriptions) subscription.stop();
  });

  it('hears nothing after stop', async () => {
    const heard: string[] = [];
    const subscription = bus.subscribe('test.stop', (message) => heard.push(message.text()));
    subscription.stop();
    bus.publish('test.stop', 'late');
    await bus.flush();
    await bus.flush();
    expect(heard).toEqual([]);
  });

  it('answers a request', async () => {
    const subscription = bus.subscribe('test.ask', (message) => message.respond(`${message.text()}!`));
    expect(await bus.request('test.ask', 'hello', { timeoutMs: 2_000 })).toEqual({
      kind: 'answer',
      text: 'hello!',
    });
    subscription.stop();
  });

  it('tells at once that nobody is there, and after the time-out that nobody answers', async () => {
    expect(await bus.request('test.nobody', '', { timeoutMs: 60_000 })).toEqual({ kind: 'no-responders' });
    const silent = bus.subscribe('test.silent', () => undefined);
    expect(await bus.request('test.silent', '', { timeoutMs: 20 })).toEqual({ kind: 'timeout' });
    silent.stop();
  });

  it('goes on hearing when a handler throws, and hands the error over', async () => {
    bus.subscribe('test.bad', () => {
      throw new Error('handler');
    });
    const heard = new Promise<void>((resolve) => bus.subscribe('test.good', () => resolve()));
    bus.publish('test.bad', '');
    bus.publish('test.good', '');
    await heard;
    expect(handlerErrors).toEqual([new Error('handler')]);
  });

  it('reports a lost server, comes back by itself and keeps its subscriptions', async () => {
    const heard = new Promise<string>((resolve) =>
      bus.subscribe('test.again', (message) => resolve(message.text())),
    );
    const lost = statusSeen('disconnect');
    await nats.server.kill();
    await lost;
    expect(bus.connected()).toBe(false);
    const back = statusSeen('reconnect');
    await nats.server.start();
    await back;
    expect(bus.connected()).toBe(true);
    bus.publish('test.again', 'here');
    expect(await heard).toBe('here');
    expect(statuses).toEqual(['disconnect', 'reconnect']);
  });

  it('ends with a lost connection the requests that asked for it, and no others', async () => {
    bus.subscribe('test.mute', () => undefined);
    await bus.flush();
    const ended: string[] = [];
    const ask = (name: string, endsWithConnection: boolean) =>
      bus.requests
        .send('test.mute', '', { timeoutMs: 60_000, endsWithConnection })
        .then(({ kind }) => ended.push(`${name}: ${kind}`));
    const patient = ask('patient', false);
    const bound = ask('bound', true);
    await bus.flush();
    await nats.server.kill();
    await bound;
    expect(ended).toEqual(['bound: timeout']);
    bus.requests.close();
    await patient;
    await nats.server.start();
  });

  it('waits for a server that starts later', async () => {
    await nats.server.kill();
    const connecting = connectBus({ url: nats.url, name: 'early' });
    await nats.server.start();
    const early = await connecting;
    expect(early.connected()).toBe(true);
    await early.close();
  });

  it('delivers what it published before closing, and is silent afterwards', async () => {
    const listener = await connectBus({ url: nats.url, name: 'listener' });
    const heard: string[] = [];
    const last = new Promise<void>((resolve) =>
      listener.subscribe('test.close', (message) => {
        heard.push(message.text());
        if (message.text() === '99') resolve();
      }),
    );
    await listener.flush();
    const speaker = await connectBus({ url: nats.url, name: 'speaker' });
    for (let i = 0; i < 100; i++) speaker.publish('test.close', String(i));
    await speaker.close();
    await last;
    expect(heard).toHaveLength(100);
    expect(speaker.connected()).toBe(false);
    speaker.publish('test.close', 'too late');
    expect(await speaker.request('test.close', '', { timeoutMs: 50 })).toEqual({ kind: 'timeout' });
    await speaker.close();
    await listener.close();
  });

  it('closes while the server is away', async () => {
    const orphan = await connectBus({ url: nats.url, name: 'orphan' });
    orphan.subscribe('test.orphan', () => undefined);
    await nats.server.kill();
    await orphan.close();
    expect(orphan.connection.isClosed()).toBe(true);
    expect(orphan.connected()).toBe(false);
    await nats.server.start();
  });
});
