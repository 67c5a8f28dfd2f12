import { freePort } from '@flexpush/stack';
import { Pool } from 'undici';
import { inParallel } from '../drill/load';
import { makeTemporaryFolder, removeTemporaryFolder } from '../temporary-folder';
import { BenchProcess } from './bench-process';
import type { NamedProcess } from './cpu';
import type { RestateServiceSettings } from './processes/restate-service';
import { CONFIRM_CONNECTIONS, type ReliableSystem } from './reliable-load';
import { RestateServer } from './restate-server';
import { until } from './wait';

const REGISTER_MAX_MS = 60_000;
const LOOK_MS = 100;
const SET_UP_PARALLEL = 64;
const POST_CONNECTIONS = 128;
const TEXT = 'How can I help you today?';

/** Restate with its defaults, one node, and the job as one of its virtual objects. Events and confirms go to its ingress. */
export class RestateSystem implements ReliableSystem {
  readonly name = 'restate';

  private constructor(
    private readonly dir: string,
    private readonly server: RestateServer,
    private readonly service: BenchProcess,
    private readonly ingress: Pool,
  ) {}

  get processes(): readonly NamedProcess[] {
    return [
      { name: 'restate-server', pid: this.server.currentPid ?? 0 },
      { name: 'restate-service', pid: this.service.pid },
    ];
  }

  static async start(): Promise<RestateSystem> {
    const port = await freePort();
    const dir = makeTemporaryFolder('flexpush-restate-');
    const server = await RestateServer.prepare(dir);
    const service = await BenchProcess.start('restate-service', {
      port,
      connections: POST_CONNECTIONS,
    } satisfies RestateServiceSettings);
    const ingress = new Pool(server.ingressUrl, { connections: CONFIRM_CONNECTIONS });
    const system = new RestateSystem(dir, server, service, ingress);
    try {
      await server.start();
      await register(server.adminUrl, `http://127.0.0.1:${port}`);
      return system;
    } catch (error) {
      await system.close();
      throw error;
    }
  }

  /** SIGKILL. Whatever is asked until `restart` fails. */
  async kill(): Promise<void> {
    await this.server.kill();
  }

  /** On the same data; resolves when it says that it is well. */
  async restart(): Promise<void> {
    await this.server.start();
  }

  async open(count: number, receiverUrl: string): Promise<readonly string[]> {
    const ids = Array.from({ length: count }, (_, n) => `chat-${n}`);
    await inParallel(ids, SET_UP_PARALLEL, (id) => this.call(`/Session/${id}/open`, { url: receiverUrl }));
    return ids;
  }

  /** With a key it may be asked again when the answer got lost. */
  publish(chatId: string, idempotencyKey?: string): Promise<void> {
    return this.call(`/Session/${chatId}/event/send`, { text: TEXT }, idempotencyKey);
  }

  confirm(chatId: string): Promise<void> {
    return this.call(`/Session/${chatId}/confirm`);
  }

  async close(): Promise<void> {
    await this.ingress.destroy();
    await this.server.stop();
    await this.service.stop();
    removeTemporaryFolder(this.dir);
  }

  private async call(path: string, body?: object, idempotencyKey?: string): Promise<void> {
    const { statusCode, body: answer } = await this.ingress.request({
      method: 'POST',
      path,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (statusCode >= 300)
      throw new Error(`restate answered ${statusCode} to ${path}: ${await answer.text()}`);
    await answer.dump();
  }
}

/** Tells the server where the service is. It may answer before it can do that. */
async function register(adminUrl: string, serviceUrl: string): Promise<void> {
  const admin = new Pool(adminUrl);
  let problem = '';
  try {
    await until(
      async () => {
        const { statusCode, body } = await admin.request({
          method: 'POST',
          path: '/deployments',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ uri: serviceUrl }),
        });
        problem = await body.text();
        return statusCode < 300;
      },
      'restate did not take the service',
      { lookMs: LOOK_MS, maxMs: REGISTER_MAX_MS },
    );
  } catch (error) {
    throw new Error(`restate did not take the service: ${problem}`, { cause: error });
  } finally {
    await admin.destroy();
  }
}
