import type { Stack } from '@flexpush/stack';
import { printProgress } from '../output';
import { withOwnStack } from '../own-stack';
import { makeTemporaryFolder, removeTemporaryFolder } from '../temporary-folder';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { BullmqSystem } from './bullmq-system';
import type { NamedProcess } from './cpu';
import { monotonicUs, profileOf, readCpuProfile, type Stretch } from './cpu-profile';
import { FlexpushSystem } from './flexpush-system';
import { ReliableLoad, type LoadPhase, type ReliableSystem } from './reliable-load';
import { RestateSystem } from './restate-system';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { round, spread } from './statistics';

export interface E2eSettings extends RoundsSettings {
  /** Of each system, before the first round. */
  readonly warmUpSeconds: number;
  readonly sessions: number;
  readonly inFlight: number;
  readonly peers: boolean;
  readonly profile?: boolean;
}

type Name = 'flexpush' | 'bullmq' | 'restate';

const P99_MAX_MS = 250;
const LOW_RATE_PER_S = 200;
const LOW_P50_BAR_MS = 6;
const LOW_P99_BAR_MS = 25;
const BULLMQ_BAR = 1;
const RESTATE_BAR = 5;
/** Parts of the rate of a closed loop that are tried, the highest first, until one holds. */
const TRIED = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/**
 * An event is published and stored, its reliable notification POSTed, and confirmed by the customer's program, through all
 * services on this machine. Load and receiver are this process. The peers do the same job on the same load in turn.
 */
