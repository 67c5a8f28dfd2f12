import {
  defaultStackDir,
  type NatsServerCount,
  prepareStack,
  type RedisTopology,
  type ServiceKind,
  type Stack,
  type StackOptions,
} from '@flexpush/stack';
import { type Command, InvalidArgumentError } from 'commander';
import { paint, printJson, printLine, printProgress } from './output';
import { withTopology } from './topology-options';
import { seedOptions } from './seed-options';
import { ALLOW_SUBSCRIBE_COMMAND, chatCurl, describeEvent, printUpReport } from './up-report';
import { watchStopSignals } from './up-signals';

export interface UpOptions {
  readonly sessionActors: number;
  readonly gmsNodes: number;
  readonly resendTimers: number;
  readonly gmsRegistries: number;
  readonly chatApis: number;
  readonly groups?: readonly string[];
  readonly shards?: number;
  readonly redis?: RedisTopology;
  readonly natsServers?: NatsServerCount;
  readonly dir: string;
  readonly chatApiPort?: number;
  readonly receiverPort?: number;
  readonly natsPort?: number;
  readonly redisPort?: number;
  readonly logLevel?: string;
  readonly json?: boolean;
}

/** What `up` needs beside the stack; tests give their own. */
export interface UpDependencies {
  readonly seedOptions: (natsUrl: string, receiverUrl: string, previousReceiverUrl?: string) => Promise<void>;
  readonly entryOf?: (kind: ServiceKind) => string;
}

export function registerUp(program: Command): void {
  const up = program
    .command('up')
    .description('Start redis, nats and all services on this machine and stay until Ctrl-C.');
  withTopology(up)
    .option('--session-actors <n>', 'session actors, which own the shards', parseCount, 1)
    .option('--gms-nodes <n>', 'GMS nodes, which deliver pushes', parseCount, 1)
    .option('--resend-timers <n>', 'resend timers', parseCount, 1)
    .option('--gms-registries <n>', 'GMS registries', parseCount, 1)
    .option('--chat-apis <n>', 'REST front ends', parseCount, 1)
    .option(
      '--groups <a,b>',
      'GMS node groups, given to the GMS nodes in turn (default: "default")',
      parseList,
    )
    .option(
      '--shards <n>',
      'shards of the log, fixed at the first start of a folder (default: 16)',
      parseCount,
    )
    .option('--dir <folder>', 'folder for data, logs, run.json and state.json', defaultStackDir)
    .option('--chat-api-port <port>', 'port of the first chat-api (default: 8080 or a free one)', parsePort)
    .option('--receiver-port <port>', 'port of the sample receiver (default: 8090 or a free one)', parsePort)
    .option('--nats-port <port>', 'port of the first nats (default: 4222 or a free one)', parsePort)
    .option('--redis-port <port>', 'port of the first redis (default: 6379 or a free one)', parsePort)
    .option('--log-level <level>', 'log level of the services')
    .option('--json', 'print one JSON object with what runs, when all is healthy')
    .addHelpText(
      'after',
      '\nExample:\n  $ npx flexpush up --session-actors 2 --gms-nodes 4 --groups east,west --chat-api-port 8080\n',
    )
    .action((options: UpOptions) => runUp(options));
}

/** Starts the stack, reports it and resolves when a signal has stopped it. Throws when it cannot be started. */
export async function runUp(
  options: UpOptions,
  dependencies: UpDependencies = { seedOptions },
): Promise<void> {
  let stack: Stack | undefined;
  const signal = watchStopSignals(() => {
    printProgress('killing everything at once');
    void stack?.killNow();
  });
  try {
    stack = await prepareStack(stackOptionsOf(options, dependencies));
    void signal.requested.then(() => stack?.stop());
    await startUnlessStopped(stack, () => signal.isRequested());
    if (!signal.isRequested()) {
      report(stack, options);
      await signal.requested;
    }
    await stack.stop();
    printProgress('all stopped');
  } finally {
    signal.dispose();
  }
}

async function startUnlessStopped(stack: Stack, isStopped: () => boolean): Promise<void> {
  try {
    await stack.start();
  } catch (error) {
    await stack.stop();
    // A start that was interrupted fails by nature; that is what was asked for.
    if (!isStopped()) throw error;
  }
}

function stackOptionsOf(options: UpOptions, dependencies: UpDependencies): StackOptions {
  const receiverLine = (line: string, name: string) => {
    const text = `${paint('cyan', `${name} |`, options.json ? process.stderr : process.stdout)} ${line}`;
    if (options.json === true) printProgress(text);
    else printLine(text);
  };
  return {
    dir: options.dir,
    counts: {
      'session-actor': options.sessionActors,
      'gms-node': options.gmsNodes,
      'resend-timer': options.resendTimers,
      'gms-registry': options.gmsRegistries,
      'chat-api': options.chatApis,
    },
    ...(options.groups === undefined ? {} : { groups: options.groups }),
    ...(options.shards === undefined ? {} : { shards: options.shards }),
    redis: options.redis,
    natsServers: options.natsServers,
    ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
    ...(dependencies.entryOf === undefined ? {} : { entryOf: dependencies.entryOf }),
    ports: {
      chatApi: options.chatApiPort,
      receiver: options.receiverPort,
      nats: options.natsPort,
      redis: options.redisPort,
    },
    preferWellKnownPorts: true,
    onHealthy: async (stack) => {
      if (stack.receiverUrl === undefined) return;
      await dependencies.seedOptions(stack.natsUrl, stack.receiverUrl, stack.previousReceiverUrl);
    },
    onEvent: (event) => {
      const line = describeEvent(event);
      if (line !== undefined) printProgress(line);
    },
    onReceiverLine: receiverLine,
  };
}

function report(stack: Stack, options: UpOptions): void {
  if (options.json !== true) return printUpReport(stack);
  const { chatApiUrl } = stack;
  const curl = chatApiUrl === undefined ? undefined : `${ALLOW_SUBSCRIBE_COMMAND}\n${chatCurl(chatApiUrl)}`;
  printJson({ ...stack.run(), dir: stack.dir, curl });
}

function parseCount(text: string): number {
  return parseInteger(text, 0, 1_024);
}

function parsePort(text: string): number {
  return parseInteger(text, 1, 65_535);
}

function parseInteger(text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
}

function parseList(text: string): string[] {
  const items = text.split(',').map((item) => item.trim());
  if (items.every((item) => /^[A-Za-z0-9_-]{1,64}$/.test(item))) return items;
  throw new InvalidArgumentError('It must be names of letters, digits, "_" or "-", separated by commas.');
}
