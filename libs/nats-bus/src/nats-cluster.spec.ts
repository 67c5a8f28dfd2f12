import { LOG_STREAM, OPTION_BUCKET } from '@flexpush/contracts';
import { startTestNatsCluster, type NatsGroup, type NatsServer, type TestGroup } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { LogAppender } from './log-appender';
import type { LogReader } from './log-reader';
import { openOptionStore, type OptionStore } from './option-store';
import { ShardLog } from './shard-log';
import { ensureStreams } from './streams';
import { waitFor } from './waiting';

/** Enough that each server has consumers of some of them. */
const SHARDS = Array.from({ length: 12 }, (_, shard) => shard);
const WATCHES = 6;
const RETRY_MS = 50;
jest.setTimeout(90_000);

describe('a JetStream cluster of three servers, one of which dies and stays away', () => {
  let cluster: TestGroup<NatsGroup>;
  let buses: NatsBus[];
  let readers: LogReader[];
  let stores: OptionStore[];

  beforeEach(async () => {
    cluster = await startTestNatsCluster();
    [buses, readers, stores] = [[], [], []];
  });
  afterEach(async () => {
    for (const reader of readers) reader.close();
    for (const store of stores) store.close();
    await Promise.all(buses.map((bus) => bus.connection.close()));
    await cluster.stop();
  });

  async function connect(url: string): Promise<NatsBus> {
    const bus = await connectBus({ url, name: 'spec' });
    buses.push(bus);
    return bus;
  }

  async function serverWhich(leads: string): Promise<NatsServer> {
    const jsm = await (buses[0] as NatsBus).connection.jetstreamManager();
    const { cluster: group } = await jsm.streams.info(leads);
    return cluster.group.servers.find(({ name }) => name === group?.leader) as NatsServer;
  }

  /** Everything that a shard's reader has got, as text. */
  function follow(reader: LogReader): { texts: string[]; until(text: string): Promise<void> } {
    const texts: string[] = [];
    let look: () => void = () => undefined;
    void (async () => {
      for (;;) {
        const messages = await reader.next(100);
        if (messages.length === 0) return;
        texts.push(
          ...messages
            .map(({ data }) => JSON.parse(Buffer.from(data).toString()) as { id: string })
            .map(({ id }) => id),
        );
        look();
      }
    })();
    return {
      texts,
      until: (text) =>
        new Promise((resolve) => {
          look = () => texts.includes(text) && resolve();
          look();
        }),
    };
  }

  /** Appends until the log takes it: a refusal is an answer, silence would hang here. */
  async function appendSurely(appender: LogAppender, shard: number, revision: number): Promise<void> {
    const record = { v: 1, type: 'options.changed', id: `r${revision}`, revision, values: {} } as never;
    for (;;) {
      const result = await appender.append(shard, record);
      if (result.kind === 'appended') return;
      expect(result.retryable).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async function setSurely(store: OptionStore): Promise<void> {
    const set = () => store.set('settings', 'flex-push-resend-delay', '7');
    while (!(await set().catch(() => undefined)))
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }

  function untilSet(store: OptionStore): Promise<void> {
    return new Promise((resolve) =>
      store.onChange((values) => Object.values(values).includes('7') && resolve()),
    );
  }

  it.each([
    { name: 'that leads the log', leads: LOG_STREAM },
    { name: 'that leads the options', leads: `KV_${OPTION_BUCKET}` },
  ])('goes on without the one $name: no reader and no watch stands still', async ({ leads }) => {
    const first = await connect(cluster.url);
    // A server that has just come is not known to all the others at once.
    await waitFor(async () => {
      await ensureStreams(first, { shardCount: 64, replicas: 3, logBytesMax: 1e8, logAgeMaxMs: 3_600_000 });
      return true;
    });
    const victim = await serverWhich(leads);
    // Connections to the others do not break, so nothing but silence tells these of the death.
    const [other] = cluster.group.servers.filter((server) => server !== victim);
    const bus = await connect((other as NatsServer).url);
    const log = await ShardLog.open(bus);
    readers = await Promise.all(SHARDS.map((shard) => log.read({ shard, fromSeq: 1, queueMax: 64 })));
    const followed = readers.map(follow);
    stores = await Promise.all(Array.from({ length: WATCHES }, () => openOptionStore(bus)));
    const appender = new LogAppender(first);
    await Promise.all(SHARDS.map((shard) => appendSurely(appender, shard, 1)));
    await Promise.all(followed.map((one) => one.until('r1')));
    await victim.kill();
    await Promise.all(SHARDS.map((shard) => appendSurely(appender, shard, 2)));
    await setSurely(stores[0] as OptionStore);
    await Promise.all(followed.map((one) => one.until('r2')));
    await Promise.all(stores.map(untilSet));
    for (const { texts } of followed) expect([...new Set(texts)]).toEqual(['r1', 'r2']);
  });
});
