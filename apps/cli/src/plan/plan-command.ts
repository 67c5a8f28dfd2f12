import { DEFAULT_SHARDS } from '@flexpush/stack';
import { InvalidArgumentError, type Command } from 'commander';
import { writeFileSync } from 'node:fs';
import { printJson, printLine } from '../output';
import { planCapacity, type CapacityPlan } from './capacity-plan';
import type { Demand } from './flows';
import { allFigures, CHOICES, LIMITS } from './plan-costs';
import { planSvg } from './plan-picture';
import { costLines, planLines } from './plan-report';

interface PlanOptions extends Omit<Demand, 'sessions' | 'eventsPerS' | 'resendRatio' | 'refreshesPerEvent'> {
  readonly sessions?: number;
  readonly eventsPerS?: number;
  readonly resendRatio?: number;
  readonly refreshesPerEvent?: number;
  readonly picture?: string;
  readonly costs?: boolean;
  readonly json?: boolean;
}

/** Of what may be asked for; beyond it nothing was ever measured. */
const SESSIONS_MAX = 100_000_000;
const EVENTS_PER_S_MAX = 1_000_000;

export function registerPlan(program: Command): void {
  const command = program
    .command('plan')
    .description(
      'How many nodes, NATS servers and Redis servers a load needs, and where one cluster ends; from costs that the benches measured.',
    )
    .option('--sessions <n>', 'open chats', numberFrom(0, SESSIONS_MAX, { isWhole: true }))
    .option(
      '--events-per-s <r>',
      'events that agents publish, joins and ends included',
      numberFrom(0, EVENTS_PER_S_MAX),
    )
    .option(
      '--resend-ratio <x>',
      'resends for each push; 0: every customer refreshes in time',
      numberFrom(0, 1_000),
    );
  withDefaults(command)
    .option('--picture <file.svg>', 'write a picture of the cluster')
    .option('--costs', 'tell every figure that it computes with, and where it is from')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
It runs nothing and asks nobody. Exit code 0 also when one cluster does not carry the load; it says so.

Examples:
  $ npx flexpush plan --sessions 20000 --events-per-s 500 --resend-ratio 0.1
  $ npx flexpush plan --sessions 1000000 --events-per-s 20000 --resend-ratio 0.2 --picture cluster.svg
  $ npx flexpush plan --costs
`,
    )
    .action((given: PlanOptions) => plan(given));
}

function withDefaults(command: Command): Command {
  return command
    .option(
      '--subscriptions-share <s>',
      'part of the chats with reliable pushes; the others poll',
      numberFrom(0, 1),
      1,
    )
    .option(
      '--refreshes-per-event <n>',
      'refreshes that an event causes (default: one for each push)',
      numberFrom(0, 1_000),
    )
    .option(
      '--poll-s <s>',
      'how often a customer without pushes polls; it would be removed after 45 s',
      numberFrom(1, 45),
      5,
    )
    .option('--event-bytes <n>', 'an event as JSON', numberFrom(100, 65_536, { isWhole: true }), 600)
    .option('--events-per-chat <n>', 'in the transcript of an open chat', numberFrom(1, 10_000), 20)
    .option('--retention-hours <h>', 'how long the log keeps events', numberFrom(1, 720), 24)
    .option('--replicas <n>', 'copies of each stream: 1, 3 or 5', replicas, 3)
    .option(
      '--target-utilisation <u>',
      'part of anything that is used when nothing is broken',
      numberFrom(0.1, 0.9),
      0.6,
    )
    .option(
      '--receiver-ms <ms>',
      "how long the customer's server takes for a push",
      numberFrom(1, 30_000),
      20,
    )
    .option(
      '--shards <n>',
      `of a cluster that exists (default: as many as are advised, ${DEFAULT_SHARDS} or more)`,
      numberFrom(1, LIMITS.shards, { isWhole: true }),
    );
}

function plan(given: PlanOptions): void {
  const { picture, costs, json, ...asked } = given;
  if (costs === true && asked.sessions === undefined && asked.eventsPerS === undefined)
    return printCosts(json);
  const found = planOf(demandOf(asked));
  if (picture !== undefined) writePicture(picture, found);
  if (json === true) {
    const { kind: _, ...result } = found;
    return printJson({ ...result, ...(costs === true ? { costs: allFigures(), chosen: CHOICES } : {}) });
  }
  for (const line of planLines(found)) printLine(line);
  if (picture !== undefined) printLine(`\nwrote ${picture}`);
  if (costs !== true) return;
  printLine();
  for (const line of costLines()) printLine(line);
}

function printCosts(json: boolean | undefined): void {
  if (json === true) return printJson({ costs: allFigures(), chosen: CHOICES });
  for (const line of costLines()) printLine(line);
}

/** All that is missing at once. */
function demandOf(asked: Omit<PlanOptions, 'picture' | 'costs' | 'json'>): Demand {
  const { sessions, eventsPerS, resendRatio } = asked;
  if (sessions === undefined || eventsPerS === undefined || resendRatio === undefined) {
    const missing = [
      ...(sessions === undefined ? ['--sessions <n>'] : []),
      ...(eventsPerS === undefined ? ['--events-per-s <r>'] : []),
      ...(resendRatio === undefined ? ['--resend-ratio <x>'] : []),
    ];
    throw new Error(`give ${missing.join(', ')} too (see "flexpush plan --help")`);
  }
  if (sessions === 0 && eventsPerS > 0)
    throw new Error('events belong to open chats: --sessions must be above 0, or --events-per-s 0');
  const refreshesPerEvent = asked.refreshesPerEvent ?? asked.subscriptionsShare;
  return { ...asked, sessions, eventsPerS, resendRatio, refreshesPerEvent };
}

function planOf(demand: Demand): CapacityPlan {
  const outcome = planCapacity(demand);
  switch (outcome.kind) {
    case 'plan':
      return outcome;
    case 'too-few-shards':
      throw new Error(
        `${demand.shards} shards do not spread this load over enough nodes: name --shards ${outcome.advised}, or leave it out. ` +
          'The number is fixed at the first start, so this takes a new cluster',
      );
    case 'beyond-one-cluster':
      throw new Error(
        `one cluster does not carry this, with any number of nodes: divide the chats among ${outcome.clusters} clusters, ` +
          `and plan one with --sessions ${Math.ceil(demand.sessions / outcome.clusters)} --events-per-s ${Math.ceil(demand.eventsPerS / outcome.clusters)}`,
      );
    default:
      return outcome satisfies never;
  }
}

function writePicture(path: string, found: CapacityPlan): void {
  if (!path.endsWith('.svg')) throw new Error(`${path} is written as SVG: name a file that ends in .svg`);
  try {
    writeFileSync(path, planSvg(found));
  } catch (error) {
    throw new Error(`${path} cannot be written: does its folder exist, and may you write there?`, {
      cause: error,
    });
  }
}

function numberFrom(least: number, most: number, { isWhole = false } = {}): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const isNumber = isWhole ? /^\d+$/.test(text) : /^\d+(\.\d+)?$/.test(text);
    if (isNumber && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}.`);
  };
}

function replicas(text: string): number {
  if (text === '1' || text === '3' || text === '5') return Number(text);
  throw new InvalidArgumentError(
    'It must be 1, 3 or 5: an even number survives no more losses than the one below it.',
  );
}
