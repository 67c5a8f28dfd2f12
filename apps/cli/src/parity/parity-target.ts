import { parseJson, userIdSchema, type ChatResponse } from '@flexpush/contracts';
import type { ChatEventInput, EventPublisher } from '@flexpush/nats-bus';
import { Pool } from 'undici';

/** A line cannot be judged here; it counts neither as passed nor as failed. */
export class Skipped extends Error {
  readonly code = 'PARITY_SKIPPED';
  readonly retryable = false;
}

export interface HttpAnswer {
  status: number;
  contentType: string;
  headers: Record<string, string | string[] | undefined>;
  bytes: Buffer;
  /** The body as JSON, or undefined. */
  body: ChatResponse | undefined;
}

/** A customer in one chat. */
export interface Customer {
  chatId: string;
  userId: string;
  secureKey: string;
  alias: string;
}

export interface Push {
  atMs: number;
  body: Record<string, unknown>;
}

export interface TargetSettings {
  baseUrl: string;
  app: string;
  service: string;
  /** flex-push-resend-delay of the target, ms. */
  resendDelayMs: number;
  /** Absent: nobody can speak for agents. */
  publisher?: EventPublisher | undefined;
  /** Absent: its options are its own. Undefined unsets. */
  setOption?: ((section: string, name: string, value: string | undefined) => Promise<void>) | undefined;
  /** Does the target push to this process's receiver? */
  hasReceiver: boolean;
}

type WithoutSession<E> = E extends unknown ? Omit<E, 'sessionId'> : never;
/** What somebody of the agent side does in a chat. */
export type AgentEvent = WithoutSession<ChatEventInput>;

export const AGENT = userIdSchema.parse('jonas');
const ANSWER_TIMEOUT_MS = 15_000;
/** How long a push may take that is due at once. */
export const PUSH_WAIT_MS = 5_000;
let lastDevice = 0;
let lastMark = 0;

/** The system under comparison, as a customer's programs, a receiver and an agent see it. */
export class ParityTarget {
  private readonly pool: Pool;
  private readonly pushes = new Map<string, Push[]>();
  private readonly pushedTo: Customer[] = [];
  private waiters: (() => void)[] = [];

  constructor(readonly settings: TargetSettings) {
    this.pool = new Pool(settings.baseUrl, {
      connections: 8,
      headersTimeout: ANSWER_TIMEOUT_MS,
      bodyTimeout: ANSWER_TIMEOUT_MS,
    });
  }

  /** Leaves the chats that push to here: their resends would go on to whoever listens here next. */
  async leaveAll(): Promise<void> {
    for (const customer of this.pushedTo.splice(0)) {
      await this.call(customer, 'disconnect');
      await this.call(customer, 'refresh');
    }
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }

  async http(request: {
    method?: string;
    path: string;
    headers?: Record<string, string>;
    body?: string | Buffer;
  }): Promise<HttpAnswer> {
    const { statusCode, headers, body } = await this.pool.request({
      method: (request.method ?? 'POST') as 'POST',
      path: request.path,
      headers: request.headers ?? {},
      ...(request.body === undefined ? {} : { body: request.body }),
    });
    const bytes = Buffer.from(await body.arrayBuffer());
    return {
      status: statusCode,
      contentType: String(headers['content-type'] ?? ''),
      headers,
      bytes,
      body: parseJson(bytes.toString('utf8')) as ChatResponse | undefined,
    };
  }

  get servicePath(): string {
    return `/${this.settings.app}/2/chat/${this.settings.service}`;
  }

