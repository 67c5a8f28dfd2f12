import { startTestRedis, type TestRedis } from '@flexpush/testkit';
import fc from 'fast-check';
import { keys } from './keys';
import { connectRedis, type RedisConnection } from './redis';
import { StateStore, type Commit } from './state-store';

/** What Redis must hold after a sequence of commits, written as plainly as possible. */
interface Model {
  checkpoint: string;
  options: string;
  sessions: Map<string, string>;
  transcripts: Map<string, Map<string, string>>;
  timers: Map<string, number>;
  snapshots: Map<string, number>;
  outbox: Map<string, string>;
}

type Batch = Omit<Commit, 'expectedCheckpoint' | 'checkpoint'>;
/** How a batch reaches the store: rightly, once more, or from an owner that has been deposed. */
type Step = { batch: Batch; way: 'fresh' | 'repeated' | 'deposed' };

function setOrDelete<T>(map: Map<string, T>, entries: [string, T | undefined][]): void {
  for (const [key, value] of entries) {
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }
}

function apply(model: Model, commit: Commit): 'saved' | 'conflict' {
  if (commit.checkpoint === model.checkpoint) return 'saved';
  if (commit.expectedCheckpoint !== model.checkpoint) return 'conflict';
  if (commit.options !== '') model.options = commit.options;
  for (const { sessionId, state, events } of commit.sessions) {
    if (state === '') {
      model.sessions.delete(sessionId);
      model.transcripts.delete(sessionId);
      continue;
    }
    model.sessions.set(sessionId, state);
    const transcript = model.transcripts.get(sessionId) ?? new Map<string, string>();
    for (const [position, json] of events) transcript.set(String(position), json);
    if (transcript.size > 0) model.transcripts.set(sessionId, transcript);
  }
  setOrDelete(model.timers, commit.timers);
  setOrDelete(model.outbox, commit.outbox);
  setOrDelete(model.snapshots, commit.snapshots);
  model.checkpoint = commit.checkpoint;
  return 'saved';
}

// Few ids, so that batches meet each other; texts of any kind, so that no byte means anything to the script.
const id = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .filter((value) => !/\p{Cs}/u.test(value));
const session = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ state: text, events: fc.array(fc.tuple(fc.nat(9), text), { maxLength: 6 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ state: '', events: [] as [number, string][] }) },
);
/** Each name once, as the fold has them. */
function changes<T>(value: fc.Arbitrary<T>): fc.Arbitrary<[string, T | undefined][]> {
  return fc.uniqueArray(fc.tuple(id, fc.option(value, { nil: undefined })), { selector: ([name]) => name });
}
const batch: fc.Arbitrary<Batch> = fc.record({
  options: fc.oneof(fc.constant(''), text),
  sessions: fc
    .dictionary(id, session, { maxKeys: 5 })
    .map((byId) => Object.entries(byId).map(([sessionId, rest]) => ({ sessionId, ...rest }))),
  timers: changes(fc.nat(1e13)),
  outbox: changes(text),
  snapshots: changes(fc.nat(1e13)),
});
const step: fc.Arbitrary<Step> = fc.record({
  batch,
  way: fc.constantFrom('fresh' as const, 'fresh' as const, 'repeated' as const, 'deposed' as const),
});

describe('commit_batch against a model', () => {
  let server: TestRedis;
  let redis: RedisConnection;
  let store: StateStore;
  let shard = 0;

  beforeAll(async () => {
    server = await startTestRedis();
    redis = connectRedis({ url: server.socketPath });
    store = new StateStore(redis);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function read(): Promise<Model> {
    const { checkpoint, options, outbox } = await store.loadShard(shard);
    const model: Model = {
      checkpoint,
      options,
      sessions: new Map(),
      transcripts: new Map(),
      timers: new Map(),
      outbox: new Map(Object.entries(outbox)),
      snapshots: new Map(),
    };
    const [sessionPrefix, transcriptPrefix] = [keys.session(shard, ''), keys.transcript(shard, '')];
    for (const key of await redis.keys(`${sessionPrefix}*`))
      model.sessions.set(key.slice(sessionPrefix.length), (await redis.get(key)) ?? '');
    for (const key of await redis.keys(`${transcriptPrefix}*`))
      model.transcripts.set(
        key.slice(transcriptPrefix.length),
        new Map(Object.entries(await redis.hgetall(key))),
      );
    const timers = await redis.zrange(keys.timers(shard), 0, -1, 'WITHSCORES');
    for (let i = 0; i < timers.length; i += 2) model.timers.set(timers[i] as string, Number(timers[i + 1]));
    const snapshots = await redis.zrange(keys.snapshots(shard), 0, -1, 'WITHSCORES');
    for (let i = 0; i < snapshots.length; i += 2)
      model.snapshots.set(snapshots[i] as string, Number(snapshots[i + 1]));
    return model;
  }

  it('leaves what the model says, for any sequence of fresh, repeated and deposed batches', async () => {
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      shard += 1;
      const model: Model = {
        checkpoint: '',
        options: '',
        sessions: new Map(),
        transcripts: new Map(),
        timers: new Map(),
        snapshots: new Map(),
        outbox: new Map(),
      };
      for (const [i, { batch: content, way }] of steps.entries()) {
        const commit: Commit = {
          ...content,
          expectedCheckpoint: way === 'deposed' ? 'elsewhere' : model.checkpoint,
          checkpoint: `checkpoint-${i}`,
        };
        for (let times = way === 'repeated' ? 2 : 1; times > 0; times--)
          expect(await store.commit(shard, commit)).toBe(apply(model, commit));
      }
      expect(await read()).toEqual(model);
    });
    await fc.assert(property, { numRuns: 150 });
  });
});
