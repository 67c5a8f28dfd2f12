import { usualSizes, type Drill, type DrillContext } from './drill';
import { pick } from './drills-delivery';
import { strictLimits } from './limits';

const common = { withPlain: true, takesOver: true, sizes: { ...usualSizes, seconds: 25 } } as const;

/** Replies and results that were on their way are lost with a server's connections, and asked for again. */
const RECONNECT_REPEATS = 10;
const PARTITION_MS = 6_000;

/** Redis, NATS, and the network between. */
export const serverDrills: readonly Drill[] = [
  {
    ...common,
    name: 'redis-restart',
    breaks: 'Kills Redis (SIGKILL) and starts it again; what it forgot is folded again from the log.',
    needs: {},
    onTarget: 'processes',
    limits: { ...strictLimits, takeoverMs: 15_000 },
    run: killTheOnly('redis'),
  },
  {
    ...common,
    name: 'redis-failover',
    breaks: 'Kills the Redis master; Sentinel promotes a replica that may lack the last writes.',
    needs: { redis: 'sentinel' },
    onTarget: 'processes',
    limits: { ...strictLimits, takeoverMs: 15_000 },
    async run({ target, fault, random }) {
      const masters = (await target.redisMasters?.()) ?? [];
      if (masters.length === 0)
        throw new Error('the target has no Redis master that could be told from its replicas');
      const master = pick(masters, random);
      fault(`kill ${master.name}, the master`, 'all');
      await master.kill();
    },
  },
  {
    ...common,
    name: 'redis-wipe',
    breaks: 'Empties Redis under load (FLUSHALL); everything comes back from the log.',
    needs: {},
    onTarget: 'no',
    limits: { ...strictLimits, takeoverMs: 10_000 },
    async run({ target, fault }) {
      if (!target.wipeRedis) throw new Error('Redis of this target is not emptied by a drill');
      fault('FLUSHALL', 'all');
      await target.wipeRedis();
    },
  },
  {
    ...common,
    name: 'nats-restart',
    breaks:
      'Kills the NATS server (SIGKILL) and starts it again; publishers wait, nothing acknowledged is lost.',
    needs: {},
    onTarget: 'processes',
    limits: { ...strictLimits, takeoverMs: 15_000, duplicated: RECONNECT_REPEATS },
    run: killTheOnly('nats'),
  },
  {
    ...common,
    name: 'nats-leader',
    breaks: 'Kills that of three NATS servers which leads the log; the others elect another.',
    needs: { natsServers: 3 },
    onTarget: 'processes',
    limits: { ...strictLimits, takeoverMs: 15_000, duplicated: RECONNECT_REPEATS },
    async run({ target, fault, logLeader }) {
      const leader = await logLeader();
      if (leader === undefined) throw new Error('the target has one NATS server, which nobody can replace');
      const victims = await target.victims('nats');
      // Whoever kills by hand is told the name.
      const victim = victims.find(({ nodeId }) => nodeId === leader || nodeId === undefined);
      if (!victim) throw new Error(`the leader of the log, ${leader}, is none of the target's`);
      fault(`kill ${leader}, the leader of the log`, 'all');
      await victim.kill();
    },
  },
  {
    ...common,
    name: 'partition',
    breaks:
      'Cuts one session-actor off from NATS and Redis and joins it again; it must push nothing that another owns.',
    needs: { proxied: true },
    onTarget: 'no',
    limits: { ...strictLimits, takeoverMs: 3_000 },
    async run({ target, owners, fault, note, pause }) {
      const { partition } = target;
      if (!partition) throw new Error('the network of this target cannot be cut');
      const shards = (await owners()).get(partition.nodeId) ?? new Set<number>();
      fault(`cut off ${partition.nodeId} for ${PARTITION_MS / 1_000} s`, shards);
      partition.cut();
      await pause(PARTITION_MS);
      partition.heal();
      note(`${partition.nodeId} joined again`);
    },
  },
];

function killTheOnly(kind: 'redis' | 'nats'): Drill['run'] {
  return async ({ target, fault, random }: DrillContext) => {
    const victim = pick(await target.victims(kind), random);
    fault(`kill ${victim.name}`, 'all');
    await victim.kill();
  };
}
