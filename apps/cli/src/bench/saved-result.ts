import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { findExecutable, repositoryRoot } from '@flexpush/stack';
import { z } from 'zod';
import { round } from './statistics';
import type { BenchResult } from './bench-result';

/** Where results are kept unless told otherwise. */
export const resultsDir = join(repositoryRoot, 'docs', 'performance');

const run = promisify(execFile);
const COMMIT_CHARS = 10;
/** What was saved before changes nothing. */
const NO_RESULTS = ':(exclude)docs/performance';
const loadAverageSchema = z.tuple([z.number(), z.number(), z.number()]);

/** A result that is kept, with what it is worth: when, of which commit, on which machine, and what else that did. */
export const savedResultSchema = z.strictObject({
  bench: z.string(),
  verdict: z.enum(['pass', 'fail']),
  date: z.iso.datetime(),
  commit: z.strictObject({
    /** `unknown` where there is no Git. */
    id: z.string().regex(/^([0-9a-f]{7,40}|unknown)$/),
    /** Whether files differed from it. */
    dirty: z.boolean(),
  }),
  command: z.string(),
  machine: z.strictObject({
    cpu: z.string(),
    cores: z.int().positive(),
    memoryMb: z.int().positive(),
    os: z.string(),
    node: z.string(),
    redis: z.string(),
    nats: z.string(),
  }),
  /** Over 1, 5 and 15 minutes. */
  loadAverage: z.strictObject({ start: loadAverageSchema, end: loadAverageSchema }),
  bars: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(['ratio', 'promise', 'figure']),
      wanted: z.enum(['at least', 'at most']),
      value: z.number().nullable(),
      bar: z.number(),
      ok: z.boolean(),
    }),
  ),
  ratios: z.record(z.string(), z.number().nullable()),
  metrics: z.record(z.string(), z.unknown()),
});
type SavedResult = z.input<typeof savedResultSchema>;

/** What has to be noted before a bench runs. */
export type RunStart = Pick<SavedResult, 'date' | 'commit'> & {
  readonly loadAverage: SavedResult['loadAverage']['start'];
};

export async function noteStart(): Promise<RunStart> {
  return {
    date: new Date().toISOString(),
    commit: await commitOf(repositoryRoot),
    loadAverage: loadAverage(),
  };
}

/** Writes `<bench>-<date>-<commit>.json` into the folder, never over another one; returns its path. */
export async function saveResult(
  result: BenchResult,
  { dir, start, command }: { dir: string; start: RunStart; command: string },
): Promise<string> {
  const { bench, verdict, bars, ratios, metrics } = result;
  const { date, commit, loadAverage: before } = start;
  const saved = {
    ...{ bench, verdict, date, commit, command, machine: await machine() },
    ...{ loadAverage: { start: before, end: loadAverage() }, bars, ratios, metrics },
  };
  await mkdir(dir, { recursive: true });
  const path = freePath(dir, `${bench}-${date.slice(0, 'yyyy-mm-dd'.length)}-${commit.id}`);
  await writeFile(path, `${JSON.stringify(saved, undefined, 2)}\n`, { flag: 'wx' });
  return relative(process.cwd(), path);
}

function freePath(dir: string, name: string): string {
  for (let n = 1; ; n++) {
    const path = join(dir, `${name}${n === 1 ? '' : `-${n}`}.json`);
    if (!existsSync(path)) return path;
  }
}

async function commitOf(root: string): Promise<SavedResult['commit']> {
  try {
    const git = async (...args: readonly string[]) => (await run('git', ['-C', root, ...args])).stdout.trim();
    const id = (await git('rev-parse', 'HEAD')).slice(0, COMMIT_CHARS);
    return { id, dirty: (await git('status', '--porcelain', '--', '.', NO_RESULTS)) !== '' };
  } catch {
    // No Git, or not from a checkout: the result is worth less, but not nothing.
    return { id: 'unknown', dirty: true };
  }
}

async function machine(): Promise<SavedResult['machine']> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryMb: round(totalmem() / 1_048_576, 0),
    os: `${type()} ${release()}`,
    node: process.versions.node,
    redis: await versionOf('redis-server'),
    nats: await versionOf('nats-server'),
  };
}

async function versionOf(program: 'redis-server' | 'nats-server'): Promise<string> {
  const { stdout } = await run(findExecutable(program), ['--version']);
  return /v=?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? stdout.trim();
}

function loadAverage(): RunStart['loadAverage'] {
  const [one = 0, five = 0, fifteen = 0] = loadavg().map((load) => round(load));
  return [one, five, fifteen];
}
