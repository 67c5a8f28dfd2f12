import { Option, type Command } from 'commander';
import { printJson, printLine, printProgress, printTable, printVerdict } from '../output';
import { parseCount, parseCounts, withRounds } from './bench-options';
import type { BenchResult } from './bench-result';
import { registerCheck } from './check-command';
import { CONNECTIONS } from './counted-posts';
import { runDeliver, type DeliverSettings } from './deliver-bench';
import { runE2e, type E2eSettings } from './e2e-bench';
import { runIdle, type IdleSettings } from './idle-bench';
import { runPublish, type PublishSettings } from './publish-bench';
import { runReplay, type ReplaySettings } from './replay-bench';
import { runRest, type RestSettings } from './rest-bench';
import { runResend, type ResendSettings } from './resend-bench';
import { noteStart, resultsDir, saveResult } from './saved-result';
import { runScale, type ScaleSettings } from './scale-bench';
import { runSlowReceiver, type SlowReceiverSettings } from './slow-receiver-bench';
import { losses, runTakeover, type TakeoverSettings } from './takeover-bench';
import { runTimers, type TimersSettings } from './timers-bench';

interface Bench<Settings> {
  readonly name: string;
  readonly measures: string;
  /** The options of the form that takes seconds; its ratios are rough. */
  readonly short: string;
  readonly withOptions: (command: Command) => Command;
  readonly run: (settings: Settings) => Promise<BenchResult>;
}

const e2e: Bench<E2eSettings> = {
  name: 'e2e',
  measures: 'published -> reliable notification received and confirmed, against BullMQ and Restate',
  short: '--seconds 2 --repeats 3 --sessions 1500 --warm-up-seconds 5',
  withOptions: (command) =>
    withRounds(command, { seconds: 30, repeats: 3 })
      .option('--warm-up-seconds <s>', 'load before the first measurement, per system', parseCount, 20)
      .option('--sessions <n>', 'chats with a reliable subscription', parseCount, 10_000)
      .option('--in-flight <n>', 'events on their way at once in the closed loops', parseCount, 512)
      .option('--no-peers', 'this product alone')
      .option('--profile', 'tell where the time of each service went; it costs some of it'),
  run: runE2e,
};

const deliver: Bench<DeliverSettings> = {
  name: 'deliver',
  measures: 'POSTs per second of one gms-node, against one at a time and against undici alone',
  short: '--seconds 1 --repeats 3 --devices 1000',
  withOptions: (command) =>
    withRounds(command)
      .option('--devices <n>', 'devices, each with one notification on its way', parseCount, 2_000)
      .option('--receiver-ms <ms>', 'how long the receiver takes', parseCount, 5),
  run: runDeliver,
};

const publish: Bench<PublishSettings> = {
  name: 'publish',
  measures: 'published -> folded and committed, no subscriptions, against publish and consume alone',
  short: '--seconds 1 --repeats 3 --sessions 500',
  withOptions: (command) =>
    withRounds(command)
      .option('--sessions <n>', 'open chats', parseCount, 2_000)
      .option('--in-flight <n>', 'publishes that wait for their acknowledgement', parseCount, 256),
  run: runPublish,
};

const rest: Bench<RestSettings> = {
  name: 'rest',
  measures: 'requests through chat-api, the log and back, against Fastify with one NATS request',
  short: '--seconds 1 --repeats 3 --sessions 300',
  withOptions: (command) =>
    withRounds(command)
      .option('--sessions <n>', 'open chats', parseCount, 2_000)
      .option('--connections <n>', 'connections, each with one request at a time', parseCount, CONNECTIONS),
  run: runRest,
};

