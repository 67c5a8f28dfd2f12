import type { FaultMark, Series } from './report-series';

export interface Line {
  readonly label: string;
  /** Class of the stroke, coloured by the page. */
  readonly className: string;
  readonly values: readonly number[];
}

export interface ChartSettings {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
}

const WIDTH = 960;
const HEIGHT = 220;
const LEFT = 56;
const RIGHT = 12;
const TOP = 26;
const BOTTOM = 28;
const X_TICKS_MAX = 10;
const Y_TICKS_MAX = 4;

/** One chart as SVG: lines over time, a mark per fault, and the time until somebody took over shaded. */
export function chartSvg({ title, unit, lines }: ChartSettings, series: Series): string {
  const endS = series.buckets.length * series.bucketS;
  const highest = Math.max(0, ...lines.flatMap(({ values }) => values));
  const yStep = niceStep(highest, Y_TICKS_MAX);
  const yMax = Math.max(1, Math.ceil(highest / yStep)) * yStep;
  const x = (s: number) => round(LEFT + (s / endS) * (WIDTH - LEFT - RIGHT));
  const y = (value: number) => round(HEIGHT - BOTTOM - (value / yMax) * (HEIGHT - TOP - BOTTOM));
  const parts = [
    ...series.faults.map((fault) => gapRect(fault, x)),
    ...ticks(yStep, yMax).map((value) => horizontal(value, y(value))),
    ...ticks(niceStep(endS, X_TICKS_MAX), endS).map((s) => vertical(s, x(s))),
    ...lines.map((line) => path(line, series.bucketS, { x, y })),
    ...series.faults.map((fault) => faultMark(fault, x)),
    legend(lines),
  ];
  return `<figure><figcaption>${escapeHtml(title)} <span>${escapeHtml(unit)}</span></figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">${parts.join('')}</svg></figure>`;
}

/** A step of 1, 2 or 5 times a power of ten that gives at most so many ticks. */
export function niceStep(span: number, ticksMax: number): number {
  if (!(span > 0)) return 1;
  const least = span / ticksMax;
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= least) ?? 10;
  return factor * power;
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function ticks(step: number, max: number): number[] {
  return Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, n) => round(n * step, 6));
}

function horizontal(value: number, y: number): string {
  return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/><text class="tick" x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${value.toLocaleString('en')}</text>`;
}

function vertical(s: number, x: number): string {
  return `<text class="tick" x="${x}" y="${HEIGHT - 8}" text-anchor="middle">${s} s</text>`;
}

function path(
  { className, values }: Line,
  bucketS: number,
  { x, y }: { x: (s: number) => number; y: (value: number) => number },
): string {
  const points = values.map((value, n) => `${x((n + 0.5) * bucketS)} ${y(value)}`);
  return `<path class="line ${className}" d="M${points.join('L')}"/>`;
}

function gapRect({ atS, gapEndS }: FaultMark, x: (s: number) => number): string {
  if (gapEndS === undefined) return '';
  return `<rect class="gap" x="${x(atS)}" y="${TOP}" width="${Math.max(1, round(x(gapEndS) - x(atS)))}" height="${HEIGHT - TOP - BOTTOM}"/>`;
}

function faultMark({ what, atS }: FaultMark, x: (s: number) => number): string {
  const at = x(atS);
  return `<g><title>${escapeHtml(what)} at ${round(atS)} s</title><line class="fault" x1="${at}" x2="${at}" y1="${TOP - 6}" y2="${HEIGHT - BOTTOM}"/><path class="flag" d="M${at - 5} ${TOP - 12}h10l-5 8z"/></g>`;
}

function legend(lines: readonly Line[]): string {
  return lines
    .map(({ label, className }, n) => {
      const left = LEFT + 4 + n * 130;
      return `<line class="line ${className}" x1="${left}" x2="${left + 18}" y1="10" y2="10"/><text class="tick" x="${left + 24}" y="14">${escapeHtml(label)}</text>`;
    })
    .join('');
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
