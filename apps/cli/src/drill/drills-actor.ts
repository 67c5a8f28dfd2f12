import type { Drill, DrillContext } from './drill';
import { usualSizes } from './drill';
import { strictLimits } from './limits';
import type { Victim } from './target';

const FREEZE_MS = 4_000;

/** The session-actor that owns the most shards, and those. */
export async function busiestOwner({ target, owners }: DrillContext): Promise<{
  victim: Victim;
  shards: ReadonlySet<number>;
}> {
  const owned = await owners();
  const victims = await target.victims('session-actor');
  const withShards = victims.map((victim) => ({
    victim,
    shards: owned.get(victim.nodeId ?? '') ?? new Set<number>(),
  }));
  const busiest = withShards.sort((a, b) => b.shards.size - a.shards.size)[0];
  if (!busiest) throw new Error('no session-actor was found');
  return busiest;
}

const common = {
  withPlain: true,
  sizes: usualSizes,
  onTarget: 'processes',
  needs: {},
} as const;

export const actorDrills: readonly Drill[] = [
  {
    ...common,
    name: 'kill-owner',
    breaks: 'Kills the session-actor that owns the most shards (SIGKILL); its peers take them over.',
    takesOver: true,
    limits: { ...strictLimits, takeoverMs: 1_000 },
    async run(context) {
      const { victim, shards } = await busiestOwner(context);
      context.fault(`kill ${victim.name}`, shards);
      await victim.kill();
    },
  },
  {
    ...common,
    name: 'pause-owner',
    breaks:
      'Freezes the session-actor that owns the most shards (SIGSTOP) and wakes it as a zombie; it must push nothing that another owns.',
    takesOver: true,
    limits: { ...strictLimits, takeoverMs: 3_000 },
    async run(context) {
      const { victim, shards } = await busiestOwner(context);
      if (!victim.freeze) throw new Error('a process of this target cannot be frozen');
      context.fault(`freeze ${victim.name} for ${FREEZE_MS / 1000} s`, shards);
      await victim.freeze(FREEZE_MS);
      context.note(`${victim.name} woken`);
    },
  },
  {
    ...common,
    name: 'rolling-restart',
    breaks: 'Restarts every session-actor, one after the other, by SIGTERM; no push may be late.',
    takesOver: false,
    limits: { ...strictLimits, latenessMaxMs: 250 },
    async run(context) {
      for (const victim of await context.target.victims('session-actor')) {
        context.fault(`restart ${victim.name}`, 'none');
        await victim.restart();
        await context.pause(1_000);
      }
    },
  },
];
