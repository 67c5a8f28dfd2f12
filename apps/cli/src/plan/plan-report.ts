import { bytes, counted, duration, percent } from '../doctor/finding';
import { wrap } from '../doctor/report';
import { paint, tableLines, type Style } from '../output';
import type { CapacityPlan } from './capacity-plan';
import type { Ceiling, CeilingState } from './plan-ceilings';
import { allFigures, CHOICES } from './plan-costs';
import { sketchLines } from './plan-sketch';
import { cores, perSecond, rate, redisWords, whole } from './plan-words';
import type { Resources, ServicePlan } from './service-plan';

const WIDTH = 100;
const INDENT = '  ';
const SHARDS_ARE_FIXED =
  'The number of shards is fixed at the first start of a cluster, so plan it for the most that will ever come.';

/** The whole plan for people, at most a hundred columns wide. */
export function planLines(plan: CapacityPlan): string[] {
  return [
    ...headLines(plan),
    '',
    ...sketchLines(plan),
    '',
    ...table(
      ['SERVICE', 'NODES', 'CORES', 'BUSIEST', 'ONE LOST', 'ONE MORE CARRIES', 'MEMORY', 'REQUEST FOR EACH'],
      plan.services.map(serviceRow),
    ),
    '',
    ...natsLines(plan),
    '',
    ...redisLines(plan),
    '',
    ...networkLines(plan),
    '',
    paint('bold', 'First ceilings of one cluster, if everything grows alike'),
    ...plan.ceilings.flatMap((ceiling) => ceilingLines(ceiling, plan.demand.eventsPerS)),
    '',
    paint('bold', 'Settings'),
    ...Object.entries(plan.settings).map(([name, value]) => `${INDENT}${name}=${value}`),
    ...wrap(SHARDS_ARE_FIXED, WIDTH - INDENT.length).map((line) => `${INDENT}${line}`),
    ...verdictLines(plan),
  ];
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const [head = '', ...body] = tableLines(header, rows);
  return [paint('dim', head), ...body];
}

function headLines({ demand, flows, shards }: CapacityPlan): string[] {
  const { sessions, eventsPerS, resendRatio, targetUtilisation } = demand;
  const exception = demand.replicas === 1 ? ' but that of NATS' : '';
  const head = `${whole(sessions)} open chats, ${rate(eventsPerS)} events/s, ${resendRatio} resends per push`;
  const pings = Math.max(0, flows.push - eventsPerS * demand.subscriptionsShare);
  return [
    paint('bold', head),
    `${counted(shards.count, 'shard')}; no node is used above ${percent(targetUtilisation)}, and any one${exception} may be lost`,
    '',
    ...table(
      ['PER SECOND', 'WHAT'],
      [
        [rate(flows.event), 'events published'],
        [rate(flows.push), `first pushes, of them ${rate(pings)} pings of chats that are quiet`],
        [rate(flows.resend), 'resends'],
        [rate(flows.refresh), 'refreshes and polls'],
        [rate(flows.fire), 'timers that only look and arm themselves anew'],
      ],
    ),
  ];
}

function requestWords({ cpuMilli, memoryMi }: Resources): string {
  return `cpu ${cpuMilli}m, memory ${memoryMi}Mi`;
}

function serviceRow(service: ServicePlan): string[] {
  const { kind, nodes, busiest, oneLost, carriesPerS, item, memoryMb, resources } = service;
  return [
    kind,
    String(nodes),
    cores(service.cores),
    percent(busiest),
    percent(oneLost),
    carriesPerS === undefined ? '-' : `${rate(carriesPerS)} ${item}/s`,
    `${Math.round(memoryMb)} MiB`,
    requestWords(resources),
  ];
}

/** A heading and what belongs to it, the names of a block as wide as the widest. */
function block(title: string, rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    paint('bold', title),
    ...rows.flatMap(([name, text]) => {
      const [first = '', ...rest] = wrap(text, WIDTH - width - 4);
      return [
        `${INDENT}${name.padEnd(width)}${INDENT}${first}`,
        ...rest.map((line) => `${' '.repeat(width + 4)}${line}`),
      ];
    }),
  ];
}

