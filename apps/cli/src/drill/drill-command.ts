import { setMaxListeners } from 'node:events';
import { appendFileSync, writeFileSync } from 'node:fs';
import type { NatsServerCount, RedisTopology } from '@flexpush/stack';
import { InvalidArgumentError, type Command } from 'commander';
import { paint, printJson, printLine, printTable, printVerdict } from '../output';
import { withTopology } from '../topology-options';
import { INTERRUPTED_CODE, watchStopSignals } from '../up-signals';
import { catalogue, findDrill } from './catalogue';
import type { Drill, StackNeeds } from './drill';
import type { DrillLimits } from './limits';
import {
  canarySizes,
  receiverOf,
  runningTargetOf,
  withDrillTarget,
  type TargetOptions,
} from './drill-target';
import { OwnTarget } from './own-target';
import { Progress } from './progress';
import type { Target } from './target';
import { reportHtml } from './report-html';
import { firstEventMs } from './report-series';
import { describeExample } from './judge';
import { runDrill, type DrillResult, type DrillRunOutcome, type RunSettings } from './run-drill';

interface RunOptions extends TargetOptions {
  readonly redis?: RedisTopology;
  readonly natsServers?: NatsServerCount;
  readonly sessions?: number;
  readonly rate?: number;
  readonly seconds?: number;
  readonly seed?: number;
  readonly json?: boolean;
  readonly report?: string;
  readonly maxTakeoverMs?: number;
  readonly maxLost?: number;
  readonly maxDuplicated?: number;
  readonly maxInversions?: number;
  readonly maxAfterConfirm?: number;
  readonly maxLatenessMs?: number;
  readonly maxWorstLatenessMs?: number;
}

export function registerDrill(program: Command): void {
  const drill = program
    .command('drill')
    .description('Break something on purpose, under load, and judge from outside what became of the pushes.');
  drill
    .command('list')
    .description('The drills.')
    .option('--json', 'print one JSON object')
    .action((given: { json?: boolean }) => list(given.json === true));
  const run = drill
    .command('run')
    .description('Run one drill.')
    .argument('<name>', 'see "flexpush drill list"');
  withLimits(withTopology(withDrillTarget(withSizes(run), parsePort)))
    .option('--json', 'print one JSON object as the last line')
    .option('--report <file.html>', 'write a page with the timeline and the results')
    .addHelpText('after', '\nExample:\n  $ npx flexpush drill run kill-owner --report kill-owner.html\n')
    .action((name: string, given: RunOptions) => runOne(findDrill(name), given));
}

function withSizes(command: Command): Command {
  return command
    .option('--sessions <n>', 'chats of the load', parseCount)
    .option('--rate <r>', 'events per second', parseCount)
    .option('--seconds <s>', 'how long events are published', parseCount)
    .option('--seed <n>', 'what a random drill does (default: random)', parseWhole);
}

function withLimits(command: Command): Command {
  return command
    .option('--max-takeover-ms <ms>', 'limit: fault to first push of an affected session', parseWhole)
    .option('--max-lost <n>', 'limit: acknowledged events that nobody was told of', parseWhole)
    .option('--max-duplicated <n>', 'limit: events or pushes that came twice', parseWhole)
    .option('--max-inversions <n>', 'limit: events or pushes out of order', parseWhole)
    .option('--max-after-confirm <n>', 'limit: pushes sent after a confirming refresh', parseWhole)
    .option('--max-lateness-ms <ms>', 'limit: p99 from acknowledgement or due time to push', parseWhole)
    .option('--max-worst-lateness-ms <ms>', 'limit: the same, the worst', parseWhole);
}

function list(json: boolean): void {
  const drills = catalogue.map(({ name, breaks, sizes, limits, takesOver }) => ({
    name,
    breaks,
    takesOver,
    ...sizes,
    limits,
  }));
  if (json) printJson({ drills });
  else
    printTable(
      ['DRILL', 'WHAT IT DOES'],
      drills.map(({ name, breaks }) => [name, breaks]),
    );
}

