import { parseJson, SNAPSHOT_STREAM, subjects, TOKEN_PATTERN } from '@flexpush/contracts';
import {
  AckPolicy,
  DeliverPolicy,
  nanos,
  NatsError,
  type Consumer,
  type JetStreamManager,
  type StoredMsg,
} from 'nats';
import { randomBytes } from 'node:crypto';
import type { NatsBus } from './bus';
import { isWrongRevision } from './streams';

/** One session beside the log, whole. */
export interface SessionSnapshot {
  sessionId: string;
  /** Creation time of the stream that the session's place counts in. */
  createdAt: string;
  /** Where the session is folded to. */
  seq: number;
  /** When it was taken, epoch ms. */
  atMs: number;
  /** As stored. */
  state: string;
  events: [position: number, json: string][];
  /** Its unsettled notifications, as stored. */
  outbox: string[];
}

export interface OptionHistory {
  createdAt: string;
  entries: { seq: number; options: string }[];
}

/** What stands under the session's subject. Content that fits is in `body`, else in `parts` messages. */
interface Head {
  v: 1;
  sessionId: string;
  createdAt: string;
  seq: number;
  atMs: number;
  parts: number;
  /** The place in the subjects of the parts. */
  place: string;
  body?: string;
}

type Body = Pick<SessionSnapshot, 'state' | 'events' | 'outbox'>;

/** Characters of content per message; three bytes each at most, which stays below the default max_payload. */
const PART_CHARS = 200_000;
const HEADS_AT_ONCE = 100;
const FETCH_EXPIRES_MS = 5_000;
const CONSUMER_INACTIVE_MS = 30_000;
const WRITE_TRIES_MAX = 5;
const NO_MESSAGE = 10_037;
const CREATED_MEMORY_MS = 5_000;

/**
 * Snapshots of sessions in a stream that keeps the last message per subject.
 *
 * P1. A head is written last, by compare-and-set on its own sequence, so that a snapshot is there whole or not at all,
 *     and a deposed owner cannot replace a newer one.
 * P2. Parts have the place of their snapshot in their subject; those of an older snapshot go when the newer one stands.
 * P3. A message that is no snapshot is passed over and told of: waiting for it to become one would stop its shard.
 */
export class SnapshotStore {
  private created: { askedAtMs: number; atMs: number } | undefined;

  private constructor(
    private readonly bus: NatsBus,
    private readonly jsm: JetStreamManager,
    private readonly onUnreadable: (subject: string) => void,
  ) {}

  static async open(
    bus: NatsBus,
    options: { onUnreadable?: (subject: string) => void } = {},
  ): Promise<SnapshotStore> {
    const onUnreadable = options.onUnreadable ?? (() => undefined);
    return new SnapshotStore(bus, await bus.connection.jetstreamManager(), onUnreadable);
  }

  /** When the stream was made, epoch ms. A deleted one is made anew empty, and owners write their sessions again. */
  async createdAtMs(): Promise<number> {
    const nowMs = performance.now();
    // Every shard asks at each of its looks; one answer is good for all of them.
    if (!this.created || nowMs - this.created.askedAtMs > CREATED_MEMORY_MS)
      this.created = {
        askedAtMs: nowMs,
        atMs: Date.parse((await this.jsm.streams.info(SNAPSHOT_STREAM)).created),
      };
    return this.created.atMs;
  }

  /** 'older': a newer one of the same stream is there already. */
  async write(shard: number, snapshot: SessionSnapshot): Promise<'stored' | 'older'> {
    const { sessionId, createdAt, seq, atMs, state, events, outbox } = snapshot;
    const body = JSON.stringify({ state, events, outbox } satisfies Body);
    const place = `${Date.parse(createdAt)}-${seq}`;
    const head: Head = { v: 1, sessionId, createdAt, seq, atMs, parts: 0, place };
    if (body.length <= PART_CHARS) head.body = body;
    else head.parts = await this.writeParts(shard, { sessionId, place }, body);
    for (let tries = 1; ; tries++) {
      const subject = subjects.snapshot(shard, sessionId);
      const known = await this.last(subject);
      const before = known && parseHead(known.string());
      if (before?.createdAt === createdAt && before.seq > seq) return 'older';
      try {
        await this.publish(subject, JSON.stringify(head), known?.seq ?? 0);
        if (before && before.parts > 0 && before.place !== place)
          await this.purge(`${subjects.snapshotParts(shard, sessionId).slice(0, -1)}${before.place}.*`);
        return 'stored';
      } catch (error) {
        if (!isWrongRevision(error) || tries >= WRITE_TRIES_MAX) throw error;
      }
    }
  }

  async remove(shard: number, sessionId: string): Promise<void> {
    await this.purge(subjects.snapshot(shard, sessionId));
    await this.purge(subjects.snapshotParts(shard, sessionId));
  }

