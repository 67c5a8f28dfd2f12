import { DEAD_LETTER_STREAM, subjects } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { DeadLetters, type DeadLetter } from './dead-letters';
import { ensureStreams } from './streams';

const LETTER: DeadLetter = {
  shard: 5,
  seq: 17,
  index: 2,
  atMs: 1_763_856_000_123,
  reason: 'not a known type',
  record: { type: 'bogus', text: '[redacted]' },
};

describe('DeadLetters', () => {
  let nats: TestNats;
  let bus: NatsBus;
  let letters: DeadLetters;

  beforeAll(async () => {
    nats = await startTestNats();
    bus = await connectBus({ url: nats.url, name: 'test' });
    await ensureStreams(bus, { shardCount: 64, replicas: 1, logBytesMax: 1e7, logAgeMaxMs: 3_600_000 });
    letters = await DeadLetters.open(bus);
  });
  afterAll(async () => {
    await bus.close();
    await nats.stop();
  });

  async function stored(shard: number): Promise<unknown[]> {
    const jsm = await bus.connection.jetstreamManager();
    const { state } = await jsm.streams.info(DEAD_LETTER_STREAM);
    const found: unknown[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await jsm.streams.getMessage(DEAD_LETTER_STREAM, { seq });
      if (message.subject === subjects.deadLetter(shard)) found.push(message.json());
    }
    return found;
  }

  it('has nothing to skip at first', async () => {
    expect(await letters.skips(5)).toEqual(new Set());
  });

  it('stores the letter with its place and reason, and the note', async () => {
    await letters.refuse(LETTER);
    expect(await letters.skips(5)).toEqual(new Set());
    await letters.noteSkip(LETTER);
    expect(await stored(5)).toEqual([{ v: 1, ...LETTER }]);
    expect(await letters.skips(5)).toEqual(new Set([`17.2.${LETTER.atMs}`]));
  });

  it('stores the same letter once, however often the record is refused', async () => {
    const letter = { ...LETTER, shard: 6 };
    await letters.refuse(letter);
    await letters.refuse(letter);
    expect(await stored(6)).toHaveLength(1);
  });

  it('keeps the notes of shards apart, 1 and 11 too', async () => {
    await letters.noteSkip({ ...LETTER, shard: 1, seq: 4, index: 0 });
    await letters.noteSkip({ ...LETTER, shard: 11, seq: 4, index: 1 });
    await letters.noteSkip({ ...LETTER, shard: 1, seq: 14, index: 127 });
    expect(await letters.skips(1)).toEqual(new Set([`4.0.${LETTER.atMs}`, `14.127.${LETTER.atMs}`]));
    expect(await letters.skips(11)).toEqual(new Set([`4.1.${LETTER.atMs}`]));
  });

  it('shows the notes to another node', async () => {
    await letters.noteSkip({ ...LETTER, shard: 20 });
    const other = await connectBus({ url: nats.url, name: 'other' });
    expect(await (await DeadLetters.open(other)).skips(20)).toEqual(new Set([`17.2.${LETTER.atMs}`]));
    await other.close();
  });

  it('reads many notes whole', async () => {
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => letters.noteSkip({ ...LETTER, shard: 30, seq: i + 1, index: 0 })),
    );
    expect((await letters.skips(30)).size).toBe(300);
  });

  it('rejects when it cannot store, so that the commit does not pass the record', async () => {
    const jsm = await bus.connection.jetstreamManager();
    await jsm.streams.delete(DEAD_LETTER_STREAM);
    await expect(letters.refuse({ ...LETTER, shard: 40 })).rejects.toThrow();
  });
});
