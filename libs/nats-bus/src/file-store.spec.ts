import { FILE_BUCKET } from '@flexpush/contracts';
import { NatsError } from 'nats';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { randomBytes } from 'node:crypto';
import { connectBus, NatsBus } from './bus';
import { FileStore } from './file-store';
import { ensureStreams, type LogSettings } from './streams';

const CHUNK_BYTES = 128 * 1024;
const SETTINGS: LogSettings = {
  shardCount: 1,
  replicas: 1,
  logBytesMax: 64 * 1024 * 1024,
  logAgeMaxMs: 3_600_000,
};

let nats: TestNats;
let bus: NatsBus;
let store: FileStore;

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'file-store' });
  await ensureStreams(bus, SETTINGS);
  store = await FileStore.open(bus);
});

afterAll(async () => {
  await bus.close();
  await nats.stop();
});

/** In pieces of a size that fits no chunk. */
async function* pieces(content: Uint8Array, size = 10_007): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function contentOf(fileId: string, from = store): Promise<Buffer | undefined> {
  const found = await from.get(fileId);
  if (!found) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of found.content) parts.push(part);
  return Buffer.concat(parts);
}

async function storedMessages(): Promise<number> {
  const jsm = await bus.connection.jetstreamManager();
  return (await jsm.streams.info(`OBJ_${FILE_BUCKET}`)).state.messages;
}

describe('FileStore', () => {
  it.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 1_000_000])(
    'gives %s bytes back as they were, to the object store of the client too',
    async (size) => {
      const content = randomBytes(size);
      const fileId = `size-${size}`;
      expect(await store.put(fileId, pieces(content))).toEqual({ kind: 'stored', sizeBytes: size });
      expect(await store.sizeOf(fileId)).toBe(size);
      expect((await contentOf(fileId))?.equals(content)).toBe(true);
      const theirs = await bus.connection.jetstream().views.os(FILE_BUCKET);
      expect(Buffer.from((await theirs.getBlob(fileId)) ?? 'none').equals(content)).toBe(true);
    },
  );

  it('reads what the object store of the client has put', async () => {
    const content = randomBytes(300_000);
    const theirs = await bus.connection.jetstream().views.os(FILE_BUCKET);
    await theirs.putBlob({ name: 'from-an-agent' }, content);
    expect((await contentOf('from-an-agent'))?.equals(content)).toBe(true);
  });

  it('knows nothing of a file that is not there, or was deleted', async () => {
    await store.put('short-lived', pieces(randomBytes(300_000)));
    const before = await storedMessages();
    await store.delete('short-lived');
    await store.delete('short-lived');
    await store.delete('never-there');
    expect(await store.get('short-lived')).toBeUndefined();
    expect(await store.sizeOf('never-there')).toBeUndefined();
    // Three chunks; the description stays, marked as deleted.
    expect(await storedMessages()).toBe(before - 3);
  });

  it('a second file under the same id takes the place of the first, chunks and all', async () => {
    const before = await storedMessages();
    await store.put('twice', pieces(randomBytes(300_000)));
    const content = randomBytes(1_000);
    await store.put('twice', pieces(content));
    expect((await contentOf('twice'))?.equals(content)).toBe(true);
    expect(await storedMessages()).toBe(before + 2);
  });

  it('an upload that breaks off leaves nothing', async () => {
    const before = await storedMessages();
    async function* broken() {
      yield* pieces(randomBytes(1_000_000));
      throw new Error('the client has gone');
    }
    await expect(store.put('broken', broken())).rejects.toThrow('the client has gone');
    expect(await store.get('broken')).toBeUndefined();
    expect(await storedMessages()).toBe(before);
  });

  it('a damaged file does not arrive whole', async () => {
    const content = randomBytes(300_000);
    await store.put('damaged', pieces(content));
    const jsm = await bus.connection.jetstreamManager();
    const { lastSeq } = { lastSeq: (await jsm.streams.info(`OBJ_${FILE_BUCKET}`)).state.last_seq };
    // The message before the description is the last chunk.
    const info = (await jsm.streams.getMessage(`OBJ_${FILE_BUCKET}`, { seq: lastSeq })).json<{
      nuid: string;
    }>();
    await bus.connection.jetstream().publish(`$O.${FILE_BUCKET}.C.${info.nuid}`, randomBytes(10));
    await jsm.streams.deleteMessage(`OBJ_${FILE_BUCKET}`, lastSeq - 1);
    const found = await store.get('damaged');
    let arrived = 0;
    const read = async () => {
      for await (const part of found?.content ?? []) arrived += part.length;
    };
    await expect(read()).rejects.toThrow('is not what was stored');
    expect(arrived).toBeLessThan(content.length);
  });

  it('an upload runs ahead of the store by five chunks at most, however slow that is (F2)', async () => {
    const stored: (() => void)[] = [];
    const waits = new Set<() => void>();
    const slow = new NatsBus(
      withPublish(bus, async (publish) => {
        await new Promise<void>((resolve) => {
          stored.push(resolve);
          for (const wait of waits) wait();
        });
        return publish();
      }),
    );
    const slowStore = await FileStore.open(slow);
    let taken = 0;
    async function* source() {
      for (let n = 0; n < 40; n++) {
        taken++;
        yield randomBytes(CHUNK_BYTES);
      }
    }
    const put = slowStore.put('slow', source());
    for (let done = 0; done < 40; done++) {
      while (stored.length === 0) await new Promise<void>((resolve) => waits.add(resolve));
      // Everything that can run without an answer of the store has run.
      await new Promise((resolve) => setImmediate(resolve));
      expect(taken).toBeLessThanOrEqual(done + 5);
      stored.shift()?.();
    }
    while (stored.length === 0) await new Promise<void>((resolve) => waits.add(resolve));
    stored.shift()?.();
    expect(await put).toEqual({ kind: 'stored', sizeBytes: 40 * CHUNK_BYTES });
  });
});