async function runOne(drill: Drill, given: RunOptions): Promise<void> {
  // A path that cannot be written is told before the drill, not after its minutes.
  if (given.report !== undefined) appendFileSync(given.report, '');
  const stop = new AbortController();
  // Everything that waits listens to it: as many as there are customers.
  setMaxListeners(0, stop.signal);
  const signal = watchStopSignals(() => process.exit(INTERRUPTED_CODE));
  void signal.requested.then(() => stop.abort(new Error('stopped')));
  const progress = new Progress();
  try {
    const { result, history } = await runOn(drill, given, progress, stop.signal);
    progress.end();
    if (given.report !== undefined) {
      writeFileSync(given.report, reportHtml(drill, result, history));
      progress.phase(`report in ${given.report}`);
    }
    if (given.json !== true) printResult(result, firstEventMs(history));
    printVerdict(result, given.json === true);
  } catch (error) {
    progress.end();
    if (!stop.signal.aborted) throw error;
    progress.phase('stopped');
    process.exitCode = INTERRUPTED_CODE;
  } finally {
    signal.dispose();
  }
}

async function runOn(
  drill: Drill,
  given: RunOptions,
  progress: Progress,
  stopped: AbortSignal,
): Promise<DrillRunOutcome> {
  const needs = needsOf(drill, given);
  const running = runningTargetOf(drill, given, (text) => progress.note(text));
  const settings = settingsOf(drill, given, running);
  if (running === undefined) progress.phase('starting a stack of its own');
  const target = running ?? (await OwnTarget.start(needs, stopped, (text) => progress.note(text)));
  try {
    return await runDrill(settings, target, progress, stopped);
  } finally {
    if (running === undefined) progress.phase('stopping');
    await target.close();
  }
}

/** What the drill needs of its own stack, and what was asked for. Throws for what does not go together. */
function needsOf({ name, needs }: Drill, given: RunOptions): StackNeeds {
  const { redis, natsServers, target } = given;
  if (redis === undefined && natsServers === undefined) return needs;
  if (target !== undefined)
    throw new Error('--redis and --nats-servers are for a stack of its own; leave --target out');
  if (needs.proxied === true && ((redis ?? 'single') !== 'single' || natsServers === 3))
    throw new Error(`${name} cuts one Redis and one NATS server off; it needs a stack with one of each`);
  if (needs.redis !== undefined && redis === 'single')
    throw new Error(`${name} needs --redis sentinel or cluster`);
  if (needs.natsServers !== undefined && natsServers === 1) throw new Error(`${name} needs --nats-servers 3`);
  return { ...needs, ...(redis && { redis }), ...(natsServers && { natsServers }) };
}

function settingsOf(drill: Drill, given: RunOptions, running: Target | undefined): RunSettings {
  const sizes = { ...drill.sizes, ...(running === undefined ? {} : canarySizes) };
  return {
    drill,
    sizes: {
      sessions: given.sessions ?? sizes.sessions,
      ratePerS: given.rate ?? sizes.ratePerS,
      seconds: given.seconds ?? sizes.seconds,
    },
    limits: limitsOf(drill.limits, given),
    seed: given.seed ?? Math.floor(Math.random() * 1_000_000_000),
    ...receiverOf(given),
  };
}

function limitsOf(limits: DrillLimits, given: RunOptions): DrillLimits {
  return {
    ...limits,
    lost: given.maxLost ?? limits.lost,
    duplicated: given.maxDuplicated ?? limits.duplicated,
    inversions: given.maxInversions ?? limits.inversions,
    afterConfirm: given.maxAfterConfirm ?? limits.afterConfirm,
    takeoverMs: given.maxTakeoverMs ?? limits.takeoverMs,
    latenessP99Ms: given.maxLatenessMs ?? limits.latenessP99Ms,
    latenessMaxMs: given.maxWorstLatenessMs ?? limits.latenessMaxMs,
  };
}

function printResult(result: DrillResult, startMs: number): void {
  printLine(paint('bold', result.drill));
  printTable(
    ['', 'VALUE', 'LIMIT', ''],
    [
      ...(['published', 'delivered', 'confirmed', 'ownDelayMaxMs', 'receiverDelayMaxMs'] as const).map(
        (name) => [name, String(result[name]), '', ''],
      ),
      ...result.limits.map(({ name, value, limit, ok }) => [
        name,
        String(value ?? '-'),
        String(limit ?? '-'),
        ok ? 'ok' : 'BROKEN',
      ]),
    ],
  );
  for (const example of result.examples) printLine(describeExample(example, startMs));
}

function parseCount(text: string): number {
  const value = parseWhole(text);
  if (value >= 1 && value <= 100_000) return value;
  throw new InvalidArgumentError('It must be a whole number from 1 to 100000.');
}

function parseWhole(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 1_000_000_000) return value;
  throw new InvalidArgumentError('It must be a whole number from 0 to 1000000000.');
}

function parsePort(text: string): number {
  const port = parseWhole(text);
  if (port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('It must be a port from 1 to 65535.');
}
