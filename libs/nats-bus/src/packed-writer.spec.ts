import type { NatsBus } from './bus';
import { PackedWriter, type WriteResult } from './packed-writer';

interface Sent {
  subject: string;
  payload: string;
  messageId: string | undefined;
  answer: (answer: object) => Promise<void>;
}

/** A log that answers when the test says so. */
function manualLog(): { bus: NatsBus; sent: Sent[] } {
  const sent: Sent[] = [];
  const send = (subject: string, payload: string, { headers }: { headers?: Map<string, string> }) =>
    new Promise((resolve) => {
      sent.push({
        subject,
        payload,
        messageId: headers?.get('Nats-Msg-Id'),
        answer: async (answer) => {
          resolve({ kind: 'answer', message: { string: () => JSON.stringify(answer) } });
          await settled();
        },
      });
    });
  return { bus: { requests: { send } } as unknown as NatsBus, sent };
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe('PackedWriter', () => {
  let sent: Sent[];
  let writer: PackedWriter;
  const results = new Map<string, WriteResult>();

  beforeEach(() => {
    jest.useFakeTimers();
    const log = manualLog();
    sent = log.sent;
    results.clear();
    writer = new PackedWriter(log.bus, { subjectOf: (shard) => `shard.${shard}`, messageBytesMax: 1_000 });
  });
  afterEach(() => jest.useRealTimers());

  function write(shard: number, name: string, bytes = 3): void {
    const record = { json: `"${name}"`, bytes, messageId: name };
    void writer.write(shard, record).then((result) => results.set(name, result));
  }
  const subjects = () => sent.map(({ subject }) => subject);
  const sentAt = (at: number) => sent[at] as Sent;

  it('has one message of a shard on its way, and packs what waits for it', async () => {
    for (const name of ['a', 'b', 'c']) write(1, name);
    expect(sent.map(({ payload }) => payload)).toEqual(['"a"']);
    await sentAt(0).answer({ seq: 7 });
    expect(sent.map(({ payload }) => payload)).toEqual(['"a"', '["b","c"]']);
    await sentAt(1).answer({ seq: 9 });
    expect([...results]).toEqual([
      ['a', { kind: 'stored', seq: 7, index: 0, duplicate: false }],
      ['b', { kind: 'stored', seq: 9, index: 0, duplicate: false }],
      ['c', { kind: 'stored', seq: 9, index: 1, duplicate: false }],
    ]);
  });

  it('names a message by its record only when the record is alone', async () => {
    for (const name of ['a', 'b', 'c']) write(1, name);
    await sentAt(0).answer({ seq: 1 });
    expect(sent.map(({ messageId }) => messageId)).toEqual(['a', undefined]);
  });

  it('has four messages of all shards on their way, and the shards take turns', async () => {
    for (let shard = 1; shard <= 6; shard++) write(shard, `${shard}`);
    write(1, 'again');
    expect(subjects()).toEqual(['shard.1', 'shard.2', 'shard.3', 'shard.4']);
    write(5, 'more');
    await sentAt(0).answer({ seq: 1 });
    // Shard 1 has something new, and stands behind those that wait longer.
    expect(subjects().slice(4)).toEqual(['shard.5']);
    expect(sentAt(4).payload).toBe('["5","more"]');
    await sentAt(1).answer({ seq: 2 });
    await sentAt(2).answer({ seq: 3 });
    expect(subjects().slice(4)).toEqual(['shard.5', 'shard.6', 'shard.1']);
  });

  it('does not let messages that are lost hold up other shards, but their own', async () => {
    for (let shard = 1; shard <= 5; shard++) write(shard, `${shard}`);
    write(1, 'behind');
    jest.advanceTimersByTime(99);
    expect(subjects()).toHaveLength(4);
    jest.advanceTimersByTime(1);
    expect(subjects().slice(4)).toEqual(['shard.5']);
    for (let shard = 6; shard <= 12; shard++) write(shard, `${shard}`);
    // Three places are left beside that of shard 5; the slow ones free theirs once only.
    expect(subjects().slice(5)).toEqual(['shard.6', 'shard.7', 'shard.8']);
    for (let at = 0; at < 4; at++) await sentAt(at).answer({ seq: at + 1 });
    expect(subjects().slice(8)).toEqual([]);
    await sentAt(4).answer({ seq: 5 });
    expect(subjects().slice(8)).toEqual(['shard.9']);
  });

  it('keeps a message within its bytes', async () => {
    write(1, 'a');
    for (const name of ['b', 'c', 'd']) write(1, name, 400);
    await sentAt(0).answer({ seq: 1 });
    expect(sentAt(1).payload).toBe('["b","c"]');
    await sentAt(1).answer({ seq: 2 });
    expect(sentAt(2).payload).toBe('"d"');
  });

  it('tells each record of a message why it was refused, and goes on', async () => {
    for (const name of ['a', 'b', 'c']) write(1, name);
    await sentAt(0).answer({ seq: 1 });
    await sentAt(1).answer({ error: { description: 'maximum bytes exceeded' }, seq: 0 });
    const refused = { kind: 'refused', reason: 'maximum bytes exceeded' };
    expect([results.get('b'), results.get('c')]).toEqual([refused, refused]);
    write(1, 'd');
    expect(sentAt(2).payload).toBe('"d"');
  });

  it('refuses as busy what waits beyond its bound, until something is stored', async () => {
    for (let n = 0; n < 20_000; n++) write(1, `${n}`);
    write(2, 'too many');
    await settled();
    expect(results.get('too many')).toEqual({ kind: 'refused', reason: 'busy' });
    await sentAt(0).answer({ seq: 1 });
    write(2, 'fits');
    expect(subjects()).toContain('shard.2');
  });
});