const resend: Bench<ResendSettings> = {
  name: 'resend',
  measures: 'unconfirmed pushes, always due, sent again and again: against BullMQ and undici alone',
  short: '--seconds 1 --repeats 3 --subscriptions 10000',
  withOptions: (command) =>
    withRounds(command)
      .option('--subscriptions <n>', 'subscriptions that nobody confirms', parseCount, 40_000)
      .option('--delay <s>', 'until an unconfirmed push is due again', parseCount, 1)
      .option('--receiver-ms <ms>', 'how long the receiver takes', parseCount, 5)
      .option(
        '--connections <n>',
        'to the receiver, of gms-node (FLEXPUSH_GMS_CONNECTIONS_MAX) and of undici',
        parseCount,
        CONNECTIONS,
      ),
  run: runResend,
};

const timers: Bench<TimersSettings> = {
  name: 'timers',
  measures:
    'how late timers fire beside a million others, their memory, and how many per second: against BullMQ',
  short: '--seconds 1 --repeats 1 --pending 5000 --rate 300 --at-once 5000',
  withOptions: (command) =>
    withRounds(command, { seconds: 30, repeats: 3 })
      .option('--pending <n>', 'timers that only wait', parseCount, 1_000_000)
      .option('--rate <r>', 'timers due per second', parseCount, 5_000)
      .option('--at-once <n>', 'timers due at once, for the highest rate', parseCount, 50_000),
  run: runTimers,
};

const scale: Bench<ScaleSettings> = {
  name: 'scale',
  measures: 'rate, p99 and cost per event with ever more open chats, nodes and destinations',
  short: '--seconds 2 --repeats 3 --sessions 600,6000 --nodes 1,2 --destinations 1 --warm-up-seconds 5',
  withOptions: (command) =>
    withRounds(command)
      .option('--warm-up-seconds <s>', 'load before the first measurement, per stack', parseCount, 20)
      .option(
        '--sessions <list>',
        'open chats of each step',
        parseCounts,
        [1_000, 10_000, 100_000, 1_000_000],
      )
      .option('--nodes <list>', 'session-actors and gms-nodes of each step', parseCounts, [1, 2, 4, 8])
      .option('--destinations <list>', "customers' servers of each step", parseCounts, [1, 100])
      .option('--in-flight <n>', 'events on their way at once', parseCount, 512),
  run: runScale,
};

const slowReceiver: Bench<SlowReceiverSettings> = {
  name: 'slow-receiver',
  measures: 'one of many destinations takes half a minute or refuses: rate and p99 of the others',
  short: '--seconds 2 --repeats 2 --destinations 20 --devices 500 --slow-ms 6000',
  withOptions: (command) =>
    withRounds(command, { seconds: 10, repeats: 5 })
      .option('--destinations <n>', 'destinations', parseCount, 100)
      .option('--devices <n>', 'devices, each with one notification on its way', parseCount, 1_000)
      .option('--pause-ms <ms>', 'until the next notification of a device', parseCount, 100)
      .option('--slow-ms <ms>', 'how long the slow destination takes', parseCount, 30_000),
  run: runSlowReceiver,
};

const idle: Bench<IdleSettings> = {
  name: 'idle',
  measures: 'open chats without traffic: Redis bytes per chat, memory and CPU of every service',
  short: '--seconds 2 --sessions 2000 --settle-seconds 5',
  withOptions: (command) =>
    command
      .option('--sessions <n>', 'open chats', parseCount, 1_000_000)
      .option('--settle-seconds <s>', 'quiet between the last chat and that', parseCount, 120)
      .option('--seconds <s>', 'how long the services are watched', parseCount, 30),
  run: runIdle,
};

const takeover: Bench<TakeoverSettings> = {
  name: 'takeover',
  measures:
    'a session-actor lost under load -> first push of a session that it owned; against Restate killed',
  short: '--sessions 100 --rate 50 --runs 2 --peer-runs 1 --peer-rate 50',
  withOptions: (command) =>
    command
      .option('--sessions <n>', 'open chats', parseCount, 5_000)
      .option('--rate <r>', 'events per second', parseCount, 500)
      .option('--runs <n>', 'how often one is lost', parseCount, 20)
      .addOption(new Option('--loss <how>', 'how it is lost').choices(losses).default('kill'))
      .option('--peer-runs <n>', 'how often Restate is killed', parseCount, 5)
      .option('--peer-rate <r>', 'events per second of Restate', parseCount, 200)
      .option('--no-peers', 'this product alone'),
  run: runTakeover,
};

