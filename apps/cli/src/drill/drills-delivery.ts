import { usualSizes, type Drill } from './drill';
import { strictLimits } from './limits';

const common = {
  withPlain: true,
  takesOver: false,
  sizes: usualSizes,
  onTarget: 'processes',
  needs: {},
} as const;

/** What the killed node had in flight may arrive a second time from another (I7). */
const IN_FLIGHT_REPEATS = 10;

const DOWN_MS = 3_000;
const REFUSING_MS = 2_000;
const SLOW_ANSWER_MS = 30_000;
const SLOW_FOR_MS = 6_000;

/** GMS nodes, resend-timers, registries, and the customer's server. */
export const deliveryDrills: readonly Drill[] = [
  {
    ...common,
    name: 'kill-gms-node',
    breaks: 'Kills a GMS node (SIGKILL); its jobs go to another node, plain notifications too.',
    limits: { ...strictLimits, duplicated: IN_FLIGHT_REPEATS, latenessMaxMs: 5_000 },
    async run({ target, fault, random }) {
      const victim = pick(await target.victims('gms-node'), random);
      fault(`kill ${victim.name}`, 'none');
      await victim.kill();
    },
  },
  {
    ...common,
    name: 'drain-gms-node',
    breaks: 'Stops a GMS node by SIGTERM; it finishes what is in flight and hands back the rest.',
    limits: { ...strictLimits, latenessMaxMs: 2_000 },
    async run({ target, fault, note, random }) {
      const victim = pick(await target.victims('gms-node'), random);
      fault(`drain ${victim.name}`, 'none');
      await victim.drain();
      note(`${victim.name} is gone`);
    },
  },
  {
    ...common,
    name: 'kill-timer',
    breaks: 'Kills a resend-timer, and a while later all of them; resends are late by the outage only.',
    limits: { ...strictLimits, latenessMaxMs: 12_000 },
    async run({ target, fault, random, pause, secondsLeft }) {
      const victim = pick(await target.victims('resend-timer'), random);
      fault(`kill ${victim.name}`, 'none');
      await victim.kill();
      await pause((secondsLeft * 1_000) / 2);
      fault('kill all resend-timers', 'none');
      await Promise.all((await target.victims('resend-timer')).map((one) => one.kill()));
    },
  },
  {
    ...common,
    name: 'kill-registry',
    breaks: 'Kills every GMS registry; pushes go on with the last view of the nodes.',
    limits: { ...strictLimits, latenessMaxMs: 1_000 },
    async run({ target, fault }) {
      fault('kill all registries', 'none');
      await Promise.all((await target.victims('gms-registry')).map((one) => one.kill()));
    },
  },
  {
    ...common,
    name: 'receiver-down',
    breaks:
      "One customer's server refuses connections, then answers 500, then resets; others are not delayed and the reliable schedule goes on.",
    withPlain: false,
    onTarget: 'receiver',
    needs: { receivers: 2 },
    limits: { ...strictLimits, latenessMaxMs: 1_000 },
    async run({ receivers, fault, note, pause }) {
      const [receiver] = receivers;
      if (!receiver) throw new Error('there is no receiver');
      fault('receiver refuses connections', 'none');
      await receiver.close();
      await pause(DOWN_MS);
      await receiver.open();
      receiver.behave({ kind: 'status', status: 500 });
      note('receiver answers 500');
      await pause(REFUSING_MS);
      receiver.behave({ kind: 'reset' });
      note('receiver resets connections');
      await pause(REFUSING_MS);
      receiver.behave({ kind: 'ok' });
      note('receiver is well');
    },
  },
  {
    ...common,
    name: 'receiver-slow',
    breaks: "One customer's server takes 30 s for each answer; others are not delayed.",
    withPlain: false,
    onTarget: 'receiver',
    needs: { receivers: 2 },
    limits: { ...strictLimits, latenessMaxMs: 1_000 },
    async run({ receivers, fault, note, pause }) {
      const [receiver] = receivers;
      if (!receiver) throw new Error('there is no receiver');
      fault('receiver answers after 30 s', 'none');
      receiver.behave({ kind: 'slow', delayMs: SLOW_ANSWER_MS });
      await pause(SLOW_FOR_MS);
      receiver.behave({ kind: 'ok' });
      note('receiver is well');
    },
  },
];

/** One of them by chance. */
export function pick<T>(from: readonly T[], random: () => number): T {
  const chosen = from[Math.floor(random() * from.length)];
  if (chosen === undefined) throw new Error('the target runs none of what this drill breaks');
  return chosen;
}
