import { LOG_STREAM, parseJson, subjects } from '@flexpush/contracts';
import {
  AckPolicy,
  createInbox,
  DeliverPolicy,
  nanos,
  NatsError,
  type JetStreamManager,
  type Msg,
  type MsgHdrs,
  type Subscription,
} from 'nats';
import { randomBytes } from 'node:crypto';
import type { NatsBus } from './bus';

/** One message of a shard's log. It may hold several records. */
export interface LogMessage {
  seq: number;
  /** JetStream's time of storing, epoch ms. */
  atMs: number;
  /** True on the subject that anyone may publish to. */
  isPublic: boolean;
  data: Uint8Array;
}

/** What a reader reports. It heals itself, except from `differs` (R5). */
export type ReaderEvent = 'opened' | 'gap' | 'silent' | 'lost' | 'failed' | 'differs';

const PULL_EXPIRES_MS = 5_000;
/** With the client's defaults a lost consumer stalls 44 s in silence (DESIGN section 13). */
const IDLE_HEARTBEAT_MS = 500;
const SILENCE_MS = 3 * IDLE_HEARTBEAT_MS;
/** The patience doubles up to this while the server holds the pull but is too busy for heartbeats. */
const SILENCE_MAX_MS = 3 * SILENCE_MS;
const CONSUMER_INACTIVE_MS = 30_000;
const REOPEN_DELAY_MS = 200;
const CONSUMER_NOT_FOUND = 10_014;
const NO_MESSAGE = 10_037;
const PROBE_TIMEOUT_MS = 1_000;
/** Newer servers end a pull with these words. */
const PULL_ENDS = /batch completed|exceed/i;

/**
 * Reads one shard's log in order, in bounded pulls, over an ephemeral pull consumer of its own.
 *
 * R1. Messages come out in sequence order, each once: the consumer's delivery count must grow by one, else the consumer
 *     is made anew from the last message that was in order.
 * R2. At most `queueMax` messages wait here, and one pull is outstanding: the next is asked for when it is served or has
 *     expired, and there is room. The expiry is counted here too, because a server may drop an expired pull without a
 *     word (2.9.10 does under load), and each pull has a reply subject of its own, so that the end of an old one is not
 *     taken for the end of the present one.
 * R3. When a pull stays silent for longer than three heartbeats and the server does not hold it any more, the consumer
 *     is made anew. So it is when nobody answers for the consumer, as after the death of that server of a cluster on which
 *     it lived, and after a reconnect, in which every pull is lost.
 * R4. No acks: the checkpoint is the ack.
 * R5. A consumer is made anew only while the last message that was heard still stands where it stood. Else the log was
 *     recreated or has lost its end, and may have grown beyond our place since: to read on there would pass over what
 *     came in between. The reader then says `differs` and gives nothing more.
 */
export class LogReader {
  private readonly queue: LogMessage[] = [];
  private wake: (() => void) | undefined;
  private subscription: Subscription | undefined;
  private consumer = '';
  private nextSeq: number;
  private lastHeard: { seq: number; atMs: number } | undefined;
  private delivered = 0;
  /** Messages asked for by the present pull and not yet come. */
  private asked = 0;
  private pullCount = 0;
  private expiry: NodeJS.Timeout | undefined;
  private inbox = '';
  private lastHeardAtMs = 0;
  private patienceMs = SILENCE_MS;
  private isProbing = false;
  private closed = false;
  private opening = false;
  private watchdog: NodeJS.Timeout | undefined;
  private forgetReconnects: () => void = () => undefined;
  private readonly publicSubject: string;

  constructor(
    private readonly bus: NatsBus,
    private readonly jsm: JetStreamManager,
    private readonly options: {
      shard: number;
      fromSeq: number;
      queueMax: number;
      onEvent?: (event: ReaderEvent, detail: string) => void;
    },
  ) {
    this.nextSeq = options.fromSeq;
    this.publicSubject = subjects.logPublic(options.shard);
  }

  async open(): Promise<void> {
    await this.reopen('opened', `from ${this.nextSeq}`);
    if (this.closed) return;
    this.forgetReconnects = this.bus.onReconnect(() => void this.reopen('lost', 'reconnected'));
    this.watchdog = setInterval(() => void this.checkSilence(), IDLE_HEARTBEAT_MS);
    this.watchdog.unref();
  }

