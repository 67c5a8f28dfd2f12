import {
  faultKinds,
  narrate,
  planOf,
  shrink,
  simulate,
  switches,
  type FaultKind,
  type Run,
  type Switch,
} from '@flexpush/simulator';
import { InvalidArgumentError, type Command } from 'commander';
import { paint, printLine, printProgress, printVerdict } from '../output';

interface SimulateOptions {
  readonly seeds?: number;
  readonly seed?: number;
  readonly faults?: FaultKind[];
  readonly off?: Switch[];
  readonly shrink: boolean;
  readonly json?: boolean;
}

const SEEDS = 100;
const SEEDS_MAX = 1_000_000;
const PLAIN_LINE_EVERY = 50;

export function registerSimulate(program: Command): void {
  program
    .command('simulate')
    .description(
      'Run whole clusters in virtual time through faults drawn by a seed, and prove from outside that every promise holds.',
    )
    .option('--seeds <n>', `how many seeds (default: ${SEEDS}, or the one that --seed names)`, count)
    .option('--seed <s>', 'the first seed; alone, it is repeated exactly and told whole', seedNumber)
    .option(
      '--faults <kinds>',
      `which faults, by commas: ${faultKinds.join(', ')}; or none`,
      listOf(faultKinds),
    )
    .option(
      '--off <what>',
      `switch a safeguard off, to see that the checker finds it: ${switches.join(', ')}`,
      listOf(switches),
    )
    .option('--no-shrink', 'tell a failing run as it is, without looking for a shorter one')
    .option('--json', 'print one JSON object as the last line')
    .addHelpText(
      'after',
      '\nExamples:\n  $ npx flexpush simulate --seeds 1000\n  $ npx flexpush simulate --seed 17\n  $ npx flexpush simulate --off barrier --seeds 200\n',
    )
    .action((given: SimulateOptions) => run(given));
}

async function run(given: SimulateOptions): Promise<void> {
  const { seed: firstSeed = 1, off = [], json = false } = given;
  const seeds = given.seeds ?? (given.seed === undefined ? SEEDS : 1);
  const switchedOff = new Set(off);
  const startedAtMs = performance.now();
  const found = await firstFailure({ firstSeed, seeds, faults: given.faults, off: switchedOff });
  const { failing, passed } = found;
  const verdict = failing ? 'fail' : 'pass';
  const figures = {
    seeds: passed + (failing ? 1 : 0),
    passed,
    tookMs: Math.round(performance.now() - startedAtMs),
  };
  if (!failing) {
    if (!json)
      printLine(`${passed} ${passed === 1 ? 'seed' : 'seeds'} without a violation in ${figures.tookMs} ms`);
    if (!json && found.last && seeds === 1) for (const line of narrate(found.last)) printLine(line);
    printVerdict({ verdict, ...figures }, json);
    return;
  }
  if (given.shrink) printProgress('looking for the shortest history that fails');
  const shortest = given.shrink ? await shrink(failing, switchedOff) : failing;
  const { seed } = failing.plan;
  if (!json) printFailure(failing, shortest, repeatBy(seed, given));
  const result = {
    verdict,
    ...figures,
    failedSeed: seed,
    repeat: repeatBy(seed, given),
    violations: failing.violations,
    shortest: { plan: shortest.plan, violations: shortest.violations, history: narrate(shortest) },
  } as const;
  printVerdict(result, json);
}

async function firstFailure(search: {
  firstSeed: number;
  seeds: number;
  faults: FaultKind[] | undefined;
  off: ReadonlySet<Switch>;
}): Promise<{ failing?: Run; last?: Run; passed: number }> {
  const { firstSeed, seeds, faults, off } = search;
  const isLive = process.stderr.isTTY === true;
  let last: Run | undefined;
  for (let i = 0; i < seeds; i++) {
    const seed = firstSeed + i;
    last = await simulate(planOf(seed, faults), off);
    if (isLive) process.stderr.write(`\r\u001b[2K  seed ${seed}, ${i + 1} of ${seeds}`);
    else if ((i + 1) % PLAIN_LINE_EVERY === 0) printProgress(`  seed ${seed}, ${i + 1} of ${seeds}`);
    if (last.violations.length === 0) continue;
    if (isLive) process.stderr.write('\n');
    return { failing: last, passed: i };
  }
  if (isLive) process.stderr.write('\r\u001b[2K');
  return { ...(last ? { last } : {}), passed: seeds };
}

function printFailure(failing: Run, shortest: Run, repeat: string): void {
  printLine(paint('red', `seed ${failing.plan.seed} breaks a promise:`));
  for (const { rule, chatId, what } of failing.violations) printLine(`  ${rule}  ${chatId}  ${what}`);
  printLine();
  printLine('the shortest history found that fails:');
  for (const line of narrate(shortest)) printLine(line);
  printLine();
  printLine(`the whole of it again: ${repeat}`);
}

function repeatBy(seed: number, { faults, off }: Pick<SimulateOptions, 'faults' | 'off'>): string {
  const more = [
    ...(faults ? [`--faults ${faults.length === 0 ? 'none' : faults.join(',')}`] : []),
    ...(off ? [`--off ${off.join(',')}`] : []),
  ];
  return ['npx flexpush simulate', `--seed ${seed}`, ...more].join(' ');
}

function count(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= SEEDS_MAX) return value;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${SEEDS_MAX}.`);
}

function seedNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 4_294_967_295) return value;
  throw new InvalidArgumentError('It must be a whole number from 0 to 4294967295.');
}

function listOf<T extends string>(known: readonly T[]): (text: string) => T[] {
  return (text) => {
    if (text === 'none') return [];
    const names = text.split(',').map((name) => name.trim());
    const unknown = names.find((name) => !(known as readonly string[]).includes(name));
    if (unknown !== undefined)
      throw new InvalidArgumentError(`There is no "${unknown}"; there are ${known.join(', ')}.`);
    return names as T[];
  };
}
