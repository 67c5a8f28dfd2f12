import type { CapacityPlan } from './capacity-plan';
import { arrowsOf, redisWords, serviceOf } from './plan-words';
import type { ServiceKind } from './service-plan';

/** Columns at which the three columns of the sketch begin. */
const LEFT = 2;
const MIDDLE = 30;
const RIGHT = 66;
const STEM = 4;

type Placed = readonly [column: number, text: string];

/** The cluster in plain characters, for terminals and text files. */
export function sketchLines(plan: CapacityPlan): string[] {
  return [...upperRows(plan), ...lowerRows(plan)].map(lineOf);
}

function box(plan: CapacityPlan, kind: ServiceKind): string {
  return `${kind} x ${serviceOf(plan, kind).nodes}`;
}

/** What comes into the log from outside. */
function upperRows(plan: CapacityPlan): Placed[][] {
  const { refreshes, events, requests } = arrowsOf(plan);
  const { servers, replicas } = plan.nats;
  const left = (text: string, right: string): Placed[] => [
    [LEFT + STEM, text],
    [RIGHT + STEM, right],
  ];
  return [
    [
      [LEFT, "customers' programs"],
      [RIGHT, "agents' programs"],
    ],
    left(`| ${refreshes}`, `| ${events}`),
    left('v', '|'),
    [
      [LEFT, box(plan, 'chat-api')],
      [RIGHT + STEM, '|'],
    ],
    left(`| ${requests}`, '|'),
    [
      [LEFT + STEM, `+${'-'.repeat(MIDDLE - LEFT - STEM - 3)}>`],
      [MIDDLE, `NATS x ${servers}, log x ${replicas}`],
      [MIDDLE + 22, `<${'-'.repeat(RIGHT + STEM - MIDDLE - 23)}+`],
    ],
  ];
}

/** What is made of it. */
function lowerRows(plan: CapacityPlan): Placed[][] {
  const { records, timers, jobs, commits, posts } = arrowsOf(plan);
  const middle = (text: string, right: string): Placed[] => [
    [MIDDLE + STEM, text],
    [RIGHT, right],
  ];
  const beside = ' '.repeat(STEM);
  return [
    middle(`| ${records}`, `${beside}| ${timers}`),
    middle('|', box(plan, 'resend-timer')),
    middle('v', `${beside}^`),
    [
      [LEFT, box(plan, 'gms-registry')],
      [MIDDLE, box(plan, 'session-actor')],
      [MIDDLE + 22, arrowRight(RIGHT - MIDDLE - 23)],
      [RIGHT, `Redis: ${redisWords(plan)}`],
    ],
    middle(`| ${jobs}`, `  ${commits}`),
    [[MIDDLE + STEM, 'v']],
    [
      [LEFT, "customers' servers"],
      [LEFT + 20, `<${'-'.repeat(MIDDLE - LEFT - 22)}`],
      [MIDDLE, box(plan, 'gms-node')],
      [MIDDLE + 22, posts],
    ],
  ];
}

function arrowRight(width: number): string {
  return `${'-'.repeat(width - 1)}>`;
}

/** What stands further left is never covered; a text that is too long moves what is behind it. */
function lineOf(row: readonly Placed[]): string {
  return row.reduce((line, [column, text]) => `${line.padEnd(column)}${text}`, '');
}
