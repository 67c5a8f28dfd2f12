import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LOG_STREAM, optionKey, shardOf, type ChatEvent, type ChatResponse } from '@flexpush/contracts';
import { connectBus, openOptionStore, type NatsBus, type OptionStore } from '@flexpush/nats-bus';
import {
  startReceiver,
  startStack,
  temporaryFolder,
  type Receiver,
  type RecordedPost,
  type ServiceProcess,
  type Stack,
  type StackOptions,
} from '@flexpush/testkit';

/** The plain NATS client; a program of the agent side has nothing else. */
type NatsConnection = NatsBus['connection'];
type JetStreamClient = ReturnType<NatsConnection['jetstream']>;
export type PubAck = Awaited<ReturnType<JetStreamClient['publish']>>;

const root = join(__dirname, '..', '..', '..', '..');
const POLL_INTERVAL_MS = 25;
/** Generous: two loaded cores may run several stacks at once. */
export const WAIT_MS = 10_000;

/** The user data of the page, without those keys that say how to deliver. */
export const subscribing = {
  GCTI_Chat_PushSubscribe: 'true',
  GCTI_GMS_PushDeviceType: 'customhttp',
} as const;
export const reliable = {
  ...subscribing,
  GCTI_GMS_PushResend: 'true',
  GCTI_GMS_PushIncludePayload: 'true',
} as const;

export interface Answer {
  status: number;
  body: ChatResponse;
}

/** A refused record, as it stands in the dead-letter stream. */
export interface Letter {
  subject: string;
  seq: number;
  reason: string;
  record: unknown;
}

interface LogLine {
  msg?: string;
  [field: string]: unknown;
}

/** What a reliable push says, as the web server reads it. */
export interface Trigger {
  attempt: number;
  position: number;
  nextPosition: number;
  chatEnded: boolean;
  receivedAtMs: number;
}

type Entry = readonly [section: string, name: string, value: string | undefined];

/** Resolves when the condition holds; rejects with its name after the time-out. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = WAIT_MS,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await pause(POLL_INTERVAL_MS);
  }
}

/** The bounded quiet period of "nothing comes"; waiting for something is `until`. */
export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/** Runs a program to its end. */
function run(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...args], { cwd: root }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr });
    });
  });
}

/**
 * A whole system in processes of its own, with the web server, the agent side and the customer's web application of
 * the story in this process. They use HTTP and NATS only.
 */
export class Story {
  private readonly letters: Letter[] = [];
  /** The newest option revision in each shard's log. */
  private readonly optionRevisions = new Map<number, number>();
  /** Records of the internal log since the start, as they were stored. */
  readonly internalRecords: { type: string; [field: string]: unknown }[] = [];
  private chatCount = 0;
  private readonly postsByDevice = new Map<string, RecordedPost[]>();
  private sortedPosts = 0;

  private constructor(
    readonly stack: Stack,
    readonly receiver: Receiver,
    private readonly bus: NatsBus,
    readonly options: OptionStore,
    /** The agent side's connection: a plain NATS client. */
    readonly nats: NatsConnection,
    readonly js: JetStreamClient,
  ) {}

