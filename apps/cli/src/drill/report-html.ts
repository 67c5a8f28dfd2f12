import type { Drill } from './drill';
import type { DrillHistory } from './history';
import { describeExample } from './judge';
import { chartSvg, escapeHtml } from './report-chart';
import { seriesOf, type Series } from './report-series';
import { reportStyle } from './report-style';
import type { DrillResult } from './run-drill';

/** What each figure means, in the order of the table. */
const meanings: Readonly<Record<string, string>> = {
  lost: 'acknowledged events that are not in the transcript, or of which the customer was never told',
  duplicated: 'events twice in a transcript, and pushes that came again',
  inversions: 'events or pushes of a subscription out of order',
  afterConfirm: 'pushes that began after the refresh that made them needless had been answered',
  overAttempts: 'pushes beyond flex-push-resend-attempts',
  stranded: 'unconfirmed subscriptions whose resends stopped before the last attempt',
  takeoverMs: 'from the fault to the first push of an affected session for a new event',
  latenessP99Ms: 'from acknowledgement or due time to the push, 99 of 100 below',
  latenessMaxMs: 'the same, the worst',
};

/** The report: one page that needs nothing from anywhere. */
export function reportHtml(drill: Drill, result: DrillResult, history: DrillHistory): string {
  const series = seriesOf(history);
  const title = `flexpush drill ${drill.name}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}: ${result.verdict}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
<header>
<h1>${escapeHtml(title)}</h1>
<p class="verdict ${result.verdict}">${result.verdict === 'pass' ? 'pass' : 'FAIL'}</p>
</header>
<p class="lead">${escapeHtml(drill.breaks)}</p>
<p class="meta">${escapeHtml(describeRun(result, series))}</p>
${tiles(result)}
${charts(series)}
${limitTable(result)}
${brokenPlaces(result, series)}
${timeline(result, series)}
</main>
</body>
</html>
`;
}

function describeRun(result: DrillResult, series: Series): string {
  const started = new Date(series.startMs).toISOString().replace('T', ' ').slice(0, 19);
  return `${started} UTC, against ${result.target}: ${result.sessions} sessions, ${result.ratePerS} events/s for ${result.seconds} s, seed ${result.seed}`;
}

function tiles(result: DrillResult): string {
  const ms = (value: number | null) => (value === null ? '-' : `${format(value)} ms`);
  const shown: readonly (readonly [string, string])[] = [
    ['published', format(result.published)],
    ['delivered', format(result.delivered)],
    ['confirmed', format(result.confirmed)],
    ['lost', format(result.lost)],
    ['takeover', ms(result.takeoverMs)],
    ['lateness p99', ms(result.latenessP99Ms)],
  ];
  const tile = ([label, value]: readonly [string, string]) =>
    `<div class="tile"><b>${escapeHtml(value)}</b><span>${escapeHtml(label)}</span></div>`;
  return `<section class="tiles">${shown.map(tile).join('')}</section>`;
}

function charts(series: Series): string {
  const perS = (count: number) => Number((count / series.bucketS).toFixed(1));
  const { buckets } = series;
  return [
    chartSvg(
      {
        title: 'Events and pushes',
        unit: 'per second',
        lines: [
          { label: 'events', className: 'events', values: buckets.map(({ events }) => perS(events)) },
          { label: 'pushes', className: 'pushes', values: buckets.map(({ pushes }) => perS(pushes)) },
        ],
      },
      series,
    ),
    chartSvg(
      {
        title: 'Lateness of pushes',
        unit: 'ms, the worst in each moment',
        lines: [
          {
            label: 'lateness',
            className: 'lateness',
            values: buckets.map(({ latenessMaxMs }) => Math.round(latenessMaxMs)),
          },
        ],
      },
      series,
    ),
    '<p class="key"><i class="flag-key"></i> a fault <i class="gap-key"></i> until the first push of an affected session</p>',
  ].join('\n');
}

function limitTable({ limits }: DrillResult): string {
  const row = ({ name, value, limit, ok }: DrillResult['limits'][number]) => {
    const state = limit === null ? '' : ok ? 'ok' : 'broken';
    return `<tr class="${state}"><td>${name}<small>${escapeHtml(meanings[name] ?? '')}</small></td><td class="number">${value === null ? '-' : format(value)}</td><td class="number">${limit === null ? 'none' : format(limit)}</td><td>${state}</td></tr>`;
  };
  return `<h2>Results against limits</h2><table><thead><tr><th>figure</th><th class="number">measured</th><th class="number">limit</th><th></th></tr></thead><tbody>${limits.map(row).join('')}</tbody></table>`;
}

function brokenPlaces({ examples }: DrillResult, series: Series): string {
  if (examples.length === 0) return '';
  const items = examples.map((one) => `<li>${escapeHtml(describeExample(one, series.startMs))}</li>`);
  return `<h2>Where it broke, the first few</h2><ol class="timeline">${items.join('')}</ol>`;
}

function timeline({ events }: DrillResult, series: Series): string {
  const item = ({ atMs, what }: DrillResult['events'][number]) =>
    `<li><time>${((atMs - series.startMs) / 1_000).toFixed(2)} s</time> ${escapeHtml(what)}</li>`;
  return `<h2>What happened</h2><ol class="timeline">${events.map(item).join('')}</ol>`;
}

function format(value: number): string {
  return value.toLocaleString('en');
}
