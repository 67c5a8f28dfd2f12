import { join, resolve } from 'node:path';
import { StackError } from './errors';
import { isJetStreamReady, type NatsServer, prepareNats } from './nats-server';
import { freePort } from './port';
import { pollUntil } from './probe';

export interface NatsGroupOptions {
  /** Folder in which each server has one of its own. */
  readonly dir: string;
  /** One server alone, or the servers of a cluster. Their names may not change over restarts. */
  readonly members: readonly NatsMember[];
  readonly shards?: number;
  readonly logOf?: (name: string) => string;
  readonly readyTimeoutMs?: number;
  readonly stopGraceMs?: number;
}

export interface NatsMember {
  readonly name: string;
  readonly port: number;
  /** Where it listens for the others; not used by a server alone. */
  readonly routePort: number;
}

const FORM_TIMEOUT_MS = 60_000;

/** One nats-server, or three that are a JetStream cluster. */
export class NatsGroup {
  /** The addresses of all servers, by comma. */
  readonly url: string;

  constructor(readonly servers: readonly NatsServer[]) {
    this.url = servers.map(({ url }) => url).join(',');
  }

  /** To be called when the servers run: resolves when JetStream answers through each of them. */
  async form(signal?: AbortSignal): Promise<void> {
    const isFormed = async () =>
      (await Promise.all(this.servers.map(({ port }) => isJetStreamReady(port)))).every(Boolean);
    const until = { timeoutMs: FORM_TIMEOUT_MS, ...(signal && { signal }) };
    if ((await pollUntil(isFormed, until)) || signal?.aborted === true) return;
    throw new StackError(
      'not-ready',
      `the NATS servers elected no leader for JetStream within ${FORM_TIMEOUT_MS / 1_000} s; see ${this.servers[0]?.logFile}`,
      true,
    );
  }

  /** Starts what was only prepared. Nothing is left running when it throws. */
  async start(): Promise<void> {
    try {
      await Promise.all(this.servers.map((server) => server.start()));
      await this.form();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

/** Writes the configurations and returns the servers, not started. */
export async function prepareNatsGroup(options: NatsGroupOptions): Promise<NatsGroup> {
  const { members, logOf, dir, ...rest } = options;
  const routePorts = members.map(({ routePort }) => routePort);
  return new NatsGroup(
    await Promise.all(
      members.map(({ name, port, routePort }) =>
        prepareNats({
          ...rest,
          dir: join(resolve(dir), name),
          name,
          port,
          ...(members.length > 1 && { cluster: { routePort, routePorts } }),
          ...(logOf && { logFile: logOf(name) }),
        }),
      ),
    ),
  );
}

/** Names and free ports for a group that no plan has given any. */
export async function freeNatsMembers(count: 1 | 3): Promise<NatsMember[]> {
  const names = natsNames(count);
  return Promise.all(
    names.map(async (name) => ({ name, port: await freePort(), routePort: await freePort() })),
  );
}

export function natsNames(count: 1 | 3): string[] {
  return count === 1 ? ['nats'] : Array.from({ length: count }, (_, n) => `nats-${n + 1}`);
}