describe('uploads under one id at the same time (F4)', () => {
  const OTHER = 200_001;
  let otherBus: NatsBus;
  let other: FileStore;

  beforeAll(async () => {
    otherBus = await connectBus({ url: nats.url, name: 'other' });
    other = await FileStore.open(otherBus);
  });
  afterAll(() => otherBus.close());

  /** Yields the content, and its end when it is let go. */
  function heldBack(content: Uint8Array) {
    let go: () => void = () => undefined;
    let begin: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const released = new Promise<void>((resolve) => (go = resolve));
    async function* source() {
      yield* pieces(content.subarray(0, -1));
      begin();
      await released;
      yield content.subarray(-1);
    }
    return { source: source(), begun, go };
  }

  it('keep the content of the first to end, whole, and no chunk of the other', async () => {
    const before = await storedMessages();
    const contents = [randomBytes(300_000), randomBytes(OTHER)];
    const [one, two] = contents.map(heldBack) as [ReturnType<typeof heldBack>, ReturnType<typeof heldBack>];
    const first = store.put('raced', one.source);
    const second = other.put('raced', two.source);
    await Promise.all([one.begun, two.begun]);
    two.go();
    expect(await second).toEqual({ kind: 'stored', sizeBytes: OTHER });
    one.go();
    expect(await first).toEqual({ kind: 'overtaken' });
    for (const from of [store, other])
      expect((await contentOf('raced', from))?.equals(contents[1] ?? Buffer.alloc(0))).toBe(true);
    expect(await storedMessages()).toBe(before + 2 + 1);
  });

  it('have one winner, whichever it is', async () => {
    const before = await storedMessages();
    const rivals = Array.from({ length: 8 }, (_, n) => ({
      content: randomBytes(100_000 + n),
      at: n % 2 === 0 ? store : other,
    }));
    const results = await Promise.all(rivals.map(({ content, at }) => at.put('rivals', pieces(content))));
    const winners = rivals.filter((_, n) => results[n]?.kind === 'stored');
    expect(winners).toHaveLength(1);
    expect(results.filter(({ kind }) => kind === 'overtaken')).toHaveLength(7);
    expect((await contentOf('rivals'))?.equals(winners[0]?.content ?? Buffer.alloc(0))).toBe(true);
    expect(await storedMessages()).toBe(before + 2);
  });

  it('a file that is deleted meanwhile stays deleted', async () => {
    await store.put('deleted', pieces(randomBytes(300_000)));
    const before = await storedMessages();
    const { source, begun, go } = heldBack(randomBytes(300_000));
    const put = store.put('deleted', source);
    await begun;
    await other.delete('deleted');
    go();
    expect(await put).toEqual({ kind: 'overtaken' });
    expect(await store.get('deleted')).toBeUndefined();
    expect(await storedMessages()).toBe(before - 3);
    // And the next one has its place.
    expect(await store.put('deleted', pieces(randomBytes(10)))).toMatchObject({ kind: 'stored' });
  });
});

