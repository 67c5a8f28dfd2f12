import { SNAPSHOT_STREAM, subjects } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { SnapshotStore, type SessionSnapshot } from './snapshot-store';
import { ensureStreams } from './streams';

const SMALL: SessionSnapshot = {
  sessionId: 'chat-1',
  createdAt: '2026-11-24T00:00:00.123456789Z',
  seq: 17,
  atMs: 1_763_856_000_123,
  state: '{"s":1}',
  events: [[1, '{"text":"Grüße \u{1F600}"}']],
  outbox: ['{"id":"chat-1:u:1"}'],
};
/** About two megabytes, more than one message may have. */
const LARGE: SessionSnapshot = {
  ...SMALL,
  sessionId: 'chat-2',
  events: Array.from({ length: 500 }, (_, i): [number, string] => [
    i + 1,
    `"${'\u{1F600}ü"'.repeat(1_000)}"`,
  ]),
};

describe('SnapshotStore', () => {
  let nats: TestNats;
  let bus: NatsBus;
  let snapshots: SnapshotStore;

  beforeAll(async () => {
    nats = await startTestNats();
    bus = await connectBus({ url: nats.url, name: 'test' });
    await ensureStreams(bus, { shardCount: 64, replicas: 1, logBytesMax: 1e8, logAgeMaxMs: 3_600_000 });
    snapshots = await SnapshotStore.open(bus);
  });
  afterAll(async () => {
    await bus.close();
    await nats.stop();
  });

  async function all(shard: number): Promise<SessionSnapshot[]> {
    const found: SessionSnapshot[] = [];
    for await (const some of snapshots.read(shard)) found.push(...some);
    return found;
  }
  async function messages(): Promise<number> {
    const jsm = await bus.connection.jetstreamManager();
    return (await jsm.streams.info(SNAPSHOT_STREAM)).state.messages;
  }

  it('reads nothing where there is nothing', async () => {
    expect(await all(1)).toEqual([]);
    expect(await snapshots.readOptions(1)).toBeUndefined();
  });

  it('passes over what is no snapshot, tells of it, reads the others, and replaces it', async () => {
    const shard = 9;
    const told: string[] = [];
    const store = await SnapshotStore.open(bus, { onUnreadable: (subject) => told.push(subject) });
    const head = { v: 1, createdAt: SMALL.createdAt, seq: 1, atMs: 1, parts: 0, place: '1-1', body: '{}' };
    const rubbish: [string, string][] = [
      ['not-json', '{'],
      ['null', 'null'],
      ['list', '[[[]]]'],
      ['half', JSON.stringify({ ...head, sessionId: 'half', seq: 'x' })],
      ['no-body', JSON.stringify({ ...head, sessionId: 'no-body' })],
      ['of-another', JSON.stringify({ ...head, sessionId: 'chat-1' })],
      ['dots', JSON.stringify({ ...head, sessionId: 'a.b', body: undefined, parts: 1 })],
    ];
    for (const [sessionId, text] of rubbish)
      await bus.connection.jetstream().publish(subjects.snapshot(shard, sessionId), text);
    await bus.connection.jetstream().publish(subjects.snapshotOptions(shard), '{"entries":[null]}');
    await store.write(shard, SMALL);
    const found: SessionSnapshot[] = [];
    for await (const some of store.read(shard)) found.push(...some);
    expect(found).toEqual([SMALL]);
    expect(await store.readOptions(shard)).toBeUndefined();
    expect(told.sort()).toEqual(
      [
        ...rubbish.map(([sessionId]) => subjects.snapshot(shard, sessionId)),
        subjects.snapshotOptions(shard),
      ].sort(),
    );
    expect(await store.write(shard, { ...SMALL, sessionId: 'not-json' })).toBe('stored');
  });

  it('gives back what was written, small and large, of the asked shard only', async () => {
    await snapshots.write(2, SMALL);
    await snapshots.write(2, LARGE);
    await snapshots.write(3, { ...SMALL, sessionId: 'chat-3' });
    expect(await all(2)).toEqual([SMALL, LARGE]);
  });

  it('keeps the newest only, and of a large one no part of an older', async () => {
    await snapshots.write(4, LARGE);
    const before = await messages();
    const newer = { ...LARGE, seq: 18, state: '{"s":2}' };
    expect(await snapshots.write(4, newer)).toBe('stored');
    expect(await messages()).toBe(before);
    expect(await snapshots.write(4, SMALL.seq < 18 ? { ...LARGE, seq: 17 } : LARGE)).toBe('older');
    expect(await all(4)).toEqual([newer]);
  });

  it('takes a lower place in a log that was recreated', async () => {
    await snapshots.write(5, SMALL);
    const adopted = { ...SMALL, createdAt: '2026-11-25T00:00:00Z', seq: 0 };
    expect(await snapshots.write(5, adopted)).toBe('stored');
    expect(await all(5)).toEqual([adopted]);
  });

  it('lets one of two writers at a time win, and the newer one stands', async () => {
    const outcomes = await Promise.all(
      [21, 22, 23, 24].map((seq) => snapshots.write(6, { ...SMALL, seq, state: `{"s":${seq}}` })),
    );
    expect(outcomes).toContain('stored');
    expect(await all(6)).toMatchObject([{ seq: 24, state: '{"s":24}' }]);
  });

  it('removes a session with all its parts', async () => {
    const before = await messages();
    await snapshots.write(7, LARGE);
    await snapshots.write(7, SMALL);
    await snapshots.remove(7, LARGE.sessionId);
    await snapshots.remove(7, SMALL.sessionId);
    expect([await all(7), await messages()]).toEqual([[], before]);
  });

  it('reads more sessions than it takes at once', async () => {
    await Promise.all(
      Array.from({ length: 350 }, (_, i) => snapshots.write(8, { ...SMALL, sessionId: `many-${i}` })),
    );
    expect(new Set((await all(8)).map(({ sessionId }) => sessionId)).size).toBe(350);
  });

  it('keeps the options that a log begins with', async () => {
    const history = { createdAt: 'c', entries: [{ seq: 3, options: '{"revision":1}' }] };
    await snapshots.writeOptions(9, history);
    expect(await snapshots.readOptions(9)).toMatchObject(history);
  });
});
