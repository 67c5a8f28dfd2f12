import type { StackOptions } from '@flexpush/stack';
import { printProgress } from '../output';
import { withOwnStack } from '../own-stack';
import { atMost, toBenchResult, type BenchResult } from './bench-result';
import { FlexpushSystem } from './flexpush-system';
import { ReliableLoad, type LoadPhase } from './reliable-load';
import { percentile, round } from './statistics';

export interface ScaleSettings {
  readonly seconds: number;
  readonly repeats: number;
  /** Open chats of each step. */
  readonly sessions: readonly number[];
  /** session-actors and gms-nodes of each step. */
  readonly nodes: readonly number[];
  readonly inFlight: number;
}

interface Step {
  readonly what: string;
  readonly perS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
  /** Of everything but load and receiver. */
  readonly cpuUsPerEvent: number;
}

/** What an event may cost more with the most chats than with the fewest. */
const GROWTH_BAR = 1.15;
/** With more processes than cores the rate may fall, but not collapse. */
const COLLAPSE_BAR = 0.5;
const WARM_UP_S = 3;

/** The same load on more and more open chats, and on more and more nodes. Each step has a stack of its own. */
export async function runScale(settings: ScaleSettings): Promise<BenchResult> {
  const bySessions: Step[] = [];
  for (const sessions of settings.sessions)
    bySessions.push(await step(`${sessions} chats`, settings, { sessions, nodes: 1 }));
  const byNodes: Step[] = [];
  for (const nodes of settings.nodes)
    byNodes.push(await step(`${nodes} nodes`, settings, { sessions: settings.sessions[0] ?? 1_000, nodes }));
  return toResult({ bySessions, byNodes }, settings);
}

async function step(
  what: string,
  settings: ScaleSettings,
  { sessions, nodes }: { sessions: number; nodes: number },
): Promise<Step> {
  printProgress(`${what}: starting`);
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
    const load = await ReliableLoad.open(await FlexpushSystem.connect(started), sessions);
    try {
      const { seconds, inFlight } = settings;
      await load.closedLoop({ seconds: WARM_UP_S, inFlight });
      const phases: LoadPhase[] = [];
      for (let n = 1; n <= settings.repeats; n++) {
        printProgress(`${what}: round ${n} of ${settings.repeats}`);
        phases.push(await load.closedLoop({ seconds, inFlight }));
      }
      return summary(what, phases);
    } finally {
      await load.close();
    }
  });
}

function summary(what: string, phases: readonly LoadPhase[]): Step {
  const median = (of: (phase: LoadPhase) => number) => round(percentile(phases.map(of), 50));
  return {
    what,
    perS: median(({ perS }) => perS),
    p50Ms: median(({ p50Ms }) => p50Ms),
    p99Ms: median(({ p99Ms }) => p99Ms),
    lost: phases.reduce((sum, { lost }) => sum + lost, 0),
    cpuUsPerEvent: median(({ cpuUsPerTrigger: { load: _load, ...services } }) =>
      Object.values(services).reduce((sum, us) => sum + us, 0),
    ),
  };
}

function toResult(
  { bySessions, byNodes }: { bySessions: Step[]; byNodes: Step[] },
  settings: ScaleSettings,
): BenchResult {
  const ratioOf = (steps: readonly Step[], of: (one: Step) => number): number =>
    round(of(steps.at(-1) as Step) / of(steps[0] as Step));
  const ratios = {
    'cost per event, most chats to fewest': ratioOf(bySessions, ({ cpuUsPerEvent }) => cpuUsPerEvent),
    'slowdown, most nodes to fewest': ratioOf([...byNodes].reverse(), ({ perS }) => perS),
  };
  const lost = [...bySessions, ...byNodes].reduce((sum, one) => sum + one.lost, 0);
  return toBenchResult(
    'scale',
    [
      atMost(
        'cost per event, most chats to fewest',
        ratios['cost per event, most chats to fewest'],
        GROWTH_BAR,
      ),
      atMost('slowdown, most nodes to fewest', ratios['slowdown, most nodes to fewest'], 1 / COLLAPSE_BAR),
      atMost('lost', lost, 0),
    ],
    { settings, bySessions, byNodes },
    ratios,
  );
}
