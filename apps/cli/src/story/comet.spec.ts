import { CometClient, type CometTransport, type ServiceProcess } from '@flexpush/testkit';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Chat, pause, Story, until, type Answer } from './story';

jest.setTimeout(60_000);

/** Shorter than the product's, for the drop of a connection to be seen soon. */
const MAX_INTERVAL_MS = 1_500;
const QUIET_MS = 1_500;
const CHANNEL = '/service/chatV2/support-web';

let story: Story;
const clients: CometClient[] = [];

beforeAll(async () => {
  story = await Story.start({
    counts: { 'chat-api': 2 },
    env: { 'chat-api': { FLEXPUSH_COMETD_MAX_INTERVAL_MS: String(MAX_INTERVAL_MS) } },
  });
  await story.set(
    ['chat', 'enable_notification_mode', 'true'],
    ['push', 'pushEnabled', 'comet, customhttp'],
    ['settings', 'flex-push-resend-delay', '600'],
  );
}, 90_000);
afterAll(async () => {
  await Promise.all(clients.map((client) => client.disconnect()));
  await story?.stop();
});

const cometUrl = (service: ServiceProcess) => `${service.url}/genesys/cometd`;
const replica = (n: number) => story.stack.service(`chat-api-${n}`);

async function connected(transport: CometTransport, url = cometUrl(replica(1))): Promise<CometClient> {
  const client = new CometClient(transport, url);
  clients.push(client);
  // The options are watched, so they hold some moments after they were set.
  await until('a handshake', async () => (await client.handshake()).successful === true);
  return client;
}

let deviceCount = 0;
const device = () => ({
  push_notification_deviceid: `comet-device-${++deviceCount}`,
  push_notification_type: 'customhttp',
});

/** A chat that a CometD client requested, for the agent side and the web server of the story. */
async function chatting(client: CometClient): Promise<Chat> {
  const keys = device();
  const reply = await client.operate('requestChat', { nickname: 'Mira', userData: keys });
  if (reply.statusCode !== 0) throw new Error(`no chat: ${JSON.stringify(reply)}`);
  return new Chat(story, reply, { service: 'support-web', deviceId: keys.push_notification_deviceid });
}

const upTo = (count: number, from = 1) => Array.from({ length: count - from + 1 }, (_, i) => from + i);

function arrived(client: CometClient, count: number): Promise<void> {
  return client.until(`${count} events`, () => client.indexes().length >= count);
}

const transports: CometTransport[] = ['long-polling', 'websocket'];

