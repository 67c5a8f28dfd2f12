import type { Stack } from '@flexpush/stack';
import { readFileSync } from 'node:fs';
import { printProgress } from '../output';
import { sleep, until } from './wait';

/** Clock ticks per second of /proc; 100 on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** CPU time a process has used, in ms; undefined when it is gone or this is no Linux. */
export function cpuMsOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_S;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** CPU of named processes between two moments, in microseconds per item. */
export class CpuMeter {
  private readonly before = new Map<string, { pid: number; ms: number }>();

  constructor(processes: readonly NamedProcess[]) {
    for (const { name, pid } of processes) {
      const ms = cpuMsOf(pid);
      if (ms !== undefined) this.before.set(name, { pid, ms });
    }
  }

  perItemUs(items: number): Record<string, number> {
    const result: Record<string, number> = {};
    for (const [name, { pid, ms }] of this.before) {
      const now = cpuMsOf(pid);
      if (now !== undefined && items > 0) result[name] = Math.round(((now - ms) * 1000) / items);
    }
    return result;
  }
}

/** Of a core; a service that only beats uses one or two hundredths. */
const IDLE_PART = 0.15;
const IDLE_LOOK_MS = 1_000;
const IDLE_MAX_MS = 60_000;

/** Waits until these have done what is left from their own round: else it is paid by whoever is measured next. */
export async function untilIdle(who: string, processes: readonly NamedProcess[]): Promise<void> {
  const usedMs = () => processes.reduce((sum, { pid }) => sum + (cpuMsOf(pid) ?? 0), 0);
  let part = 1;
  const isIdle = async (): Promise<boolean> => {
    const before = { usedMs: usedMs(), atMs: performance.now() };
    await sleep(IDLE_LOOK_MS);
    part = (usedMs() - before.usedMs) / (performance.now() - before.atMs);
    return part < IDLE_PART;
  };
  await until(isIdle, `${who} is not idle`, { lookMs: 0, maxMs: IDLE_MAX_MS }).catch(() => {
    printProgress(`${who} still uses ${Math.round(part * 100)} % of a core`);
  });
}

export interface NamedProcess {
  readonly name: string;
  readonly pid: number;
}

/** Everything of a stack that runs, and this process, which plays the rest. */
export function processesOf(stack: Stack): NamedProcess[] {
  const run = stack.run();
  return [
    ...run.services.map(({ name, pid }) => ({ name, pid })),
    { name: 'nats', pid: run.nats.pid },
    { name: 'redis', pid: run.redis.pid },
    { name: 'bench', pid: process.pid },
  ];
}
