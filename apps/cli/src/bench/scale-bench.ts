import type { StackOptions } from '@flexpush/stack';
import { printProgress } from '../output';
import { withOwnStack } from '../own-stack';
import { atMost, toBenchResult, type BenchResult } from './bench-result';
import { FlexpushSystem } from './flexpush-system';
import { ReliableLoad, type LoadPhase } from './reliable-load';
import { alternate, ratio, type RoundsSettings } from './rounds';
import { percentile, round } from './statistics';

export interface ScaleSettings extends RoundsSettings {
  /** Of each stack, before its first round. */
  readonly warmUpSeconds: number;
  /** Open chats of each step; the first one is what the others are compared with. */
  readonly sessions: readonly number[];
  /** session-actors and gms-nodes of each step. */
  readonly nodes: readonly number[];
  /** Customers' servers that the notifications of each step go to. */
  readonly destinations: readonly number[];
  readonly inFlight: number;
}

interface Size {
  readonly sessions: number;
  readonly nodes: number;
  readonly destinations: number;
}

interface Step {
  readonly what: string;
  readonly perS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
  /** Of everything but load and receiver. */
  readonly cpuUsPerEvent: number;
  /** Against the smallest size in the same rounds. */
  readonly costRatio: number;
  readonly slowdown: number;
}

/** What an event may cost more with the most chats than with the fewest. */
const GROWTH_BAR = 1.15;
/** With more processes than cores the rate may fall, but not collapse. */
const COLLAPSE_BAR = 0.5;

/**
 * The same load on more and more open chats, nodes and destinations. Each size has a stack of its own, whose rounds
 * alternate with those of the smallest one.
 */
export async function runScale(settings: ScaleSettings): Promise<BenchResult> {
  const { sessions, nodes, destinations } = settings;
  const smallest = {
    sessions: sessions[0] ?? 1_000,
    nodes: nodes[0] ?? 1,
    destinations: destinations[0] ?? 1,
  };
  return withLoad('the smallest', smallest, settings, async (reference) => {
    const compare = async (
      counts: readonly number[],
      sizeOf: (count: number) => { what: string; size: Size },
    ): Promise<Step[]> => {
      const steps: Step[] = [];
      for (const count of counts.slice(1)) {
        const { what, size } = sizeOf(count);
        steps.push(await step(what, size, reference, settings));
      }
      return steps;
    };
    const bySessions = await compare(sessions, (count) => ({
      what: `${count} chats`,
      size: { ...smallest, sessions: count },
    }));
    const byNodes = await compare(nodes, (count) => ({
      what: `${count} nodes`,
      size: { ...smallest, nodes: count },
    }));
    const byDestinations = await compare(destinations, (count) => ({
      what: `${count} destinations`,
      size: { ...smallest, destinations: count },
    }));
    return toResult({ bySessions, byNodes, byDestinations }, settings);
  });
}

async function withLoad<T>(
  what: string,
  { sessions, nodes, destinations }: Size,
  { warmUpSeconds, inFlight }: ScaleSettings,
  task: (load: ReliableLoad) => Promise<T>,
): Promise<T> {
  printProgress(`${what}: opening ${sessions} chats`);
  const stack: Omit<StackOptions, 'dir'> = {
    logLevel: 'warn',
    counts: { 'session-actor': nodes, 'gms-node': nodes },
  };
  const options = [
    ['settings', 'flex-push-on-join', 'true'],
    ['settings', 'flex-push-timeout', '1728000'],
    ['push', 'pushEnabled', 'customhttp'],
  ] as const;
  return withOwnStack({ stack, options }, async (started) => {
    const load = await ReliableLoad.open(await FlexpushSystem.connect(started), sessions, destinations);
    try {
      printProgress(`${what}: warming up`);
      await load.closedLoop({ seconds: warmUpSeconds, inFlight });
      return await task(load);
    } finally {
      await load.close();
    }
  });
}

function step(what: string, size: Size, reference: ReliableLoad, settings: ScaleSettings): Promise<Step> {
  return withLoad(what, size, settings, async (load) => {
    printProgress(`${what}, in turn with the smallest`);
    const rounds = await alternate<LoadPhase, 'smallest' | 'this'>(
      { smallest: () => lap(reference, settings), this: () => lap(load, settings) },
      settings,
    );
    return summary(what, rounds.this, rounds.smallest);
  });
}

/** A round is not to pay for what the one before it has left to do. */
async function lap(load: ReliableLoad, { seconds, inFlight }: ScaleSettings): Promise<LoadPhase> {
  const phase = await load.closedLoop({ seconds, inFlight });
  await load.untilIdle();
  return phase;
}

function summary(what: string, phases: readonly LoadPhase[], references: readonly LoadPhase[]): Step {
  const median = (of: (phase: LoadPhase) => number) => round(percentile(phases.map(of), 50));
  const compared = (of: (phase: LoadPhase) => number) => ratio(phases.map(of), references.map(of));
  return {
    what,
    perS: median(({ perS }) => perS),
    p50Ms: median(({ p50Ms }) => p50Ms),
    p99Ms: median(({ p99Ms }) => p99Ms),
    lost: phases.reduce((sum, { lost }) => sum + lost, 0),
    cpuUsPerEvent: median(costUs),
    costRatio: compared(costUs),
    slowdown: compared(({ perS }) => 1 / perS),
  };
}

function costUs({ cpuUsPerTrigger: { load: _load, ...services } }: LoadPhase): number {
  return Object.values(services).reduce((sum, us) => sum + us, 0);
}

function toResult(
  steps: { bySessions: Step[]; byNodes: Step[]; byDestinations: Step[] },
  settings: ScaleSettings,
): BenchResult {
  const growth = steps.bySessions.at(-1)?.costRatio ?? 1;
  const slowdown = steps.byNodes.at(-1)?.slowdown ?? 1;
  const lost = Object.values(steps)
    .flat()
    .reduce((sum, one) => sum + one.lost, 0);
  const bars = [
    atMost('cost per event, most chats to fewest', growth, GROWTH_BAR),
    atMost('slowdown, most nodes to fewest', slowdown, 1 / COLLAPSE_BAR),
    atMost('lost', lost, 0),
  ];
  const ratios = {
    'cost per event, most chats to fewest': growth,
    'slowdown, most nodes to fewest': slowdown,
  };
  return toBenchResult('scale', bars, { settings, ...steps }, ratios);
}