describe.each(transports)('A CometD client over %s', (transport) => {
  it('is shown every event in order, its own and typing too, and its device is left alone', async () => {
    const client = await connected(transport);
    const chat = await chatting(client);
    await chat.agentJoins();
    await client.operate('startTyping', { secureKey: chat.secureKey });
    await client.operate('sendMessage', { secureKey: chat.secureKey, message: 'mine' });
    for (let i = 0; i < 20; i++) await chat.agentSays(`text ${i}`);
    await arrived(client, 24);
    expect(client.indexes()).toEqual(upTo(24));
    const transcript = await chat.refresh();
    expect(client.events()).toEqual(transcript.messages);
    await pause(QUIET_MS);
    expect(chat.posts()).toEqual([]);
  });

  it('that goes to the background is pushed to behind its position, and on return gets what it missed', async () => {
    const client = await connected(transport);
    const chat = await chatting(client);
    await chat.agentJoins();
    await chat.agentSays('seen');
    await arrived(client, 3);
    await client.disconnect({ transcriptPosition: '3' });
    await chat.agentSays('missed');
    await chat.received(1);
    const back = await connected(transport, cometUrl(replica(2)));
    const reply = await back.operate('requestNotifications', {
      secureKey: chat.secureKey,
      transcriptPosition: 4,
    });
    expect(reply.messages.map(({ text }) => text)).toEqual(['missed']);
    await chat.agentSays('live');
    await back.until('the live one', () => back.indexes().includes(5));
    await pause(QUIET_MS);
    expect(back.indexes()).toEqual([4, 5]);
    expect(chat.posts()).toHaveLength(1);
  });

  it('follows a chat that REST opened, and REST goes on with one that it opened', async () => {
    const client = await connected(transport);
    const byRest = await story.chat({}, { fields: {} });
    const { chatId, userId, secureKey } = byRest;
    const reply = await client.operate('requestNotifications', { chatId, userId, secureKey });
    expect(reply).toMatchObject({ statusCode: 0, messages: [{ index: 1, type: 'ParticipantJoined' }] });
    await byRest.call('send', { message: 'by REST' });
    await client.until('what REST said', () => client.events().some(({ text }) => text === 'by REST'));
    const chat = await chatting(client);
    const sent: Answer = await chat.call('send', { message: 'by REST too' });
    expect(sent.body.statusCode).toBe(0);
    await client.until('the other', () => client.events().some(({ text }) => text === 'by REST too'));
  });

  it.each([
    { how: 'dies', end: (service: ServiceProcess) => service.kill() },
    { how: 'is stopped', end: (service: ServiceProcess) => service.stop() },
  ])('loses no event and needs one handshake when its chat-api $how', async ({ end }) => {
    const balancer = await Balancer.start(replica(1));
    try {
      const client = await connected(transport, `${balancer.url}/genesys/cometd`);
      const chat = await chatting(client);
      let handshakes = 0;
      client.cometd.addListener('/meta/handshake', ({ successful }) => {
        if (successful !== true) return;
        handshakes++;
        const transcriptPosition = Math.max(0, ...client.indexes()) + 1;
        const data = { operation: 'requestNotifications', secureKey: chat.secureKey, transcriptPosition };
        client.cometd.publish(CHANNEL, data);
      });
      await chat.agentJoins();
      for (let i = 0; i < 10; i++) await chat.agentSays(`before ${i}`);
      await arrived(client, 12);
      await end(replica(1));
      for (let i = 0; i < 5; i++) await chat.agentSays(`while it is away ${i}`);
      balancer.moveTo(replica(2));
      for (let i = 0; i < 5; i++) await chat.agentSays(`after ${i}`);
      await client.until('all events', () => new Set(client.indexes()).size === 22);
      await chat.agentSays('and on');
      await client.until('the last', () => client.indexes().includes(23));
      expect([...new Set(client.indexes())]).toEqual(upTo(23));
      expect(handshakes).toBe(1);
    } finally {
      await balancer.close();
      if (replica(1).currentPid === undefined) await replica(1).start();
    }
  });
});

describe('A CometD client that drops', () => {
  it('is pushed to from the position that it surely has', async () => {
    const url = cometUrl(replica(1));
    const headers = { 'content-type': 'application/json' };
    const send = async (message: object, cookie = '') => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { ...headers, cookie },
        body: JSON.stringify([message]),
      });
      const replies = (await response.json()) as { clientId?: string; data?: Answer['body'] }[];
      return { replies, cookie: response.headers.get('set-cookie')?.split(';', 1)[0] };
    };
    const shake = { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['long-polling'] };
    const { replies, cookie } = await send(shake);
    const clientId = replies[0]?.clientId;
    const keys = device();
    const data = { operation: 'requestChat', nickname: 'Mira', userData: keys };
    await send({ channel: CHANNEL, clientId, id: 'op', data }, cookie);
    const connectOnce = () => send({ channel: '/meta/connect', clientId }, cookie);
    let reply: Answer['body'] | undefined;
    let indexes: (number | undefined)[] = [];
    while (reply === undefined || !indexes.includes(1)) {
      const datas = (await connectOnce()).replies.flatMap(({ data: body }) => body ?? []);
      reply ??= datas[0];
      indexes = [...indexes, ...datas.flatMap(({ messages }) => messages.map(({ index }) => index))];
    }
    // From here on nobody connects any more.
    const chat = new Chat(story, reply, {
      service: 'support-web',
      deviceId: keys.push_notification_deviceid,
    });
    await chat.agentJoins();
    await chat.agentSays('to nobody');
    await chat.received(2);
  });
});

/** What stands before the replicas: one target at a time, as stickiness has it. */
class Balancer {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private target: ServiceProcess,
  ) {}

  static async start(target: ServiceProcess): Promise<Balancer> {
    const server = createServer();
    const balancer = new Balancer(server, target);
    server.on('connection', (socket) => balancer.pass(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  moveTo(target: ServiceProcess): void {
    this.target = target;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private pass(socket: Socket): void {
    const onward = connect(Number(new URL(this.target.url).port), '127.0.0.1');
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      this.sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
    }
  }
}
