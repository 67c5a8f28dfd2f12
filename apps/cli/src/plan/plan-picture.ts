import { escapeHtml } from '../drill/report-chart';
import type { CapacityPlan } from './capacity-plan';
import { arrowsOf, cores, redisWords, serviceOf, whole, rate } from './plan-words';
import type { ServiceKind } from './service-plan';

const WIDTH = 960;
const HEIGHT = 648;
const BOX = { width: 250, height: 84 } as const;
/** Left edges of the columns, upper edges of the rows. */
const COLUMNS = { left: 24, middle: 355, right: 686 } as const;
const ROWS = [76, 220, 364, 508] as const;
/** Of what comes round the right side. */
const LANE = 948;

interface Box {
  readonly x: number;
  readonly y: number;
  readonly className: 'outside' | 'service' | 'server';
  readonly title: string;
  readonly lines: readonly string[];
}

/** A picture that needs nothing but itself, and follows the light or dark of whoever shows it. */
export function planSvg(plan: CapacityPlan): string {
  const { demand } = plan;
  const title = `${whole(demand.sessions)} open chats, ${rate(demand.eventsPerS)} events/s, ${demand.resendRatio} resends per push`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(`Cluster for ${title}`)}">`,
    STYLE,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    `<text class="head" x="${COLUMNS.left}" y="34">${escapeHtml(title)}</text>`,
    ...arrowParts(plan),
    ...boxesOf(plan).map(boxPart),
    `<text x="${COLUMNS.left}" y="${HEIGHT - 22}">${escapeHtml(ceilingWords(plan))}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

/** What stops it first, and what that would need. */
function ceilingWords({ ceilings: [first], nats, demand }: CapacityPlan): string {
  if (first === undefined || first.reachedAtTimes === null) return '';
  const at =
    demand.eventsPerS === 0 ? '' : `, reached at ${rate(demand.eventsPerS * first.reachedAtTimes)} events/s`;
  const needs =
    nats.streamsNeeded === 1 ? '' : `; the log would need ${nats.streamsNeeded} streams, and has one`;
  return `First ceiling: ${first.name}${at}${needs}.`;
}

const STYLE = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-size: 17px; font-weight: 600 }
.title { font-size: 15px; font-weight: 600 }
.rate { font-weight: 600; fill: #0a4fa3 }
rect { stroke-width: 1.5 }
.outside { fill: #f3f4f6; stroke: #8b949e; stroke-dasharray: 5 4 }
.service { fill: #e3f0ff; stroke: #2f6fbd }
.server { fill: #e4f5e9; stroke: #2c8a4b }
.arrow { fill: none; stroke: #57606a; stroke-width: 1.5; marker-end: url(#tip) }
.beat { stroke-dasharray: 3 4 }
.tip { fill: #57606a }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .rate { fill: #9cc8ff }
  .outside { fill: #21262d; stroke: #8b949e }
  .service { fill: #12294a; stroke: #5b9cf0 }
  .server { fill: #12351f; stroke: #4fb873 }
  .arrow { stroke: #9aa4af }
  .tip { fill: #9aa4af }
}
</style>`;

function boxesOf(plan: CapacityPlan): Box[] {
  const { nats, redis, shards } = plan;
  const [first, second, third, fourth] = ROWS;
  const service = (kind: ServiceKind, x: number, y: number): Box => {
    const { nodes, busiest, resources } = serviceOf(plan, kind);
    const uses = kind === 'session-actor' ? `, ${shards.count} shards` : '';
    return {
      x,
      y,
      className: 'service',
      title: `${kind} × ${whole(nodes)}`,
      lines: [
        `${Math.round(busiest * 100)} % of a core${uses}`,
        `each ${resources.cpuMilli}m cpu, ${resources.memoryMi} MiB`,
      ],
    };
  };
  const outside = (title: string, text: string, at: { x: number; y: number }): Box => ({
    ...at,
    className: 'outside',
    title,
    lines: [text],
  });
  return [
    outside("customers' programs", 'Chat API: REST, CometD', { x: COLUMNS.left, y: first }),
    service('chat-api', COLUMNS.middle, first),
    outside("agents' programs", 'publish over NATS', { x: COLUMNS.right, y: first }),
    {
      x: COLUMNS.middle,
      y: second,
      className: 'server',
      title: `NATS × ${nats.servers}`,
      lines: [
        `log in ${nats.replicas} ${nats.replicas === 1 ? 'copy' : 'copies'}, leader at ${Math.round((nats.leaderPerS / nats.leaderLimitPerS) * 100)} %`,
        `each ${nats.coresEach} cores, ${whole(nats.diskBytesEach / 1024 ** 3)} GiB of disk`,
      ],
    },
    service('gms-registry', COLUMNS.left, third),
    service('session-actor', COLUMNS.middle, third),
    {
      x: COLUMNS.right,
      y: third,
      className: 'server',
      title: 'Redis',
      lines: [
        redisWords(plan),
        `${cores(redis.cores)} cores in all, ${whole(redis.hostBytes / 1024 ** 2)} MiB each`,
      ],
    },
    outside("customers' servers", 'customhttp, FCM, APNs', { x: COLUMNS.left, y: fourth }),
    service('gms-node', COLUMNS.middle, fourth),
    service('resend-timer', COLUMNS.right, fourth),
  ];
}