  /** Up to `max` messages; waits until there is one. Empty only after `close` or `nudge`. */
  async next(max: number): Promise<LogMessage[]> {
    if (this.queue.length === 0 && !this.closed) await new Promise<void>((resolve) => (this.wake = resolve));
    const taken = this.queue.splice(0, max);
    this.pull();
    return taken;
  }

  /** Lets a waiting `next` return with nothing. */
  nudge(): void {
    this.wake?.();
    this.wake = undefined;
  }

  waiting(): number {
    return this.queue.length;
  }

  close(): void {
    this.closed = true;
    clearInterval(this.watchdog);
    clearTimeout(this.expiry);
    this.forgetReconnects();
    this.dropConsumer();
    this.nudge();
  }

  private dropConsumer(): void {
    this.subscription?.unsubscribe();
    this.subscription = undefined;
    const consumer = this.consumer;
    this.consumer = '';
    // The server forgets it by itself after a while; deleting it now only spares memory.
    if (consumer && this.bus.connected())
      this.jsm.consumers.delete(LOG_STREAM, consumer).catch(() => undefined);
  }

  private async reopen(event: ReaderEvent, detail: string): Promise<void> {
    if (this.opening || this.closed) return;
    this.opening = true;
    this.options.onEvent?.(event, detail);
    this.dropConsumer();
    while (!this.closed && !(await this.tryCreateConsumer()))
      await new Promise((resolve) => setTimeout(resolve, REOPEN_DELAY_MS));
    this.opening = false;
    this.pull();
  }