describe('a description whose answer gets lost', () => {
  /** The description is stored, or not, and nobody says so. */
  function silent(isStored: boolean): NatsBus {
    return new NatsBus(
      withPublish(bus, async (publish, subject) => {
        const isDescription = subject.startsWith(`$O.${FILE_BUCKET}.M.`);
        const ack = isDescription && !isStored ? undefined : await publish();
        if (isDescription) throw new NatsError('TIMEOUT', 'TIMEOUT');
        return ack;
      }),
    );
  }

  it('counts when it is there', async () => {
    const content = randomBytes(300_000);
    const put = await (await FileStore.open(silent(true))).put('unheard', pieces(content));
    expect(put).toEqual({ kind: 'stored', sizeBytes: content.length });
    expect((await contentOf('unheard'))?.equals(content)).toBe(true);
  });

  it('leaves the chunks, which it may still come to describe', async () => {
    const before = await storedMessages();
    const put = await (await FileStore.open(silent(false))).put('unsaid', pieces(randomBytes(300_000)));
    expect(put).toMatchObject({ kind: 'away' });
    expect(await store.get('unsaid')).toBeUndefined();
    expect(await storedMessages()).toBe(before + 3);
  });
});

describe('a store that takes nothing', () => {
  it('says so when it is full, and keeps nothing of what did not fit', async () => {
    const own = await startTestNats();
    const ownBus = await connectBus({ url: own.url, name: 'full' });
    try {
      await ensureStreams(ownBus, { ...SETTINGS, fileBytesMax: 1_000_000 });
      const small = await FileStore.open(ownBus);
      expect(await small.put('too-much', pieces(randomBytes(2_000_000)))).toEqual({ kind: 'full' });
      expect(await small.get('too-much')).toBeUndefined();
      expect(await small.put('fits', pieces(randomBytes(500_000)))).toMatchObject({ kind: 'stored' });
    } finally {
      await ownBus.close();
      await own.stop();
    }
  });

  it('is away while the bucket is not there', async () => {
    const own = await startTestNats();
    const ownBus = await connectBus({ url: own.url, name: 'no-bucket' });
    try {
      const early = await FileStore.open(ownBus);
      expect(await early.put('early', pieces(randomBytes(10)))).toEqual({
        kind: 'away',
        reason: 'stream not found',
      });
      await ensureStreams(ownBus, SETTINGS);
      expect(await early.put('early', pieces(randomBytes(10)))).toMatchObject({ kind: 'stored' });
    } finally {
      await ownBus.close();
      await own.stop();
    }
  });
});

/** The same connection, whose JetStream publishes go through the given function. */
function withPublish(
  real: NatsBus,
  around: (publish: () => Promise<unknown>, subject: string) => Promise<unknown>,
): NatsBus['connection'] {
  const { connection } = real;
  return new Proxy(connection, {
    get(target, name) {
      if (name !== 'jetstream') {
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      }
      return () => {
        const jetstream = connection.jetstream();
        const publish = jetstream.publish.bind(jetstream);
        jetstream.publish = ((...args: Parameters<typeof publish>) =>
          around(() => publish(...args), args[0])) as typeof publish;
        return jetstream;
      };
    },
  });
}
