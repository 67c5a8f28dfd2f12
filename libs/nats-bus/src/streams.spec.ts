import {
  CLUSTER_BUCKET,
  DEAD_LETTER_STREAM,
  FILE_BUCKET,
  LEASE_BUCKET,
  LOG_STREAM,
  OPTION_BUCKET,
  shardOf,
  SKIP_BUCKET,
  SNAPSHOT_STREAM,
  subjects,
} from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connectBus, type NatsBus } from './bus';
import {
  bindBucket,
  ensureStreams,
  flexpushStreams,
  MappingError,
  probeMapping,
  ShardCountError,
  waitForShardCount,
  type LogSettings,
} from './streams';

const SETTINGS: LogSettings = {
  shardCount: 64,
  replicas: 1,
  logBytesMax: 64 * 1024 * 1024,
  logAgeMaxMs: 3_600_000,
};

/** Runs a test against a server of its own with two connections. */
async function withNats(
  options: { shards?: number; mapping?: boolean },
  test: (a: NatsBus, b: NatsBus) => Promise<void>,
): Promise<void> {
  const nats = await startTestNats({ shards: options.shards ?? SETTINGS.shardCount });
  if (options.mapping === false) await removeMapping(nats);
  const [a, b] = await Promise.all(['a', 'b'].map((name) => connectBus({ url: nats.url, name })));
  try {
    await test(a as NatsBus, b as NatsBus);
  } finally {
    await Promise.all([a?.close(), b?.close()]);
    await nats.stop();
  }
}

async function removeMapping(nats: TestNats): Promise<void> {
  const file = join(dirname(nats.server.logFile), 'nats.conf');
  await nats.server.kill();
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^mappings = \{[^]*?^\}/m, ''));
  await nats.server.start();
}

async function streamConfigs(bus: NatsBus): Promise<Record<string, unknown>> {
  const jsm = await bus.connection.jetstreamManager();
  const found: Record<string, unknown> = {};
  for await (const { config, created } of jsm.streams.list()) found[config.name] = { config, created };
  return found;
}

describe('ensureStreams', () => {
  it('makes the log, the dead letters and the buckets, and the log refuses when it is full', () =>
    withNats({}, async (bus) => {
      await ensureStreams(bus, SETTINGS);
      const found = await streamConfigs(bus);
      const buckets = [CLUSTER_BUCKET, LEASE_BUCKET, OPTION_BUCKET, SKIP_BUCKET].map((name) => `KV_${name}`);
      expect(Object.keys(found).sort()).toEqual(
        [LOG_STREAM, DEAD_LETTER_STREAM, SNAPSHOT_STREAM, ...buckets, `OBJ_${FILE_BUCKET}`].sort(),
      );
      expect(found[LOG_STREAM]).toMatchObject({
        config: {
          subjects: ['flexpush.log.*.*'],
          storage: 'file',
          discard: 'new',
          max_bytes: SETTINGS.logBytesMax,
          max_age: SETTINGS.logAgeMaxMs * 1e6,
          duplicate_window: 120e9,
        },
      });
      expect(found[DEAD_LETTER_STREAM]).toMatchObject({ config: { discard: 'old' } });
      expect(found[`OBJ_${FILE_BUCKET}`]).toMatchObject({
        config: { discard: 'new', max_bytes: SETTINGS.logBytesMax / 2, max_age: 7 * 86_400e9 },
      });
    }));

  it('leaves what exists as it is', () =>
    withNats({}, async (a, b) => {
      await ensureStreams(a, SETTINGS);
      const before = await streamConfigs(a);
      await ensureStreams(a, SETTINGS);
      await ensureStreams(b, { ...SETTINGS, logBytesMax: 1_000_000, logAgeMaxMs: 60_000 });
      expect(await streamConfigs(a)).toEqual(before);
    }));

  it.each([
    { name: 'the same settings', other: SETTINGS },
    {
      name: 'other settings',
      other: { ...SETTINGS, logBytesMax: 128 * 1024 * 1024, logAgeMaxMs: 7_200_000 },
    },
  ])('may run at the same time from two nodes with $name', ({ other }) =>
    withNats({}, async (a, b) => {
      for (let round = 0; round < 25; round++) {
        await Promise.all([ensureStreams(a, SETTINGS), ensureStreams(b, other), ensureStreams(a, SETTINGS)]);
        expect(Object.keys(await streamConfigs(a))).toHaveLength(flexpushStreams.length);
        const jsm = await a.connection.jetstreamManager();
        for (const name of Object.keys(await streamConfigs(a))) await jsm.streams.delete(name);
      }
    }),
  );

  it('refuses a log whose subjects another stream has already', () =>
    withNats({}, async (bus) => {
      const jsm = await bus.connection.jetstreamManager();
      await jsm.streams.add({ name: 'someone-elses', subjects: ['flexpush.log.>'] });
      await expect(ensureStreams(bus, SETTINGS)).rejects.toThrow('subjects overlap');
    }));

  it('refuses another shard count than the first one and says what to do', () =>
    withNats({}, async (a, b) => {
      await ensureStreams(a, { ...SETTINGS, shardCount: 16 });
      const refused: unknown = await ensureStreams(b, SETTINGS).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(ShardCountError);
      expect(refused).toMatchObject({ code: 'SHARD_COUNT', retryable: false });
      expect((refused as Error).message).toContain('has 16 shards');
      expect((refused as Error).message).toContain('set FLEXPUSH_SHARDS=16');
    }));

  it('lets one of two nodes with different counts win, and the other refuses', () =>
    withNats({}, async (a, b) => {
      const results = await Promise.allSettled([
        ensureStreams(a, { ...SETTINGS, shardCount: 8 }),
        ensureStreams(b, { ...SETTINGS, shardCount: 32 }),
      ]);
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const winner = results.findIndex(({ status }) => status === 'fulfilled');
      expect(await waitForShardCount(a)).toBe([8, 32][winner]);
    }));
});

