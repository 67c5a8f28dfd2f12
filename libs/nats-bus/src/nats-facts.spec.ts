import { LOG_STREAM } from '@flexpush/contracts';
import { freePort, startTestNats, temporaryFolder, type TestNats } from '@flexpush/testkit';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiscardPolicy, nanos, StorageType } from 'nats';
import { connectBus, type NatsBus } from './bus';
import { askServers, readMapping, readNatsFacts, type NatsFacts, type StreamFacts } from './nats-facts';
import { ensureStreams, flexpushStreams } from './streams';
import { waitFor } from './waiting';

const MIB = 1_048_576;
const TIMEOUT = { timeoutMs: 3_000 };
// A cluster elects its leaders, and takes its time to call one of its servers away.
jest.setTimeout(90_000);
const settings = (replicas: number) => ({
  ...{ shardCount: 8, replicas },
  ...{ logBytesMax: 64 * MIB, logAgeMaxMs: 3_600_000 },
});

function streamOf(facts: NatsFacts, name: string): StreamFacts {
  const found = facts.streams.find((one) => one.name === name);
  if (found?.kind !== 'there') throw new Error(`${name} is ${found?.kind ?? 'not listed'}`);
  return found.stream;
}

/** nats-server processes with configurations of the test's own. */
class Servers {
  private readonly folder = temporaryFolder('nats');
  private readonly children: ChildProcess[] = [];

  start(name: string, conf: string): ChildProcess {
    const file = join(this.folder, `${name}.conf`);
    writeFileSync(file, conf.replaceAll('@DIR@', join(this.folder, name)));
    const child = spawn('nats-server', ['-c', file], { stdio: 'ignore' });
    this.children.push(child);
    return child;
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGKILL');
        await once(child, 'exit');
      }),
    );
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe('one server', () => {
  let nats: TestNats;
  let bus: NatsBus;
  beforeEach(async () => {
    nats = await startTestNats({ shards: 8 });
    bus = await connectBus({ url: nats.url, name: 'test' });
  });
  afterEach(async () => {
    await bus.close();
    await nats.stop();
  });

  it('tells what our streams are made of, and what lies in them', async () => {
    await ensureStreams(bus, settings(1));
    const before = Date.now();
    expect(await readMapping(bus, 8)).toEqual({ kind: 'agrees' });
    const facts = await readNatsFacts(bus, TIMEOUT);
    expect(facts).toMatchObject({
      maxPayloadBytes: MIB,
      cluster: undefined,
      jetstream: { storageBytesMax: undefined },
      shardCount: 8,
    });
    expect(facts.version).toMatch(/^2\.\d+\.\d+/);
    expect(facts.streams.map(({ kind, name }) => `${kind} ${name}`)).toEqual(
      flexpushStreams.map((name) => `there ${name}`),
    );
    const { firstAtMs, bytes, ...log } = streamOf(facts, LOG_STREAM);
    expect(log).toEqual({
      storage: 'file',
      replicas: 1,
      discard: 'new',
      duplicateWindowMs: 120_000,
      ageMaxMs: 3_600_000,
      bytesMax: 64 * MIB,
      messageBytesMax: undefined,
      messages: 1,
      lastAtMs: firstAtMs,
      leader: undefined,
      followers: [],
    });
    expect(firstAtMs).toBeGreaterThan(before - 5_000);
    expect(bytes).toBeGreaterThan(0);
  });

  it('tells bad settings as they are, and what is missing', async () => {
    const jsm = await bus.connection.jetstreamManager();
    await jsm.streams.add({
      name: LOG_STREAM,
      subjects: ['flexpush.log.*.*'],
      storage: StorageType.Memory,
      discard: DiscardPolicy.Old,
      duplicate_window: nanos(100),
      max_msg_size: 1_000,
    });
    const facts = await readNatsFacts(bus, TIMEOUT);
    expect(streamOf(facts, LOG_STREAM)).toMatchObject({
      storage: 'memory',
      discard: 'old',
      duplicateWindowMs: 100,
      ageMaxMs: undefined,
      bytesMax: undefined,
      messageBytesMax: 1_000,
      messages: 0,
      firstAtMs: undefined,
    });
    expect(facts.streams.filter(({ kind }) => kind === 'missing')).toHaveLength(flexpushStreams.length - 1);
    expect(facts.shardCount).toBeUndefined();
  });

  it('tells a wrong mapping, and a log that refuses', async () => {
    await ensureStreams(bus, settings(1));
    expect(await readMapping(bus, 7)).toMatchObject({
      kind: 'wrong',
      reason: expect.stringContaining('maps'),
    });
    const jsm = await bus.connection.jetstreamManager();
    await jsm.streams.update(LOG_STREAM, { max_bytes: 1 });
    expect(await readMapping(bus, 8)).toEqual({ kind: 'refused' });
  });

  it('cannot ask the server as an application may not', async () => {
    expect(await askServers(bus, { timeoutMs: 500 })).toEqual([]);
  });
});