  /** Every session of the shard that has a snapshot, a bounded number at a time. Throws when not all could be read. */
  async *read(shard: number): AsyncGenerator<SessionSnapshot[]> {
    const name = `flexpush-snapshot-${shard}-${randomBytes(6).toString('hex')}`;
    const info = await this.jsm.consumers.add(SNAPSHOT_STREAM, {
      name,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.All,
      filter_subject: subjects.snapshotSessions(shard),
      inactive_threshold: nanos(CONSUMER_INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    try {
      let left = info.num_pending;
      if (left === 0) return;
      const consumer = await this.bus.connection.jetstream().consumers.get(SNAPSHOT_STREAM, name);
      while (left > 0) {
        const found = await fetchTexts(consumer, Math.min(left, HEADS_AT_ONCE));
        if (found.length === 0) throw new Error(`${left} snapshots of shard ${shard} did not come`);
        left -= found.length;
        const heads = found.flatMap(({ subject, text }) => {
          const head = parseHead(text);
          if (!head || subjects.snapshot(shard, head.sessionId) !== subject) this.onUnreadable(subject);
          else return [head];
          return [];
        });
        yield (await Promise.all(heads.map((head) => this.complete(shard, head)))).flat();
      }
    } finally {
      // The server forgets it by itself; deleting it now only spares memory.
      this.jsm.consumers.delete(SNAPSHOT_STREAM, name).catch(() => undefined);
    }
  }

  async readOptions(shard: number): Promise<OptionHistory | undefined> {
    const message = await this.last(subjects.snapshotOptions(shard));
    if (!message) return undefined;
    const history = parseHistory(message.string());
    if (!history) this.onUnreadable(message.subject);
    return history;
  }

  async writeOptions(shard: number, history: OptionHistory): Promise<void> {
    await this.publish(subjects.snapshotOptions(shard), JSON.stringify({ v: 1, ...history }));
  }

  private async writeParts(
    shard: number,
    at: { sessionId: string; place: string },
    body: string,
  ): Promise<number> {
    const parts = Math.ceil(body.length / PART_CHARS);
    for (let part = 0; part < parts; part++) {
      const text = body.slice(part * PART_CHARS, (part + 1) * PART_CHARS);
      // As JSON, so that a pair of surrogates may be cut in two.
      await this.publish(subjects.snapshotPart(shard, at.sessionId, at.place, part), JSON.stringify(text));
    }
    return parts;
  }

  /** A snapshot whose parts are gone was replaced or removed meanwhile; the log then has what is newer. */
  private async complete(shard: number, head: Head): Promise<SessionSnapshot[]> {
    const { sessionId, createdAt, seq, atMs, place } = head;
    let text = head.body ?? '';
    for (let part = 0; part < head.parts; part++) {
      const message = await this.last(subjects.snapshotPart(shard, sessionId, place, part));
      if (!message) return [];
      const more = parseJson(message.string());
      text += typeof more === 'string' ? more : '';
    }
    const body = parseBody(text);
    if (body) return [{ sessionId, createdAt, seq, atMs, ...body }];
    this.onUnreadable(subjects.snapshot(shard, sessionId));
    return [];
  }

  private async last(subject: string): Promise<StoredMsg | undefined> {
    try {
      return await this.jsm.streams.getMessage(SNAPSHOT_STREAM, { last_by_subj: subject });
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === NO_MESSAGE) return undefined;
      throw error;
    }
  }

  private async publish(subject: string, text: string, expectedSeq?: number): Promise<void> {
    await this.bus.connection.jetstream().publish(subject, text, {
      timeout: 5_000,
      ...(expectedSeq === undefined ? {} : { expect: { lastSubjectSequence: expectedSeq } }),
    });
  }

  private async purge(filter: string): Promise<void> {
    await this.jsm.streams.purge(SNAPSHOT_STREAM, { filter });
  }
}

async function fetchTexts(consumer: Consumer, max: number): Promise<{ subject: string; text: string }[]> {
  const found: { subject: string; text: string }[] = [];
  const messages = await consumer.fetch({ max_messages: max, expires: FETCH_EXPIRES_MS });
  for await (const message of messages) found.push({ subject: message.subject, text: message.string() });
  return found;
}

const isText = (value: unknown) => typeof value === 'string';

function parseHead(text: string): Head | undefined {
  const head = parseJson(text) as Partial<Head> | null | undefined;
  const isHead =
    head?.v === 1 &&
    [head.sessionId, head.createdAt, head.place].every(isText) &&
    TOKEN_PATTERN.test(head.sessionId ?? '') &&
    TOKEN_PATTERN.test(head.place ?? '') &&
    [head.seq, head.atMs].every(Number.isFinite) &&
    Number.isSafeInteger(head.parts) &&
    (head.body === undefined || isText(head.body));
  return isHead ? (head as Head) : undefined;
}

function parseBody(text: string): Body | undefined {
  const body = parseJson(text) as Partial<Body> | null | undefined;
  const { state, events, outbox } = body ?? {};
  const isEvent = (event: unknown) =>
    Array.isArray(event) && event.length === 2 && Number.isSafeInteger(event[0]) && isText(event[1]);
  const isBody =
    isText(state) &&
    Array.isArray(events) &&
    events.every(isEvent) &&
    Array.isArray(outbox) &&
    outbox.every(isText);
  return isBody ? (body as Body) : undefined;
}

function parseHistory(text: string): OptionHistory | undefined {
  const history = parseJson(text) as Partial<OptionHistory> | null | undefined;
  const isEntry = (entry: Partial<OptionHistory['entries'][number]> | null) =>
    Number.isSafeInteger(entry?.seq) && isText(entry?.options);
  const isHistory =
    isText(history?.createdAt) && Array.isArray(history?.entries) && history.entries.every(isEntry);
  return isHistory ? (history as OptionHistory) : undefined;
}
