import { LOOPBACK } from './port';
import { redisCommand } from './redis-command';
import type { RedisServer } from './redis-server';

const SLOTS = 16_384;
const MASTERS = 3;

type Until = (what: string, isDone: () => Promise<boolean>) => Promise<void>;

/**
 * Makes a cluster of six servers that run: three masters with the slots between them, and a replica of each. Servers that
 * were one before only have to meet again, because their ports may have changed; they know their roles themselves.
 */
export async function formCluster(servers: readonly RedisServer[], until: Until): Promise<void> {
  const masters = servers.slice(0, MASTERS);
  if (!(await wasFormed(servers))) {
    // Nothing was ever stored in one that did not come about.
    for (const { port } of servers) await redisCommand(port, 'CLUSTER', 'RESET', 'HARD');
    for (const [n, { port }] of masters.entries()) await giveSlots(port, n);
  }
  const first = servers[0] as RedisServer;
  for (const { port } of servers.slice(1))
    await redisCommand(first.port, 'CLUSTER', 'MEET', LOOPBACK, String(port), String(await busPortOf(port)));
  await until('the servers of the cluster know each other', () =>
    every(servers, async ({ port }) =>
      (await infoOf(port)).includes(`cluster_known_nodes:${servers.length}\r`),
    ),
  );
  for (const [n, { port }] of servers.slice(MASTERS).entries()) {
    const own = await ownLine(port);
    if (!isMaster(own) || slotsIn(own) !== '') continue;
    const id = String(await redisCommand(masters[n]?.port ?? 0, 'CLUSTER', 'MYID'));
    // It refuses as long as it knows its master by address only.
    await until('a replica knows its master', async () => {
      await redisCommand(port, 'CLUSTER', 'REPLICATE', id);
      return true;
    });
  }
  await until('the cluster is whole and its replicas follow', () =>
    every(servers, async ({ port }) => {
      const role = await redisCommand(port, 'ROLE');
      const isFollowing = role?.[0] === 'master' || role?.[3] === 'connected';
      return isFollowing && /cluster_state:ok[^]*cluster_slots_ok:16384\r/.test(await infoOf(port));
    }),
  );
}

async function wasFormed(servers: readonly RedisServer[]): Promise<boolean> {
  const infos = await Promise.all(servers.map(({ port }) => infoOf(port)));
  return infos.every((info) => info.includes(`cluster_slots_assigned:${SLOTS}\r`));
}

async function giveSlots(port: number, n: number): Promise<void> {
  const from = Math.floor((SLOTS / MASTERS) * n);
  const to = Math.floor((SLOTS / MASTERS) * (n + 1)) - 1;
  await redisCommand(port, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
  await redisCommand(port, 'CLUSTER', 'SET-CONFIG-EPOCH', String(n + 1));
}

async function infoOf(port: number): Promise<string> {
  return String(await redisCommand(port, 'CLUSTER', 'INFO'));
}

/** `<id> <host>:<port>@<bus port> <flags> ... [slots]` of the server itself. */
async function ownLine(port: number): Promise<string> {
  const nodes = String(await redisCommand(port, 'CLUSTER', 'NODES'));
  return nodes.split('\n').find((line) => line.includes('myself')) ?? '';
}

async function busPortOf(port: number): Promise<number> {
  return Number(/@(\d+)/.exec(await ownLine(port))?.[1]);
}

function isMaster(line: string): boolean {
  return (line.split(' ')[2] ?? '').includes('master');
}

function slotsIn(line: string): string {
  return line.trim().split(' ').slice(8).join(' ');
}

async function every<T>(items: readonly T[], holds: (item: T) => Promise<boolean>): Promise<boolean> {
  return (await Promise.all(items.map(holds))).every(Boolean);
}