function boxPart({ x, y, className, title, lines }: Box): string {
  const middle = x + BOX.width / 2;
  const texts = lines.map(
    (line, n) => `<text x="${middle}" y="${y + 50 + n * 19}" text-anchor="middle">${escapeHtml(line)}</text>`,
  );
  return [
    `<rect class="${className}" x="${x}" y="${y}" width="${BOX.width}" height="${BOX.height}" rx="8"/>`,
    `<text class="title" x="${middle}" y="${y + 27}" text-anchor="middle">${escapeHtml(title)}</text>`,
    ...texts,
  ].join('');
}

function arrowParts(plan: CapacityPlan): string[] {
  const says = arrowsOf(plan);
  const [first, second, third, fourth] = ROWS;
  const { left, middle, right } = COLUMNS;
  const { width, height } = BOX;
  const half = height / 2;
  const stem = middle + width / 2;
  const beat = 'beat';
  return [
    across({ from: left + width, to: middle, y: first + half }, says.refreshes),
    down({ x: stem, from: first + height, to: second }, says.requests),
    bent(
      `M${right + width / 2} ${first + height}V${second + 26}H${middle + width}`,
      { x: right + width / 2 + 8, y: first + height + 36 },
      says.events,
    ),
    down({ x: stem, from: second + height, to: third }, says.records),
    across({ from: middle + width, to: right, y: third + half }, says.commits),
    down({ x: stem, from: third + height, to: fourth }, says.jobs),
    across({ from: middle, to: left + width, y: fourth + half }, says.posts),
    bent(
      `M${right + width / 2} ${fourth}V${third + height}`,
      { x: right + width / 2 + 8, y: third + height + 34 },
      'claims',
    ),
    bent(
      `M${right + width} ${fourth + half}H${LANE}V${second + 58}H${middle + width}`,
      { x: middle + width + 12, y: second + 77 },
      says.timers,
    ),
    bent(
      `M${middle + 30} ${fourth}V${fourth - 30}H${left + width / 2}V${third + height}`,
      { x: left + width / 2 + 8, y: fourth - 12 },
      'heartbeats',
      beat,
    ),
    bent(
      `M${left + width} ${third + half}H${middle}`,
      { x: left + width + 12, y: third + half - 8 },
      'view',
      beat,
    ),
  ];
}

function across({ from, to, y }: { from: number; to: number; y: number }, text: string): string {
  const [head = '', ...rest] = text.split(' ');
  const x = (from + to) / 2;
  return (
    `<path class="arrow" d="M${from} ${y}H${to}"/><text class="rate" x="${x}" y="${y - 8}" text-anchor="middle">${escapeHtml(head)}</text>` +
    `<text x="${x}" y="${y + 18}" text-anchor="middle">${escapeHtml(rest.join(' '))}</text>`
  );
}

function down({ x, from, to }: { x: number; from: number; to: number }, text: string): string {
  return `<path class="arrow" d="M${x} ${from}V${to}"/><text class="rate" x="${x + 8}" y="${(from + to) / 2 + 4}">${escapeHtml(text)}</text>`;
}

function bent(path: string, at: { x: number; y: number }, text: string, className = ''): string {
  const classes = className === '' ? 'arrow' : `arrow ${className}`;
  return `<path class="${classes}" d="${path}"/><text class="rate" x="${at.x}" y="${at.y}">${escapeHtml(text)}</text>`;
}