  form(path: string, fields: Record<string, string>): Promise<HttpAnswer> {
    return this.http({
      path,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields).toString(),
    });
  }

  /** A form with a file, or without, as browsers send it. */
  multipart(
    path: string,
    fields: Record<string, string>,
    { file, cookie }: { file?: { name: string; content: Buffer }; cookie?: string } = {},
  ): Promise<HttpAnswer> {
    const boundary = '----flexpush-parity-5f1c';
    const parts: Uint8Array[] = Object.entries(fields).map(([name, value]) =>
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`),
    );
    if (file)
      parts.push(
        Buffer.from(
          `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${file.name}"\r\n` +
            'Content-Type: application/octet-stream\r\n\r\n',
        ),
        file.content,
        Buffer.from('\r\n'),
      );
    parts.push(Buffer.from(`--${boundary}--\r\n`));
    return this.http({
      path,
      headers: {
        'content-type': `multipart/form-data; boundary=${boundary}`,
        ...(cookie === undefined ? {} : { cookie }),
      },
      body: Buffer.concat(parts),
    });
  }

  requestChat(fields: Record<string, string>, userData: Record<string, string> = {}): Promise<HttpAnswer> {
    const wrapped = Object.entries(userData).map(([key, value]) => [`userData[${key}]`, value] as const);
    return this.form(this.servicePath, { ...fields, ...Object.fromEntries(wrapped) });
  }

  /** A chat that is needed for something else; throws when it does not begin. */
  async customer(userData: Record<string, string> = {}, nickname = 'Mira'): Promise<Customer> {
    const { body, status } = await this.requestChat({ nickname }, userData);
    const { chatId, userId, secureKey, alias } = body ?? {};
    if (body?.statusCode !== 0 || !chatId || !userId || !secureKey || !alias)
      throw new Error(`no chat began: HTTP ${status} ${JSON.stringify(body?.errors ?? body ?? null)}`);
    const customer = { chatId, userId, secureKey, alias };
    if (userData['GCTI_Chat_PushSubscribe'] === 'true') this.pushedTo.push(customer);
    return customer;
  }

  call(customer: Customer, operation: string, fields: Record<string, string> = {}): Promise<HttpAnswer> {
    const { chatId, userId, secureKey, alias } = customer;
    return this.form(`${this.servicePath}/${chatId}/${operation}`, { userId, secureKey, alias, ...fields });
  }

  /**
   * Runs a task with other options, in a chat in which they are in force already: the limit of files is changed last and
   * asked for until it shows.
   */
  async withOptions<T>(
    options: readonly (readonly [section: string, name: string, value: string])[],
    userData: Record<string, string>,
    task: (customer: Customer) => Promise<T>,
  ): Promise<T> {
    const { setOption } = this.settings;
    if (!setOption) throw new Skipped('the options of another system are left alone');
    const files = String(4 + (++lastMark % 90));
    const changed = [...options, ['client-file-transfer', 'upload-max-files', files] as const];
    try {
      for (const [section, name, value] of changed) await setOption(section, name, value);
      const endMs = performance.now() + PUSH_WAIT_MS;
      for (;;) {
        const customer = await this.customer(userData);
        const { body } = await this.call(customer, 'file/limits');
        if (body?.messages[0]?.userData?.['upload-max-files'] === files) return await task(customer);
        if (performance.now() > endMs) throw new Error(`options were not in force after ${PUSH_WAIT_MS} ms`);
      }
    } finally {
      for (const [section, name] of changed) await setOption(section, name, undefined);
    }
  }

  /** What an agent, a bot or a supervisor does. */
  async agent(customer: Pick<Customer, 'chatId'>, event: AgentEvent): Promise<void> {
    const { publisher } = this.settings;
    if (!publisher) throw new Skipped('an agent is needed; name the NATS of the target with --nats');
    const result = await publisher.publish({ ...event, sessionId: customer.chatId } as ChatEventInput);
    if (result.kind !== 'stored') throw new Error(`the agent's ${event.type} was not taken: ${result.kind}`);
  }

  /** Jonas of the agent side joins. */
  agentJoins(customer: Pick<Customer, 'chatId'>): Promise<void> {
    return this.agent(customer, {
      type: 'participant.join',
      userId: AGENT,
      nickname: 'Jonas',
      participantType: 'Agent',
    });
  }

  /** Asks until the transcript has what is waited for; an agent's words take a moment. */
  async until(customer: Customer, type: string): Promise<HttpAnswer> {
    const endMs = performance.now() + PUSH_WAIT_MS;
    for (;;) {
      const answer = await this.call(customer, 'refresh', { transcriptPosition: '1' });
      if (answer.body?.messages.some((message) => message.type === type)) return answer;
      if (performance.now() > endMs) throw new Error(`no ${type} came within ${PUSH_WAIT_MS} ms`);
    }
  }

  /** Asks until it is refused; what an agent does takes a moment. */
  async refused(customer: Customer, operation: string): Promise<HttpAnswer> {
    const endMs = performance.now() + PUSH_WAIT_MS;
    for (;;) {
      const answer = await this.call(customer, operation);
      if (answer.body?.statusCode !== 0) return answer;
      if (performance.now() > endMs)
        throw new Error(`${operation} was not refused within ${PUSH_WAIT_MS} ms`);
    }
  }

  /** User data that ask for pushes to this process. */
  pushData(more: Record<string, string> = {}): { deviceId: string; userData: Record<string, string> } {
    if (!this.settings.hasReceiver)
      throw new Skipped('pushes are needed; let the target push here and name the port with --receiver-port');
    const deviceId = `parity-${process.pid}-${++lastDevice}`;
    return {
      deviceId,
      userData: {
        GCTI_Chat_PushSubscribe: 'true',
        GCTI_GMS_PushDeviceId: deviceId,
        GCTI_GMS_PushDeviceType: 'customhttp',
        GCTI_GMS_NotifyRequestor: 'true',
        GCTI_GMS_PushIncludePayload: 'true',
        ...more,
      },
    };
  }

  receive(text: string, atMs: number): void {
    const body = parseJson(text) as Record<string, unknown> | undefined;
    const deviceId = body?.['deviceId'];
    if (!body || typeof deviceId !== 'string') return;
    const known = this.pushes.get(deviceId) ?? [];
    known.push({ atMs, body });
    this.pushes.set(deviceId, known);
    for (const wake of this.waiters.splice(0)) wake();
  }

  /** The pushes of a device, once there are so many; throws when they do not come in time. */
  pushesOf(deviceId: string, count: number, withinMs = PUSH_WAIT_MS): Promise<Push[]> {
    return this.pushesUntil(deviceId, (known) => known.length >= count, {
      what: `${count} pushes`,
      withinMs,
    });
  }

  /** The pushes of a device, once they are as asked. */
  async pushesUntil(
    deviceId: string,
    fits: (known: readonly Push[]) => boolean,
    { what, withinMs }: { what: string; withinMs: number },
  ): Promise<Push[]> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      const known = this.pushes.get(deviceId) ?? [];
      if (fits(known)) return known;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw new Error(`not ${what} within ${withinMs} ms, but ${known.length} pushes came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** How many pushes a device has after a while in which none should come. */
  async pushesAfter(deviceId: string, waitMs: number): Promise<number> {
    await new Promise<void>((resolve) => setTimeout(resolve, waitMs));
    return (this.pushes.get(deviceId) ?? []).length;
  }
}
