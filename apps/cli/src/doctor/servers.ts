import { askServers, type NatsBus } from '@flexpush/nats-bus';
import { request } from 'undici';
import { z } from 'zod';
import type { MonitoredServer, ServersFact } from './facts';

const NS_PER_MS = 1_000_000;
const TIMEOUT_MS = 2_000;

/** The part of `varz` that is looked at. nats-server tells the sync interval since 2.10. */
const varzSchema = z.object({
  server_name: z.string(),
  version: z.string(),
  jetstream: z
    .object({
      config: z
        .object({
          max_storage: z.number().optional(),
          sync_interval: z.number().optional(),
          sync_always: z.boolean().optional(),
        })
        .optional(),
      stats: z.object({ storage: z.number() }).optional(),
    })
    .optional(),
});

/** What the servers tell of themselves: on their monitoring ports where these are given, else to who may ask. */
export async function readServers(bus: NatsBus, monitorUrls: readonly string[]): Promise<ServersFact> {
  if (monitorUrls.length === 0) {
    const servers = (await askServers(bus, { timeoutMs: TIMEOUT_MS })).flatMap(serverOf);
    return servers.length > 0 ? { kind: 'told', servers } : { kind: 'not-told' };
  }
  const servers: MonitoredServer[] = [];
  for (const url of monitorUrls) {
    try {
      servers.push(...serverOf(await readVarz(url)));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { kind: 'unreachable', where: url, reason };
    }
  }
  return { kind: 'told', servers };
}

async function readVarz(url: string): Promise<unknown> {
  const { statusCode, body } = await request(new URL('/varz', url), {
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (statusCode !== 200) {
    await body.dump();
    throw new Error(`it answers ${statusCode}`);
  }
  const varz: unknown = await body.json();
  if (!varzSchema.safeParse(varz).success) throw new Error('it is no monitoring port of nats-server');
  return varz;
}

function serverOf(varz: unknown): MonitoredServer[] {
  const parsed = varzSchema.safeParse(varz);
  if (!parsed.success) return [];
  const { server_name: name, version, jetstream } = parsed.data;
  const config = jetstream?.config;
  const interval = config?.sync_interval;
  return [
    {
      name,
      version,
      syncIntervalMs: interval === undefined ? undefined : interval / NS_PER_MS,
      isSyncAlways: config?.sync_always === true,
      storageBytes: jetstream?.stats?.storage ?? 0,
      storageBytesMax: config?.max_storage,
    },
  ];
}
