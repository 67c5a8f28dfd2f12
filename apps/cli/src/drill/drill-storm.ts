import type { Drill, DrillContext } from './drill';
import { pick } from './drills-delivery';
import { strictLimits } from './limits';
import type { Victim, VictimKind } from './target';

const FREEZE_MS = 3_000;
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 3_000;
/** At the end the system gets this long without a new fault. */
const CALM_S = 6;
const SICK_MS = 1_500;

type Strike = (context: DrillContext) => Promise<void>;

/** Strikes one of a kind by chance; what is away already is left alone. */
const strikeOne =
  (kind: VictimKind, what: string, strike: (victim: Victim) => Promise<void>): Strike =>
  async ({ target, fault, random }) => {
    const victims = await target.victims(kind);
    if (victims.length === 0) return;
    const victim = pick(victims, random);
    fault(`${what} ${victim.name}`, 'none');
    await strike(victim);
  };
const killOne = (kind: VictimKind) => strikeOne(kind, 'kill', (victim) => victim.kill());
const restartOne = (kind: VictimKind) => strikeOne(kind, 'restart', (victim) => victim.restart());
const freezeOne = (kind: VictimKind) =>
  strikeOne(kind, `freeze for ${FREEZE_MS / 1_000} s:`, async (victim) => victim.freeze?.(FREEZE_MS));

const sickenReceiver: Strike = async ({ receivers, fault, random, pause }) => {
  const receiver = pick(receivers, random);
  fault(`receiver answers 500 for ${SICK_MS / 1_000} s`, 'none');
  receiver.behave({ kind: 'status', status: 500 });
  await pause(SICK_MS).finally(() => receiver.behave({ kind: 'ok' }));
};

const strikes: readonly Strike[] = [
  killOne('session-actor'),
  killOne('gms-node'),
  killOne('resend-timer'),
  killOne('gms-registry'),
  killOne('chat-api'),
  killOne('redis'),
  killOne('nats'),
  restartOne('session-actor'),
  restartOne('gms-node'),
  freezeOne('session-actor'),
  freezeOne('gms-node'),
  sickenReceiver,
];

/** Everything, in an order and at times that the seed fixes. */
export const stormDrill: Drill = {
  name: 'everything',
  breaks:
    'A random storm of kills, restarts, freezes and a sick receiver, fixed by --seed; nothing may be lost.',
  needs: {},
  withPlain: false,
  takesOver: false,
  onTarget: 'processes',
  sizes: { sessions: 200, ratePerS: 50, seconds: 45 },
  limits: { ...strictLimits, duplicated: 50, inversions: 10 },
  async run(context) {
    const endMs = performance.now() + (context.secondsLeft - CALM_S) * 1_000;
    while (performance.now() < endMs) {
      const strike = pick(strikes, () => context.random());
      await strike(context);
      await context.pause(PAUSE_MIN_MS + context.random() * (PAUSE_MAX_MS - PAUSE_MIN_MS));
    }
  },
};
