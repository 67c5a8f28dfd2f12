import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** As V8 writes it with `--cpu-prof`; times are microseconds of the machine's monotonic clock. */
interface CpuProfile {
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string } }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** A stretch of time, microseconds of the monotonic clock. */
export interface Stretch {
  readonly fromUs: number;
  readonly toUs: number;
}

/** What code belongs to, by where it lies; the first that fits. */
const places: readonly [name: string, pattern: RegExp][] = [
  ['NATS client', /node_modules\/nats\//],
  ['Redis client', /node_modules\/ioredis\/|node_modules\/(redis-parser|denque)\//],
  ['HTTP client', /node_modules\/undici\//],
  ['HTTP server', /node_modules\/(fastify|find-my-way|avvio|@fastify)\/|node:_http|node:http/],
  ['NestJS', /node_modules\/(@nestjs|rxjs|reflect-metadata)\//],
  ['checks (zod)', /node_modules\/zod\//],
  ['metrics', /node_modules\/prom-client\//],
  ['fold', /libs\/session\//],
  ['actor runtime', /libs\/actor-runtime\//],
  ['delivery', /libs\/delivery\//],
  ['NATS adapter', /libs\/nats-bus\//],
  ['Redis adapter', /libs\/redis-store\//],
  ['contracts', /libs\/contracts\//],
  ['chat-api', /apps\/chat-api\//],
  ['other of ours', /\/(apps|libs)\//],
  ['node streams and timers', /^node:/],
];
/** System calls show as native functions of these names. */
const sockets = /^(writev|writeBuffer|writeUtf8String|writeLatin1String|readStart|shutdown)$/;

/** Microseconds by place in that stretch, without those in which the process was idle. */
export function readCpuProfile(file: string, { fromUs, toUs }: Stretch): Record<string, number> {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
  const placeOf = new Map(profile.nodes.map(({ id, callFrame }) => [id, place(callFrame)]));
  const spent: Record<string, number> = {};
  let atUs = profile.startTime;
  profile.samples.forEach((id, n) => {
    const deltaUs = profile.timeDeltas[n] ?? 0;
    atUs += deltaUs;
    const name = placeOf.get(id);
    if (name === undefined || atUs < fromUs || atUs > toUs) return;
    spent[name] = (spent[name] ?? 0) + deltaUs;
  });
  return spent;
}

/** The profile that a process of this pid has left in a folder; it is written when the process ends. */
export function profileOf(dir: string, pid: number): string | undefined {
  const file = readdirSync(dir).find((name) => name.split('.')[3] === String(pid));
  return file === undefined ? undefined : join(dir, file);
}

/** Now, as profiles tell time. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

function place({ functionName, url }: { functionName: string; url: string }): string | undefined {
  if (functionName === '(idle)') return undefined;
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (functionName === '(program)') return 'the engine itself';
  if (sockets.test(functionName)) return 'sockets';
  return places.find(([, pattern]) => pattern.test(url))?.[0] ?? 'built-in functions';
}