export async function runE2e(settings: E2eSettings): Promise<BenchResult> {
  const profiles = settings.profile === true ? makeTemporaryFolder('flexpush-profile-') : undefined;
  const nodeArgs = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`];
  const services: NamedProcess[] = [];
  try {
    const result = await withOwnStack(
      {
        stack: { logLevel: 'warn', nodeArgs },
        options: [
          ['settings', 'flex-push-on-join', 'true'],
          ['push', 'pushEnabled', 'customhttp'],
        ],
      },
      (stack) => {
        services.push(...stack.run().services);
        return withLoads(stack, settings);
      },
    );
    // Profiles are written as the processes end.
    const { stretch, triggers, ...metrics } = result.metrics as { stretch: Stretch; triggers: number };
    const profile =
      profiles === undefined ? {} : { profile: readProfiles(profiles, services, { stretch, triggers }) };
    return { ...result, metrics: { ...metrics, ...profile } };
  } finally {
    if (profiles !== undefined) removeTemporaryFolder(profiles);
  }
}

/** Microseconds per trigger of each service, by what they went into. */
function readProfiles(
  dir: string,
  services: readonly NamedProcess[],
  { stretch, triggers }: { stretch: Stretch; triggers: number },
): Record<string, Record<string, number>> {
  return Object.fromEntries(
    services.flatMap(({ name, pid }) => {
      const file = profileOf(dir, pid);
      if (file === undefined) return [];
      const spent = Object.entries(readCpuProfile(file, stretch))
        .map(([place, us]): [string, number] => [place, round(us / triggers, 1)])
        .sort(([, a], [, b]) => b - a);
      return [[name, Object.fromEntries(spent)]];
    }),
  );
}

async function withLoads(stack: Stack, settings: E2eSettings): Promise<BenchResult> {
  const loads: Partial<Record<Name, ReliableLoad>> = {};
  const add = async (system: ReliableSystem & { name: Name }): Promise<void> => {
    printProgress(`${system.name}: opening ${settings.sessions} chats`);
    loads[system.name] = await ReliableLoad.open(system, settings.sessions);
  };
  try {
    await add(await FlexpushSystem.connect(stack));
    if (settings.peers) {
      await add(await BullmqSystem.start());
      await add(await RestateSystem.start());
    }
    return await measure(loads as Record<Name, ReliableLoad>, settings);
  } finally {
    for (const load of Object.values(loads)) await load.close();
  }
}

interface Figures {
  readonly closed: Record<Name, LoadPhase[]>;
  /** The highest rate at which p99 stays below its bound; undefined when none of those tried does. */
  readonly held: LoadPhase | undefined;
  readonly half: LoadPhase;
  readonly low: LoadPhase;
}

async function measure(loads: Record<Name, ReliableLoad>, settings: E2eSettings): Promise<BenchResult> {
  const { seconds, warmUpSeconds, inFlight } = settings;
  for (const [name, load] of Object.entries(loads)) {
    printProgress(`${name}: warming up`);
    await closedLoop(load, { seconds: warmUpSeconds, inFlight });
  }
  const { flexpush } = loads;
  const fromUs = monotonicUs();
  const profiled = settings.profile === true ? await flexpush.closedLoop({ seconds, inFlight }) : undefined;
  const stretch = { fromUs, toUs: monotonicUs() };
  const variants = Object.fromEntries(
    Object.entries(loads).map(([name, load]) => [name, () => closedLoop(load, { seconds, inFlight })]),
  ) as Record<Name, () => Promise<LoadPhase>>;
  const closed = await alternate(variants, settings);
  const closedPerS = spread(closed.flexpush.map(({ perS }) => perS)).median;
  const held = await highestRate(flexpush, closedPerS, seconds);
  const halfPerS = Math.max(1, Math.round((held?.perS ?? closedPerS) / 2));
  printProgress(`flexpush: latency at ${halfPerS}/s and at ${LOW_RATE_PER_S}/s`);
  const half = await flexpush.openLoop({ seconds, perSecond: halfPerS });
  const low = await flexpush.openLoop({ seconds, perSecond: LOW_RATE_PER_S });
  const result = toResult({ closed, held, half, low }, settings);
  return { ...result, metrics: { ...result.metrics, stretch, triggers: profiled?.triggers ?? 0 } };
}

/** Leaves nothing behind for the next one. */
async function closedLoop(
  load: ReliableLoad,
  settings: { seconds: number; inFlight: number },
): Promise<LoadPhase> {
  const phase = await load.closedLoop(settings);
  await load.untilIdle();
  return phase;
}

async function highestRate(
  load: ReliableLoad,
  closedPerS: number,
  seconds: number,
): Promise<LoadPhase | undefined> {
  for (const part of TRIED) {
    const perSecond = Math.max(1, Math.round(closedPerS * part));
    printProgress(`flexpush: does it hold ${perSecond}/s`);
    const phase = await load.openLoop({ seconds, perSecond });
    if (phase.lost === 0 && phase.p99Ms < P99_MAX_MS) return phase;
  }
  return undefined;
}

function toResult({ closed, held, half, low }: Figures, settings: E2eSettings): BenchResult {
  const rates = (name: Name) => closed[name].map(({ perS }) => perS);
  const ratios: Record<string, number> = {};
  const ratioBars = [];
  if (settings.peers) {
    ratios['of bullmq'] = ratio(rates('flexpush'), rates('bullmq'));
    ratios['of restate'] = ratio(rates('flexpush'), rates('restate'));
    ratioBars.push(atLeast('of bullmq', ratios['of bullmq'], BULLMQ_BAR));
    ratioBars.push(atLeast('of restate', ratios['of restate'], RESTATE_BAR));
  }
  const lost = [...closed.flexpush, half, low].reduce((sum, phase) => sum + phase.lost, 0);
  const bars = [
    ...ratioBars,
    atMost(`p50 ms at ${LOW_RATE_PER_S}/s`, low.p50Ms, LOW_P50_BAR_MS),
    atMost(`p99 ms at ${LOW_RATE_PER_S}/s`, low.p99Ms, LOW_P99_BAR_MS),
    atMost('lost', lost, 0),
  ];
  const shown = (name: Name) => ({
    perS: spread(rates(name)),
    p50Ms: spread(closed[name].map(({ p50Ms }) => p50Ms)),
    p99Ms: spread(closed[name].map(({ p99Ms }) => p99Ms)),
    lost: closed[name].reduce((sum, phase) => sum + phase.lost, 0),
    cpuUsPerTrigger: closed[name].at(-1)?.cpuUsPerTrigger,
  });
  const closedLoops = Object.fromEntries((Object.keys(closed) as Name[]).map((name) => [name, shown(name)]));
  return toBenchResult(
    'e2e',
    bars,
    { settings, closedLoop: closedLoops, highestHeld: held ?? null, atHalf: half, atLow: low },
    ratios,
  );
}
