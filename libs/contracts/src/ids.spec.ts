import fc from 'fast-check';
import { fnv1a32, nodeIdSchema, recordIdSchema, sessionIdSchema, shardOf, userIdSchema } from './ids';

describe('fnv1a32', () => {
  // From the test vectors of the FNV authors, and one beyond ASCII.
  it.each([
    { text: '', hash: 0x811c9dc5 },
    { text: 'a', hash: 0xe40c292c },
    { text: 'b', hash: 0xe70c2de5 },
    { text: 'fo', hash: 0x6222e842 },
    { text: 'foo', hash: 0xa9f37ed7 },
    { text: 'foob', hash: 0x3f5076ef },
    { text: 'fooba', hash: 0x39aaa18a },
    { text: 'foobar', hash: 0xbf9cf968 },
    { text: 'chongo was here!\n', hash: 0xd49930d5 },
  ])('hashes $text as published', ({ text, hash }) => {
    expect(fnv1a32(text)).toBe(hash);
  });

  it('hashes the UTF-8 bytes, as the server does', () => {
    const byBytes = (bytes: readonly number[]) => {
      let hash = 0x811c9dc5n;
      for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
      return Number(hash);
    };
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(fnv1a32(text)).toBe(byBytes([...Buffer.from(text, 'utf8')]));
      }),
    );
  });
});

describe('shardOf', () => {
  it.each([
    { sessionId: 'foobar', shardCount: 64, shard: 0xbf9cf968 % 64 },
    { sessionId: 'foobar', shardCount: 1, shard: 0 },
    { sessionId: 'a', shardCount: 7, shard: 0xe40c292c % 7 },
  ])('$sessionId of $shardCount is $shard', ({ sessionId, shardCount, shard }) => {
    expect(shardOf(sessionId, shardCount)).toBe(shard);
  });

  it('spreads sessions over all shards', () => {
    const counts = new Array<number>(64).fill(0);
    for (let i = 0; i < 6_400; i++) {
      const shard = shardOf(`00021bBKRTX9${i}`, 64);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(40);
    expect(Math.max(...counts)).toBeLessThan(200);
  });
});

describe('ids', () => {
  it.each(['a', 'A-b_9', '0'.repeat(64), '00021bBKRTX9M01C'])('%j is a token', (id) => {
    for (const schema of [sessionIdSchema, userIdSchema, nodeIdSchema])
      expect(schema.safeParse(id).success).toBe(true);
  });

  it.each(['', 'a.b', 'a*', '>', 'a b', 'a\n', 'a:b', '{s1}', 'ä', '0'.repeat(65), 7, null])(
    '%j is not',
    (id) => {
      for (const schema of [sessionIdSchema, userIdSchema, nodeIdSchema])
        expect(schema.safeParse(id).success).toBe(false);
    },
  );

  it('a record id is any text of bounded length', () => {
    expect(recordIdSchema.safeParse('a.b *> ä').success).toBe(true);
    expect(recordIdSchema.safeParse('x'.repeat(128)).success).toBe(true);
    expect(recordIdSchema.safeParse('').success).toBe(false);
    expect(recordIdSchema.safeParse('x'.repeat(129)).success).toBe(false);
  });
});
