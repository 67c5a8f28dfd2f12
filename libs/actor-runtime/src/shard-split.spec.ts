import { parseJson, peerHeartbeatSchema } from '@flexpush/contracts';
import { ManualClock } from '@flexpush/testkit';
import { ShardSplit, type PeerBus } from './shard-split';
import { MemoryLogger } from './testing/memory-ports';

const SHARDS = 64;

/** Core NATS in memory: everyone hears everyone, oneself included. A replica can be cut off. */
class MemoryNats {
  private readonly handlers = new Set<{ of: MemoryBus; handle: (message: { text(): string }) => void }>();

  join(of: MemoryBus, handle: (message: { text(): string }) => void): { stop(): void } {
    const entry = { of, handle };
    this.handlers.add(entry);
    return { stop: () => this.handlers.delete(entry) };
  }

  spread(payload: string): void {
    for (const { of, handle } of [...this.handlers]) if (of.up) handle({ text: () => payload });
  }
}

class MemoryBus implements PeerBus {
  up = true;
  constructor(private readonly nats: MemoryNats) {}
  connected(): boolean {
    return this.up;
  }
  publish(_subject: string, payload: string): void {
    if (this.up) this.nats.spread(payload);
  }
  subscribe(_subject: string, handler: (message: { text(): string }) => void): { stop(): void } {
    return this.nats.join(this, handler);
  }
}

function given() {
  const clock = new ManualClock();
  const nats = new MemoryNats();
  const replica = (nodeId: string, incarnation = 'one') => {
    const bus = new MemoryBus(nats);
    const changes: (readonly number[])[] = [];
    const split = new ShardSplit({
      nodeId,
      incarnation,
      shardCount: SHARDS,
      heartbeatIntervalMs: 500,
      deadAfterMs: 1_500,
      bus,
      readHeartbeat: (text) => peerHeartbeatSchema.safeParse(parseJson(text)).data,
      clock: {
        nowMs: () => clock.now(),
        monotonicMs: () => clock.now(),
        after: (delayMs, task) => clock.setTimer(delayMs, task),
      },
      log: new MemoryLogger(),
      onChange: (shards) => changes.push(shards),
    });
    split.start();
    return { bus, split, changes };
  };
  return { clock, nats, replica };
}

/** Every shard has exactly one owner. */
function expectWhole(splits: ShardSplit[]): void {
  const all = splits.flatMap((split) => [...split.owned()]).sort((a, b) => a - b);
  expect(all).toEqual(Array.from({ length: SHARDS }, (_, shard) => shard));
}

describe('ShardSplit', () => {
  it('owns everything alone, at once', () => {
    expect(given().replica('a').split.owned()).toHaveLength(SHARDS);
  });

  it('shares with a newcomer as soon as it says hello, not a heartbeat later', () => {
    const { replica } = given();
    const a = replica('a');
    const b = replica('b');
    expect(b.split.owned().length).toBeGreaterThan(SHARDS / 4);
    expectWhole([a.split, b.split]);
  });

  it('takes over from a replica that leaves, while that one still beats', async () => {
    const { clock, replica } = given();
    const [a, b, c] = [replica('a'), replica('b'), replica('c')];
    await clock.advance(2_000);
    b.split.leave();
    expect(b.split.owned()).toEqual([]);
    expectWhole([a.split, c.split]);
    await clock.advance(2_000);
    b.split.stop();
    expectWhole([a.split, c.split]);
  });

  it('takes over from a dead replica after its time-out, and shares again when it is back', async () => {
    const { clock, replica } = given();
    const [a, b] = [replica('a'), replica('b')];
    await clock.advance(2_000);
    b.bus.up = false;
    await clock.advance(1_000);
    expect(a.split.owned().length).toBeLessThan(SHARDS);
    await clock.advance(1_000);
    expect(a.split.owned()).toHaveLength(SHARDS);
    b.bus.up = true;
    await clock.advance(1_000);
    expectWhole([a.split, b.split]);
  });

  it('keeps its split while NATS is away: silence then says nothing', async () => {
    const { clock, replica } = given();
    const [a, b] = [replica('a'), replica('b')];
    await clock.advance(2_000);
    const before = [...a.split.owned()];
    a.bus.up = b.bus.up = false;
    await clock.advance(60_000);
    a.bus.up = b.bus.up = true;
    await clock.advance(400);
    expect(a.split.owned()).toEqual(before);
    await clock.advance(5_000);
    expect(a.changes).toHaveLength(2);
    expectWhole([a.split, b.split]);
  });

  it('is not moved by strangers: no JSON, no heartbeat, an own echo', async () => {
    const { clock, nats, replica } = given();
    const a = replica('a');
    for (const payload of ['not json', 'null', '{"v":1,"nodeId":"x y"}', '[]']) nats.spread(payload);
    await clock.advance(2_000);
    expect(a.changes).toHaveLength(1);
  });

  it('sees a restarted replica as the same member', async () => {
    const { clock, replica } = given();
    const a = replica('a');
    const before = replica('b');
    await clock.advance(1_000);
    before.bus.up = false;
    replica('b', 'two');
    await clock.advance(5_000);
    expect(a.changes).toHaveLength(2);
  });
});
