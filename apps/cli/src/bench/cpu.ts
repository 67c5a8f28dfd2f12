import { readFileSync } from 'node:fs';

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

  constructor(processes: readonly { name: string; pid: number }[]) {
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
