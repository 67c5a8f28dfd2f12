import { InvalidArgumentError, type Command } from 'commander';
import { printJson, printLine, printTable, printVerdict } from '../output';
import { runE2e, type BenchResult, type E2eSettings } from './e2e-bench';

const benches = [
  {
    name: 'e2e',
    measures: 'publish over NATS -> reliable trigger received over HTTP, through every service',
  },
];

export function registerBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('Measure this build on this machine, against stacks of its own.');
  bench
    .command('list')
    .description('The benches.')
    .option('--json', 'print one JSON object')
    .action((given: { json?: boolean }) => {
      if (given.json) printJson({ benches });
      else
        printTable(
          ['BENCH', 'MEASURES'],
          benches.map(({ name, measures }) => [name, measures]),
        );
    });
  withE2eOptions(bench.command('e2e'));
  withE2eOptions(bench.command('run').description('Run a bench by its name.').argument('<name>'), true);
}

function withE2eOptions(command: Command, isByName = false): void {
  command
    .option('--seconds <s>', 'length of each measurement', parseCount, 10)
    .option('--sessions <n>', 'chats with a reliable subscription', parseCount, 2_000)
    .option('--in-flight <n>', 'events on their way at once', parseCount, 512)
    .option('--repeats <n>', 'how often each measurement is repeated', parseCount, 3)
    .option('--json', 'print one JSON object as the last line');
  if (isByName) {
    command.action((name: string, given: E2eSettings & { json?: boolean }) => {
      if (name !== 'e2e') throw new Error(`there is no bench "${name}"; see "flexpush bench list"`);
      return run(given);
    });
    return;
  }
  command
    .description(benches[0]?.measures ?? '')
    .action((given: E2eSettings & { json?: boolean }) => run(given));
}

async function run(given: E2eSettings & { json?: boolean }): Promise<void> {
  const result = await runE2e(given);
  if (!given.json) printResult(result);
  printVerdict(result, given.json === true);
}

function printResult(result: BenchResult): void {
  printTable(
    ['BAR', 'VALUE', 'WANTED', ''],
    result.bars.map(({ name, value, bar, ok }) => [name, String(value), String(bar), ok ? 'ok' : 'MISSED']),
  );
  printLine();
  printLine(JSON.stringify(result.metrics, undefined, 2));
}

function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 1_000_000) return value;
  throw new InvalidArgumentError('It must be a whole number from 1 to 1000000.');
}