  private async tryCreateConsumer(): Promise<boolean> {
    // A request that is sent into a lost connection would be waited for in vain, long after the server is back.
    if (!this.bus.connected()) return false;
    try {
      if (await this.isSameLog()) await this.createConsumer();
      else this.endDiffering();
      return true;
    } catch (error) {
      this.options.onEvent?.('failed', error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  /** R5. A message that has left by its age was there. */
  private async isSameLog(): Promise<boolean> {
    const heard = this.lastHeard;
    if (!heard) return true;
    const atMs = await timeOfRecord(this.jsm, heard.seq);
    if (atMs !== undefined) return atMs === heard.atMs;
    return (await this.jsm.streams.info(LOG_STREAM)).state.first_seq > heard.seq;
  }

  private endDiffering(): void {
    this.queue.length = 0;
    this.options.onEvent?.('differs', `no such record at ${this.lastHeard?.seq}`);
    this.close();
  }

  private async createConsumer(): Promise<void> {
    const name = `flexpush-${this.options.shard}-${randomBytes(6).toString('hex')}`;
    await this.jsm.consumers.add(LOG_STREAM, {
      name,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: Math.max(1, this.nextSeq),
      filter_subject: subjects.logShard(this.options.shard),
      inactive_threshold: nanos(CONSUMER_INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    if (this.closed) return;
    this.consumer = name;
    this.delivered = 0;
    this.asked = 0;
    this.patienceMs = SILENCE_MS;
    this.lastHeardAtMs = performance.now();
    this.inbox = createInbox();
    const subscription = this.bus.connection.subscribe(`${this.inbox}.*`, {
      callback: (error, message) => {
        if (error === null && this.subscription === subscription) this.bus.guard(() => this.hear(message));
      },
    });
    this.subscription = subscription;
  }

  private hear(message: Msg): void {
    this.lastHeardAtMs = performance.now();
    const { reply } = message;
    // Only a message of the log has a reply subject; its headers need not be parsed.
    if (!reply) {
      this.hearStatus(message.headers, message.subject);
      return;
    }
    const at = parseDelivery(reply);
    this.asked = Math.max(0, this.asked - 1);
    if (at.delivered !== this.delivered + 1) {
      void this.reopen('gap', `delivery ${at.delivered} after ${this.delivered}`);
      return;
    }
    this.delivered = at.delivered;
    this.nextSeq = at.seq + 1;
    this.lastHeard = { seq: at.seq, atMs: at.atMs };
    this.queue.push({
      seq: at.seq,
      atMs: at.atMs,
      isPublic: message.subject === this.publicSubject,
      data: message.data,
    });
    this.nudge();
    this.pull();
  }

  /** 100 is a heartbeat; 404, 408 and most of 409 end a pull; anything else loses the consumer. */
  private hearStatus(headers: MsgHdrs | undefined, subject: string): void {
    const code = headers?.code ?? 0;
    const description = headers?.description ?? '';
    if (code === 100) {
      this.patienceMs = SILENCE_MS;
      return;
    }
    if (code === 404 || code === 408 || (code === 409 && PULL_ENDS.test(description))) {
      if (subject === this.pullSubject()) this.endPull();
      return;
    }
    void this.reopen('lost', `${code} ${description}`);
  }

  private pullSubject(): string {
    return `${this.inbox}.${this.pullCount}`;
  }

  private endPull(): void {
    this.asked = 0;
    this.pull();
  }

  /** R2: asks for as much as there is room for, when at least half of the room is free. */
  private pull(): void {
    if (this.closed || this.opening || this.consumer === '' || this.asked > 0) return;
    const room = this.options.queueMax - this.queue.length;
    if (room < this.options.queueMax / 2) return;
    this.lastHeardAtMs = performance.now();
    this.asked = room;
    this.pullCount++;
    clearTimeout(this.expiry);
    this.expiry = setTimeout(() => this.endPull(), PULL_EXPIRES_MS);
    this.expiry.unref();
    const request = {
      batch: room,
      expires: nanos(PULL_EXPIRES_MS),
      idle_heartbeat: nanos(IDLE_HEARTBEAT_MS),
    };
    this.bus.connection.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${LOG_STREAM}.${this.consumer}`,
      JSON.stringify(request),
      {
        reply: this.pullSubject(),
      },
    );
  }

  /**
   * R3. The server is asked first: its answer comes behind all that it has sent, so a process or a network that is
   * behind is not taken for a lost consumer, and nor is a server that is too busy for heartbeats.
   */
  private async checkSilence(): Promise<void> {
    const { lastHeardAtMs, consumer } = this;
    const silentMs = performance.now() - lastHeardAtMs;
    if (!this.isPulling() || this.isProbing || silentMs <= this.patienceMs) return;
    this.isProbing = true;
    const pull = await this.findPull(consumer);
    this.isProbing = false;
    if (!this.isPulling() || this.consumer !== consumer || this.lastHeardAtMs !== lastHeardAtMs) return;
    // A busy server may not have come to the request yet, so what is missing is looked for once more.
    const isLost = pull === 'consumer-gone' || (pull !== 'held' && this.patienceMs > SILENCE_MS);
    this.patienceMs = Math.min(2 * this.patienceMs, SILENCE_MAX_MS);
    if (isLost) void this.reopen('silent', `${Math.round(silentMs)} ms`);
  }

  /** Whether the server still holds our request for messages; 'no-answer' when nobody says so. */
  private async findPull(consumer: string): Promise<'held' | 'missing' | 'consumer-gone' | 'no-answer'> {
    const subject = `$JS.API.CONSUMER.INFO.${LOG_STREAM}.${consumer}`;
    const answer = await this.bus.request(subject, '', { timeoutMs: PROBE_TIMEOUT_MS });
    if (answer.kind !== 'answer') return 'no-answer';
    const info = parseJson(answer.text) as
      { num_waiting?: number; error?: { err_code?: number } } | undefined;
    if (info?.error?.err_code === CONSUMER_NOT_FOUND) return 'consumer-gone';
    if (info?.num_waiting === undefined) return 'no-answer';
    return info.num_waiting > 0 ? 'held' : 'missing';
  }

  private isPulling(): boolean {
    return !this.closed && !this.opening && this.asked > 0 && this.bus.connected();
  }
}

/** When the record at this place of the log was stored, epoch ms; undefined when there is none. */
export async function timeOfRecord(jsm: JetStreamManager, seq: number): Promise<number | undefined> {
  try {
    return (await jsm.streams.getMessage(LOG_STREAM, { seq })).time.getTime();
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === NO_MESSAGE) return undefined;
    throw error;
  }
}

/** `$JS.ACK.<stream>.<consumer>.<tries>.<seq>.<delivered>.<ns>.<pending>`, with domain and account before on newer servers. */
export function parseDelivery(reply: string): { seq: number; delivered: number; atMs: number } {
  const tokens = reply.split('.');
  const base = tokens.length >= 11 ? 7 : 5;
  return {
    seq: Number(tokens[base]),
    delivered: Number(tokens[base + 1]),
    atMs: Math.floor(Number((tokens[base + 2] ?? '').slice(0, -3)) / 1000),
  };
}
