import { nodeIdSchema, pushResultsSchema } from '@flexpush/contracts';
import { ManualClock } from '@flexpush/testkit';
import { NODE_BOUNDS } from './node-bounds';
import { ResultBatcher } from './result-batcher';

class Bench {
  connected = true;
  dropped = 0;
  readonly sent: { actorId: string; ids: string[] }[] = [];
  readonly clock = new ManualClock();
  readonly batcher = new ResultBatcher(nodeIdSchema.parse('gms-1'), {
    connected: () => this.connected,
    setTimer: (delayMs, run) => this.clock.setTimer(delayMs, run),
    dropped: (count) => (this.dropped += count),
    publish: (actorId, payload) => {
      const { results } = pushResultsSchema.parse(JSON.parse(payload));
      this.sent.push({ actorId, ids: results.map(({ id }) => id) });
    },
  });

  add(actorId: string, id: string): void {
    this.batcher.add(actorId, { id, shard: 1, outcome: 'delivered' });
  }
}

it('R1: results of one linger go in one message per actor', async () => {
  const bench = new Bench();
  bench.add('x', '1');
  bench.add('y', '2');
  bench.add('x', '3');
  expect(bench.sent).toEqual([]);
  await bench.clock.advance(NODE_BOUNDS.resultLingerMs);
  expect(bench.sent).toEqual([
    { actorId: 'x', ids: ['1', '3'] },
    { actorId: 'y', ids: ['2'] },
  ]);
});

it('a full message does not wait', () => {
  const bench = new Bench();
  for (let at = 0; at < NODE_BOUNDS.resultsPerMessage; at += 1) bench.add('x', String(at));
  expect(bench.sent.map(({ ids }) => ids.length)).toEqual([NODE_BOUNDS.resultsPerMessage]);
  expect(bench.clock.timerCount).toBe(0);
});

it('keeps results while NATS is away, in bounded messages afterwards', async () => {
  const bench = new Bench();
  bench.connected = false;
  for (let at = 0; at < 1_200; at += 1) bench.add('x', String(at));
  await bench.clock.advance(NODE_BOUNDS.resultRetryMs * 3);
  expect(bench.sent).toEqual([]);
  bench.connected = true;
  await bench.clock.advance(NODE_BOUNDS.resultRetryMs);
  expect(bench.sent.map(({ ids }) => ids.length)).toEqual([500, 500, 200]);
});

it('R2: beyond the bound the oldest go first, and are counted (I9)', async () => {
  const bench = new Bench();
  bench.connected = false;
  for (let at = 0; at <= NODE_BOUNDS.resultsPendingMax; at += 1) bench.add('x', String(at));
  bench.connected = true;
  await bench.clock.advance(NODE_BOUNDS.resultRetryMs);
  expect(bench.dropped).toBe(NODE_BOUNDS.resultsPerMessage);
  expect(bench.sent[0]?.ids[0]).toBe(String(NODE_BOUNDS.resultsPerMessage));
});