  /** Builds what is not built, starts a system on free ports, and tells it where the web server is. */
  static async start(given: Omit<StackOptions, 'dir'> = {}): Promise<Story> {
    const built = await run([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '--build']);
    if (built.code !== 0) throw new Error(`tsc --build failed:\n${built.stdout}${built.stderr}`);
    const dir = temporaryFolder('story');
    const stack = await startStack({
      dir,
      shards: 8,
      supervise: false,
      logLevel: 'info',
      ...given,
      counts: { 'sample-receiver': 0, ...given.counts },
    });
    try {
      const receiver = await startReceiver();
      const bus = await connectBus({ url: stack.natsUrl, name: 'story' });
      const nats = (await connectBus({ url: stack.natsUrl, name: 'agent-side' })).connection;
      const story = new Story(stack, receiver, bus, await openOptionStore(bus), nats, nats.jetstream());
      story.listen();
      await nats.flush();
      await story.reset();
      return story;
    } catch (error) {
      await stack.stop();
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** Stops all and removes the folder. */
  async stop(): Promise<void> {
    this.options.close();
    await this.nats.close();
    await this.bus.connection.close();
    await this.stack.stop();
    await this.receiver.close();
    rmSync(this.stack.dir, { recursive: true, force: true });
  }

  /** Changes options and resolves when every shard's log has them, so that what is logged later is folded with them. */
  async set(...entries: readonly Entry[]): Promise<void> {
    let before = this.options.revision();
    for (const [section, name, value] of entries) {
      if (value === undefined) await this.options.unset(section, name);
      else {
        const checked = await this.options.set(section, name, value);
        if (checked.kind === 'refused') throw new Error(checked.reason);
      }
      await until(`${name} is watched`, () => this.options.revision() > before);
      before = this.options.revision();
    }
    await this.optionsLogged();
  }

  /** The options that every test begins with, and no others. */
  async reset(): Promise<void> {
    const wanted = new Map([
      [optionKey('settings', 'flex-push-on-join'), 'true'],
      [optionKey('push', 'pushEnabled'), 'comet, customhttp'],
      [optionKey('settings', 'flex-push-resend-delay'), '1'],
      [optionKey('push', 'customhttp.url'), `${this.receiver.url}/push`],
      [optionKey('push', 'customhttp.message'), 'dummy message'],
    ]);
    const present = this.options.values();
    const keys = new Set([...wanted.keys(), ...Object.keys(present)]);
    const differing = [...keys].filter((key) => wanted.get(key) !== present[key]);
    await this.set(
      ...differing.map((key): Entry => {
        const [section = '', name = ''] = key.split('/');
        return [section, name, wanted.get(key)];
      }),
    );
  }

  /** Resolves when the log of every shard has the newest options. */
  async optionsLogged(): Promise<void> {
    const shards = Array.from({ length: this.stack.shards }, (_, shard) => shard);
    const revision = this.options.revision();
    await until(`options of revision ${revision} in every shard`, () =>
      shards.every((shard) => (this.optionRevisions.get(shard) ?? 0) >= revision),
    );
  }

  /** Runs the command line against this system. */
  async cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const program = join(root, 'apps', 'cli', 'dist', 'main.js');
    return run([program, ...args, '--nats', this.stack.natsUrl]);
  }

  /** A request of the customer's web application. */
  async post(path: string, body: Readonly<Record<string, string>> | RequestInit): Promise<Answer> {
    const isForm = Object.values(body).every((value) => typeof value === 'string');
    const init = isForm ? { body: new URLSearchParams(body as Record<string, string>) } : body;
    const response = await fetch(`${this.stack.chatApiUrl}${path}`, { method: 'POST', ...init });
    return { status: response.status, body: (await response.json()) as ChatResponse };
  }

  /** Requests a chat; each has a device id of its own. */
  async chat(
    userData: Readonly<Record<string, string>> = reliable,
    more: { service?: string; fields?: Record<string, string> } = {},
  ): Promise<Chat> {
    this.chatCount++;
    const deviceId = userData['GCTI_GMS_PushDeviceId'] ?? `device-${this.chatCount}`;
    const service = more.service ?? 'support-web';
    const keys = { GCTI_GMS_PushDeviceId: deviceId, ...userData };
    const answer = await this.post(`/genesys/2/chat/${service}`, {
      nickname: 'Mira',
      ...Object.fromEntries(Object.entries(keys).map(([key, value]) => [`userData[${key}]`, value])),
      ...more.fields,
    });
    if (answer.status !== 200 || answer.body.statusCode !== 0)
      throw new Error(`no chat: ${JSON.stringify(answer)}`);
    return new Chat(this, answer.body, { service, deviceId });
  }

  /** Publishes as a program does that knows NATS and nothing else. */
  publish(sessionId: string, payload: string, msgID?: string): Promise<PubAck> {
    return this.js.publish(`flexpush.event.${sessionId}`, payload, {
      ...(msgID === undefined ? {} : { msgID }),
      timeout: 5_000,
    });
  }

  /** What the web server has received for a device, in order. Each post is looked at once, however many tests ask. */
  postsOf(deviceId: string): RecordedPost[] {
    const { posts } = this.receiver;
    for (; this.sortedPosts < posts.length; this.sortedPosts++) {
      const post = posts[this.sortedPosts] as RecordedPost;
      const device = (post.body as { deviceId?: string }).deviceId ?? '';
      const known = this.postsByDevice.get(device);
      if (known) known.push(post);
      else this.postsByDevice.set(device, [post]);
    }
    return [...(this.postsByDevice.get(deviceId) ?? [])];
  }

  shardOf(sessionId: string): number {
    return shardOf(sessionId, this.stack.shards);
  }

  async letter(seq: number): Promise<Letter> {
    await until(`a dead letter for ${seq}`, () => this.letters.some((letter) => letter.seq === seq));
    return this.letters.find((letter) => letter.seq === seq) as Letter;
  }

  lettersSoFar(): readonly Letter[] {
    return this.letters;
  }

  /** The lines of a service's log that are JSON. */
  logLines(name: string): LogLine[] {
    return readFileSync(this.stack.service(name).logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** The first line of a service's log that matches. */
  async logLine(name: string, matches: (line: LogLine) => boolean): Promise<LogLine> {
    await until(`a line in the log of ${name}`, () => this.logLines(name).some(matches));
    return this.logLines(name).find(matches) as LogLine;
  }

  /** A number that a service shows at /metrics; the sum over its labels. */
  async metric(service: ServiceProcess, name: string, label = ''): Promise<number> {
    const text = await (await fetch(`${service.url}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(name) && line.includes(label));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  private listen(): void {
    this.nats.subscribe('flexpush.deadletter.*', {
      callback: (_, message) => {
        this.letters.push({ ...(message.json() as Omit<Letter, 'subject'>), subject: message.subject });
      },
    });
    this.nats.subscribe('flexpush.log.*.int', {
      callback: (_, message) => {
        const shard = Number(message.subject.split('.')[2]);
        for (const record of [message.json()].flat() as { type: string; revision?: number }[]) {
          this.internalRecords.push(record);
          if (record.type === 'options.changed') this.optionRevisions.set(shard, record.revision ?? 0);
        }
      },
    });
  }

  /** Where an entry of the log stands; for asking about a record that was just published. */
  static readonly logStream = LOG_STREAM;
}

/** One chat of the story, seen by the customer, the agent side and the web server. */
export class Chat {
  readonly chatId: string;
  readonly userId: string;
  readonly secureKey: string;
  readonly path: string;
  private eventCount = 0;

  constructor(
    private readonly story: Story,
    readonly reply: ChatResponse,
    readonly given: { service: string; deviceId: string },
  ) {
    this.chatId = reply.chatId;
    this.userId = reply.userId ?? '';
    this.secureKey = reply.secureKey ?? '';
    this.path = `/genesys/2/chat/${given.service}/${this.chatId}`;
  }

  /** An operation of the Chat API with the customer's credentials. */
  call(operation: string, fields: Record<string, string> = {}): Promise<Answer> {
    const { userId, secureKey } = this;
    const alias = this.reply.alias ?? '';
    return this.story.post(`${this.path}/${operation}`, { userId, secureKey, alias, ...fields });
  }

  /** Pulls the transcript; throws when the answer is not a plain success. */
  async refresh(transcriptPosition = 1): Promise<ChatResponse> {
    const { status, body } = await this.call('refresh', { transcriptPosition: String(transcriptPosition) });
    if (status !== 200 || body.statusCode !== 0) throw new Error(`no refresh: ${JSON.stringify(body)}`);
    return body;
  }

  /** Publishes a chat event of the agent side. */
  publish(type: string, fields: Record<string, string> = {}, msgID?: string): Promise<PubAck> {
    return this.story.publish(this.chatId, this.record(type, fields), msgID);
  }

  /** A record as the agent side writes it; `id` may be given to repeat one. */
  record(type: string, fields: Record<string, string> = {}): string {
    const id = `${this.chatId}-${++this.eventCount}`;
    return JSON.stringify({ v: 1, id, sessionId: this.chatId, type, ...fields });
  }

  agentJoins(userId = 'agent-7', nickname = 'Jonas'): Promise<PubAck> {
    return this.publish('participant.join', { userId, nickname, participantType: 'Agent' });
  }

  agentSays(text: string, userId = 'agent-7'): Promise<PubAck> {
    return this.publish('message.send', { userId, text });
  }

  /** What the web server has received for this chat's device, in order. */
  posts(): RecordedPost[] {
    return this.story.postsOf(this.given.deviceId);
  }

  triggers(): Trigger[] {
    return this.posts().map(readTrigger);
  }

  /** The first so many posts of this chat. */
  async received(count: number, timeoutMs = WAIT_MS): Promise<RecordedPost[]> {
    await this.untilPosts(`${count} posts`, (posts) => posts.length >= count, timeoutMs);
    return this.posts().slice(0, count);
  }

  /** Resolves when the posts of this chat are as they should be; the error shows what they are instead. */
  async untilPosts(
    what: string,
    condition: (posts: RecordedPost[]) => boolean,
    timeoutMs = WAIT_MS,
  ): Promise<void> {
    await until(what, () => condition(this.posts()), timeoutMs).catch((error: unknown) => {
      const seen = JSON.stringify(this.posts().map(({ body }) => body));
      throw new Error(`${this.given.deviceId} did not get ${what}: ${seen.slice(-2_000)}`, { cause: error });
    });
  }

  async triggered(count: number, timeoutMs = WAIT_MS): Promise<Trigger[]> {
    return (await this.received(count, timeoutMs)).map(readTrigger);
  }

  /** The event of the transcript at a position; asking for it confirms what was pushed. */
  async eventAt(position: number): Promise<ChatEvent> {
    const { messages } = await this.refresh(position);
    return messages[0] as ChatEvent;
  }
}

/** Throws when the post is not a reliable push. */
export function readTrigger(post: RecordedPost): Trigger {
  const { message } = post.body as { message: ChatResponse };
  const userData = message.messages[0]?.userData;
  if (userData === undefined) throw new Error(`not a trigger: ${JSON.stringify(post.body)}`);
  return {
    attempt: Number(userData['notify-attempt']),
    position: Number(userData['notify-position']),
    nextPosition: message.nextPosition as number,
    chatEnded: message.chatEnded,
    receivedAtMs: post.receivedAtMs,
  };
}