const replay: Bench<ReplaySettings> = {
  name: 'replay',
  measures: 'Redis wiped -> every shard folded again from the log, and what callers met meanwhile',
  short: '--records 12000',
  withOptions: (command) =>
    command
      .option('--records <n>', 'records in the log', parseCount, 200_000)
      .option('--sessions <n>', 'chats in the log (default: one for 50 records)', parseCount)
      .option('--session-actors <n>', 'nodes that share the replay', parseCount, 1),
  run: runReplay,
};

const benches = [
  bench(deliver),
  bench(publish),
  bench(rest),
  bench(resend),
  bench(timers),
  bench(e2e),
  bench(scale),
  bench(slowReceiver),
  bench(idle),
  bench(takeover),
  bench(replay),
];

/** Hides the type of a bench's settings, which only itself and its options need to know. */
function bench<Settings>(one: Bench<Settings>) {
  const { name, measures, short } = one;
  return { name, measures, short, register: (parent: Command) => register(parent, one) };
}

export function registerBench(program: Command): void {
  const command = program
    .command('bench')
    .description('Measure this build on this machine, against stacks of its own.');
  command
    .command('list')
    .description('The benches.')
    .option('--json', 'print one JSON object')
    .action((given: { json?: boolean }) => list(given.json === true));
  const run = command.command('run').description('Run a bench by its name.');
  for (const parent of [command, run]) for (const one of benches) one.register(parent);
  registerCheck(command, benches);
  run.on('command:*', ([name]: string[]) => {
    throw new Error(`there is no bench "${name}"; see "flexpush bench list"`);
  });
}

function register<Settings>(parent: Command, { name, measures, withOptions, run }: Bench<Settings>): void {
  withOptions(parent.command(name).description(measures))
    .option('--json', 'print one JSON object as the last line')
    .option('--save [folder]', 'keep the result as a file, in docs/performance unless told otherwise')
    .action(async (given: Settings & { json?: boolean; save?: string | true }) => {
      const { json, save, ...settings } = given;
      const start = save === undefined ? undefined : await noteStart();
      const result = await run(settings as Settings);
      if (json !== true) printResult(result);
      if (start !== undefined) {
        const dir = typeof save === 'string' ? save : resultsDir;
        printProgress(`saved as ${await saveResult(result, { dir, start, command: commandLine() })}`);
      }
      printVerdict(result, json === true);
    });
}

/** As it was given, to be repeated. */
function commandLine(): string {
  return ['npx flexpush', ...process.argv.slice(2)].join(' ');
}

function list(json: boolean): void {
  const named = benches.map(({ name, measures }) => ({ name, measures }));
  if (json) printJson({ benches: named });
  else
    printTable(
      ['BENCH', 'MEASURES'],
      named.map(({ name, measures }) => [name, measures]),
    );
}

function printResult(result: BenchResult): void {
  printTable(
    ['BAR', 'VALUE', 'WANTED', ''],
    result.bars.map(({ name, wanted, value, bar, ok }) => [
      name,
      String(value ?? '-'),
      `${wanted} ${bar}`,
      ok ? 'ok' : 'MISSED',
    ]),
  );
  const { each, ...metrics } = result.metrics;
  if (Array.isArray(each)) printEach(each as readonly Record<string, unknown>[]);
  printLine();
  printLine(JSON.stringify(metrics, undefined, 2));
}

/** One line per run, its figures as columns. */
function printEach(each: readonly Record<string, unknown>[]): void {
  const columns = Object.keys(each[0] ?? {});
  printLine();
  printTable(
    ['RUN', ...columns],
    each.map((run, n) => [String(n + 1), ...columns.map((column) => String(run[column]))]),
  );
}
