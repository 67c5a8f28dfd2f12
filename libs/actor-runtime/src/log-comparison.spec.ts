import * as fc from 'fast-check';
import { differingShards, type PlaceInLog } from './log-comparison';
import { MemoryLog } from './testing/memory-log';

const SHARDS = 100;

/** A log in which each shard in turn has a record every millisecond, and where each shard was read to. */
function logOf(records: number): { log: MemoryLog; places: PlaceInLog[] } {
  let nowMs = 1_000;
  const log = new MemoryLog(() => nowMs++);
  const places = new Map<number, PlaceInLog>();
  for (let i = 0; i < records; i++) {
    const atMs = nowMs;
    const seq = log.publish(i % SHARDS, '{}');
    places.set(i % SHARDS, { shard: i % SHARDS, createdAt: log.createdAt, seq, atMs });
  }
  return { log, places: [...places.values()] };
}

describe('differingShards', () => {
  it('of an unchanged log are none', async () => {
    const { log, places } = logOf(250);
    expect(await differingShards(log, places)).toEqual([]);
    expect(await differingShards(log, [])).toEqual([]);
  });

  it('of a recreated log are all, however long it is', async () => {
    const { log, places } = logOf(250);
    log.recreate('2026-11-24T00:00:00Z');
    for (let i = 0; i < 500; i++) log.publish(0, '{}');
    expect(await differingShards(log, places)).toHaveLength(SHARDS);
  });

  it('are exactly those whose record was lost, whatever the log has grown to since', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 0, max: 300 }),
        async (keptSeq, grown) => {
          const { log, places } = logOf(250);
          log.truncate(Math.min(keptSeq, 250));
          for (let i = 0; i < grown; i++) log.publish(i % SHARDS, '{}');
          const lost = places.filter(({ seq }) => seq > keptSeq).map(({ shard }) => shard);
          expect((await differingShards(log, places)).sort()).toEqual(lost.sort());
        },
      ),
    );
  });

  it('a place whose record was not read here is judged by the others', async () => {
    const { log, places } = logOf(250);
    const unread = places.map((place) => (place.shard === 7 ? { ...place, atMs: undefined } : place));
    log.truncate(140);
    for (let i = 0; i < 300; i++) log.publish(0, '{}');
    const lost = places.filter(({ seq }) => seq > 140).map(({ shard }) => shard);
    expect(lost).toContain(7);
    expect((await differingShards(log, unread)).sort()).toEqual(lost.sort());
  });

  it('are not those whose records have left by their age', async () => {
    const { log, places } = logOf(250);
    log.expire(251);
    expect(await differingShards(log, places)).toEqual([]);
  });

  it('are not those whose records leave while they are looked at', async () => {
    const { log, places } = logOf(250);
    const state = log.state.bind(log);
    log.state = async () => {
      const before = await state();
      log.expire(251);
      return before;
    };
    expect(await differingShards(log, places)).toEqual([]);
  });

  it('costs one question when nothing is lost, and some dozen for thousands of shards when something is', async () => {
    const { log } = logOf(5_000);
    const places: PlaceInLog[] = [];
    for (let seq = 1; seq <= 5_000; seq++)
      places.push({ shard: seq, createdAt: log.createdAt, seq, atMs: await log.timeOf(seq) });
    let asked = 0;
    const timeOf = log.timeOf.bind(log);
    log.timeOf = (seq) => {
      asked++;
      return timeOf(seq);
    };
    await differingShards(log, places);
    expect(asked).toBe(1);
    log.truncate(1_234);
    for (let i = 0; i < 4_000; i++) log.publish(0, '{}');
    expect(await differingShards(log, places)).toHaveLength(5_000 - 1_234);
    expect(asked).toBeLessThan(20);
  });
});