it('gives up a first connection after its time-out', async () => {
  const port = await freePort();
  const connecting = connectBus({
    url: `nats://127.0.0.1:${port}`,
    name: 'test',
    firstConnectTimeoutMs: 1_000,
  });
  await expect(connecting).rejects.toMatchObject({ code: 'NOT_THERE' });
});

describe('servers of our own', () => {
  let servers: Servers;
  const buses: NatsBus[] = [];
  const connected = async (url: string): Promise<NatsBus> => {
    const bus = await connectBus({ url, name: 'test' });
    buses.push(bus);
    return bus;
  };
  beforeEach(() => {
    servers = new Servers();
  });
  afterEach(async () => {
    await servers.stop();
    await Promise.all(buses.splice(0).map((bus) => bus.close()));
  });

  it('tells that there is no JetStream', async () => {
    const port = await freePort();
    servers.start('plain', `host: 127.0.0.1, port: ${port}`);
    const facts = await readNatsFacts(await connected(`nats://127.0.0.1:${port}`), TIMEOUT);
    expect(facts).toMatchObject({ jetstream: undefined, streams: [] });
  });

  it('asks the servers where the account may', async () => {
    const port = await freePort();
    servers.start(
      'accounts',
      `server_name: n1, host: 127.0.0.1, port: ${port}
       jetstream { store_dir: "@DIR@" }
       accounts {
         SYS { users: [{ user: sys, password: s }] }
         APP { jetstream { max_file: 128MB }, users: [{ user: app, password: a }] }
       }
       system_account: SYS`,
    );
    const [sys, app] = await Promise.all(
      ['sys:s', 'app:a'].map((login) => connected(`nats://${login}@127.0.0.1:${port}`)),
    );
    expect(await askServers(sys as NatsBus, { timeoutMs: 500 })).toMatchObject([{ server_name: 'n1' }]);
    expect(await askServers(app as NatsBus, { timeoutMs: 500 })).toEqual([]);
    const facts = await readNatsFacts(app as NatsBus, TIMEOUT);
    expect(facts.jetstream).toEqual({ storageBytes: 0, storageBytesMax: 128 * MIB });
  });

  it('tells the leader of a cluster, its followers, and which of them is away', async () => {
    const [ports, routes] = await Promise.all([1, 2].map(() => Promise.all([1, 2, 3].map(() => freePort()))));
    const children = [0, 1, 2].map((i) =>
      servers.start(
        `n${i}`,
        `server_name: n${i}, host: 127.0.0.1, port: ${ports?.[i]}
         jetstream { store_dir: "@DIR@" }
         cluster { name: main, host: 127.0.0.1, port: ${routes?.[i]},
           routes: [${routes?.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')}] }`,
      ),
    );
    const bus = await connected((ports ?? []).map((port) => `nats://127.0.0.1:${port}`).join(','));
    await waitFor(() => ensureStreams(bus, settings(3)).then(() => true));
    const log = async () => {
      const facts = await readNatsFacts(bus, TIMEOUT);
      expect(facts.cluster).toBe('main');
      return streamOf(facts, LOG_STREAM);
    };
    const whole = await waitFor(async () => {
      const now = await log();
      return now.leader !== undefined && now.followers.every(({ isCurrent }) => isCurrent) ? now : undefined;
    });
    expect(whole.replicas).toBe(3);
    expect([whole.leader, ...whole.followers.map(({ name }) => name)].sort()).toEqual(['n0', 'n1', 'n2']);

    const away = whole.followers[0]?.name ?? '';
    children[Number(away.slice(1))]?.kill('SIGKILL');
    const hurt = await waitFor(async () => {
      const now = await log();
      return now.followers.some(({ isCurrent }) => !isCurrent) ? now : undefined;
    });
    expect(hurt.followers).toContainEqual({ name: away, isCurrent: false });
  });
});