describe('waitForShardCount', () => {
  it('waits until the first session-actor has fixed the count, and binding makes no bucket', () =>
    withNats({}, async (a, b) => {
      const waiting = waitForShardCount(b);
      expect(await bindBucket(b, CLUSTER_BUCKET)).toBeUndefined();
      expect(await streamConfigs(b)).toEqual({});
      await ensureStreams(a, { ...SETTINGS, shardCount: 12 });
      expect(await waiting).toBe(12);
    }));
});

describe('the mapping of flexpush.event.*', () => {
  it('agrees with shardOf for three thousand ids', () =>
    withNats({}, async (bus) => {
      await ensureStreams(bus, SETTINGS);
      const heard = new Map<string, string>();
      const subscription = bus.subscribe(subjects.logWildcard, (message) =>
        heard.set(message.text(), message.subject),
      );
      await bus.flush();
      const ids = Array.from({ length: 3_000 }, (_, i) =>
        randomBytes(1 + (i % 30))
          .toString('base64url')
          .slice(0, 64),
      );
      for (const id of ids) bus.publish(subjects.event(id), id);
      await bus.flush();
      // Our own messages come back before the server's answer to the second flush.
      await bus.flush();
      subscription.stop();
      for (const id of new Set(ids)) expect(heard.get(id)).toBe(subjects.logPublic(shardOf(id, 64)));
    }));

  it.each([1, 7, 64, 100])('is found to agree with %d shards', (shardCount) =>
    withNats({ shards: shardCount }, async (bus) => {
      await ensureStreams(bus, { ...SETTINGS, shardCount });
      expect(await probeMapping(bus, shardCount)).toBe('agrees');
    }),
  );

  it('is found absent', () =>
    withNats({ mapping: false }, async (bus) => {
      await ensureStreams(bus, SETTINGS);
      expect(await probeMapping(bus, 64)).toBe('absent');
    }));

  it.each([32, 63, 128])('is always found to disagree when it is rendered for %d shards', (shards) =>
    withNats({ shards }, async (bus) => {
      await ensureStreams(bus, SETTINGS);
      for (let round = 0; round < 30; round++) {
        const refused: unknown = await probeMapping(bus, 64).catch((error: unknown) => error);
        expect(refused).toBeInstanceOf(MappingError);
        expect((refused as Error).message).toContain('render nats.conf');
      }
    }),
  );
});
