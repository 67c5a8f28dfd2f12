/**
 * `unsafe`: one ordinary failure (a process, a server, a power cut) loses acknowledged events or stops the pushes until it
 * is over; or that has happened already. `warning`: it takes more than one, or it is still to come.
 */
export const levels = ['unsafe', 'warning', 'note', 'ok'] as const;
export type Level = (typeof levels)[number];

export const areas = ['nats', 'redis', 'flexpush'] as const;
export type Area = (typeof areas)[number];

/** One thing that was looked at. */
export interface Finding {
  /** `<area>.<what>`, stable, for programs. */
  readonly id: `${Area}.${string}`;
  readonly level: Level;
  readonly title: string;
  /** What it means, in plain words; '' where the title says it all. */
  readonly meaning: string;
  /** What to do next; '' where nothing is to be done. */
  readonly advice: string;
  /** What was seen. */
  readonly value: string | number | boolean | null;
}

export function ok(id: Finding['id'], value: Finding['value'], title: string): Finding {
  return { id, level: 'ok', title, meaning: '', advice: '', value };
}

export function areaOf({ id }: Finding): Area {
  return id.slice(0, id.indexOf('.')) as Area;
}

const UNITS = [
  { ms: 86_400_000, name: 'day' },
  { ms: 3_600_000, name: 'hour' },
  { ms: 60_000, name: 'minute' },
  { ms: 1_000, name: 'second' },
] as const;

/** In the largest unit of which there are at least two, and exactly where it divides: `90 minutes`, `2 minutes`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const unit = UNITS.find((one) => ms >= 2 * one.ms || ms === one.ms) ?? UNITS[UNITS.length - 1];
  const count = Math.round(ms / (unit?.ms ?? 1_000));
  return `${count} ${unit?.name}${count === 1 ? '' : 's'}`;
}

export function bytes(count: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = count < 1_024 ? 0 : Math.min(names.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1_024 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : Number(value.toFixed(1))} ${names[power]}`;
}

export function percent(share: number): string {
  return share > 0 && share < 0.01 ? 'under 1 %' : `${Math.round(share * 100)} %`;
}

/** `1 server`, `3 servers`; `several` where the plural is another word. */
export function counted(count: number, one: string, several: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}
