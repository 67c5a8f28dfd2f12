import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@flexpush/stack';
import { inParallel } from '../drill/load';
import { Pool } from 'undici';
import { BenchProcess } from './bench-process';
import type { NamedProcess } from './cpu';
import type { RestateServiceSettings } from './processes/restate-service';
import type { ReliableSystem } from './reliable-load';

const READY_TIMEOUT_MS = 60_000;
const LOOK_MS = 100;
const SET_UP_PARALLEL = 64;
const TEXT = 'How can I help you today?';

/** Restate with its defaults, one node, and the job as one of its virtual objects. Events and confirms go to its ingress. */
export class RestateSystem implements ReliableSystem {
  readonly name = 'restate';

  private constructor(
    private readonly dir: string,
    private readonly server: ChildProcess,
    private readonly service: BenchProcess,
    private readonly ingress: Pool,
  ) {}

  get processes(): readonly NamedProcess[] {
    return [
      { name: 'restate-server', pid: this.server.pid ?? 0 },
      { name: 'restate-service', pid: this.service.pid },
    ];
  }

  static async start(connections = 128): Promise<RestateSystem> {
    const [port, ingressPort, adminPort, nodePort] = await Promise.all([
      freePort(),
      freePort(),
      freePort(),
      freePort(),
    ]);
    const service = await BenchProcess.start('restate-service', {
      port,
      connections,
    } satisfies RestateServiceSettings);
    const dir = await mkdtemp(join(tmpdir(), 'flexpush-restate-'));
    const server = spawn(
      serverProgram(),
      ['--base-dir', dir, '--listen-mode', 'tcp', '--no-logo', '--log-filter', 'off'],
      {
        stdio: 'inherit',
        env: {
          RESTATE_DISABLE_TELEMETRY: 'true',
          RESTATE_BIND_IP: '127.0.0.1',
          RESTATE_BIND_PORT: String(nodePort),
          RESTATE_INGRESS__BIND_PORT: String(ingressPort),
          RESTATE_ADMIN__BIND_PORT: String(adminPort),
        },
      },
    );
    await register(`http://127.0.0.1:${adminPort}`, `http://127.0.0.1:${port}`);
    const ingress = new Pool(`http://127.0.0.1:${ingressPort}`, { connections });
    return new RestateSystem(dir, server, service, ingress);
  }

  async open(count: number, receiverUrl: string): Promise<readonly string[]> {
    const ids = Array.from({ length: count }, (_, n) => `chat-${n}`);
    await inParallel(ids, SET_UP_PARALLEL, (id) => this.call(`/Session/${id}/open`, { url: receiverUrl }));
    return ids;
  }

  publish(chatId: string): Promise<void> {
    return this.call(`/Session/${chatId}/event/send`, { text: TEXT });
  }

  confirm(chatId: string): Promise<void> {
    return this.call(`/Session/${chatId}/confirm`);
  }

  async close(): Promise<void> {
    await this.ingress.destroy();
    const ended = once(this.server, 'exit');
    this.server.kill('SIGKILL');
    await ended;
    await this.service.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  private async call(path: string, body?: object): Promise<void> {
    const { statusCode, body: answer } = await this.ingress.request({
      method: 'POST',
      path,
      ...(body === undefined
        ? {}
        : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    if (statusCode >= 300)
      throw new Error(`restate answered ${statusCode} to ${path}: ${await answer.text()}`);
    await answer.dump();
  }
}

/** The program that the npm package brings for this machine. */
function serverProgram(): string {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`;
  try {
    return require.resolve(name);
  } catch (error) {
    throw new Error(
      `restate has no server for ${process.platform}-${process.arch}, so there is nothing to compare with`,
      {
        cause: error,
      },
    );
  }
}

/** Tells the server where the service is; until it is up it does not answer. */
async function register(adminUrl: string, serviceUrl: string): Promise<void> {
  const endMs = performance.now() + READY_TIMEOUT_MS;
  const admin = new Pool(adminUrl);
  for (;;) {
    const outcome = await admin
      .request({
        method: 'POST',
        path: '/deployments',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ uri: serviceUrl }),
      })
      .then(async ({ statusCode, body }) => (statusCode < 300 ? true : await body.text()))
      .catch((error: unknown) => String(error));
    if (outcome === true) break;
    if (performance.now() > endMs) throw new Error(`restate did not take the service: ${outcome}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  await admin.destroy();
}