function natsLines({ nats, demand, rebuildS }: CapacityPlan): string[] {
  const { servers, coresEach, replicas, busiest, oneLost } = nats;
  const lost =
    oneLost === null
      ? 'nothing goes on when the one with the log is lost'
      : `${percent(oneLost)} when one is lost`;
  return block('NATS', [
    [
      'servers',
      `${servers} with ${coresEach} cores each; ${cores(nats.cores)} cores used, ${percent(busiest)} of each, ${lost}`,
    ],
    ['request', `${requestWords(nats.resources)} for each`],
    [
      'log',
      `${bytes(nats.logBytes)} in ${whole(demand.retentionHours)} h, in ${counted(replicas, 'copy', 'copies')}; bound ${bytes(nats.logBytesMax)}`,
    ],
    [
      'disk',
      `${bytes(nats.diskBytesEach)} for each server with a copy, when log, files, dead letters and snapshots are full`,
    ],
    [
      'leader',
      `${rate(nats.leaderPerS)} of ${rate(nats.leaderLimitPerS)} messages/s, ${percent(nats.leaderPerS / nats.leaderLimitPerS)}; ${counted(nats.streamsNeeded, 'stream')} needed, 1 built`,
    ],
    ['rebuild', `${duration(rebuildS * 1_000)} to fold the whole log again, should all of Redis be lost`],
  ]);
}

function redisLines(plan: CapacityPlan): string[] {
  const { redis } = plan;
  const { sentinels, masters } = redis;
  const beside = sentinels === 0 ? ' in a Cluster' : `, ${sentinels} Sentinels`;
  return block('Redis', [
    [
      'servers',
      `${redisWords(plan)}${beside}; ${cores(redis.cores)} cores used by masters, ${percent(redis.busiest)} of one by the busiest`,
    ],
    ['carries', redis.carriesPerS === undefined ? '-' : `${rate(redis.carriesPerS)} records/s each`],
    [
      'memory',
      `${bytes(redis.dataBytes)} in ${masters === 1 ? 'all' : 'all masters'}; maxmemory ${bytes(redis.maxmemoryBytes)} on hosts of ${bytes(redis.hostBytes)}`,
    ],
    ['request', `${requestWords(redis.resources)} for each`],
  ]);
}

function networkLines({ network, connectionsPerGmsNode, demand }: CapacityPlan): string[] {
  return block('Network', [
    [
      'log',
      `${perSecond(network.publishers)} from publishers, ${perSecond(network.log)} stored and read, ${perSecond(network.followers)} to followers`,
    ],
    ['Redis', `${perSecond(network.redis)} of commits, those to the replicas included`],
    ['outside', `${perSecond(network.pushes)} of pushes, ${perSecond(network.rest)} of the Chat API`],
    [
      'connections',
      `${whole(connectionsPerGmsNode)} for each gms-node, to a server that takes ${whole(demand.receiverMs)} ms for a push`,
    ],
  ]);
}

const styles: Record<CeilingState, Style> = {
  below: 'green',
  near: 'yellow',
  passed: 'cyan',
  exceeded: 'red',
};

function ceilingLines(ceiling: Ceiling, eventsPerS: number): string[] {
  const { name, unit, now, limit, state, reachedAtTimes } = ceiling;
  const figure = (value: number) => (unit === 'messages/s' ? rate(value) : cores(value));
  const at =
    reachedAtTimes === null || eventsPerS === 0
      ? ''
      : `; reached at ${rate(eventsPerS * reachedAtTimes)} events/s`;
  return [
    `${INDENT}${paint(styles[state], state.padEnd(8))}  ${name}: ${figure(now)} of ${figure(limit)} ${unit}${at}`,
    ...wrap(ceiling.passedBy, WIDTH - 12).map((line) => `${' '.repeat(12)}${paint('dim', line)}`),
  ];
}

function verdictLines({ isCarried, nats, demand }: CapacityPlan): string[] {
  const lines: string[] = [];
  if (demand.replicas === 1)
    lines.push(
      'With one replica the loss of one NATS server stops everything, and that of its disk loses events.',
    );
  if (nats.streamsNeeded > 1 && isCarried)
    lines.push('The leader of the stream has less room than was asked for; see the first ceilings.');
  if (!isCarried) lines.push('One cluster of this release does not carry this; see the first ceilings.');
  return lines.length === 0 ? [] : ['', ...lines.map((line) => paint('yellow', line))];
}

/** Every figure with its origin. */
export function costLines(): string[] {
  return [
    ...table(
      ['FIGURE', 'VALUE', 'FROM', 'ON', 'ESTIMATED'],
      allFigures().map(({ name, value, from, on, estimated }) => [
        name,
        Number.isInteger(value) ? whole(value) : String(value),
        from,
        on ?? '-',
        estimated ?? '-',
      ]),
    ),
    '',
    ...table(
      ['CHOSEN', 'VALUE'],
      Object.entries(CHOICES).map(([name, value]) => [name, String(value)]),
    ),
  ];
}
