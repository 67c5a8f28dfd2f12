import { freePort } from '@flexpush/stack';
import { PartitionProxy } from './partition-proxy';

const HOST = '127.0.0.1';
/** The one that can be cut off. */
const CUT_NAME = 'session-actor-1';

/** The proxies through which one session-actor of a stack reaches NATS and Redis. */
export class Proxies {
  readonly nodeId = CUT_NAME;

  private constructor(
    private readonly nats: { readonly port: number; readonly proxy: PartitionProxy },
    private readonly redis: { readonly port: number; readonly proxy: PartitionProxy },
  ) {}

  /** Chooses the ports of the servers, which must be known before the stack starts. */
  static async start(): Promise<Proxies> {
    const open = async (port: number) => ({
      port,
      proxy: await PartitionProxy.start({ host: HOST, port }),
    });
    return new Proxies(await open(await freePort()), await open(await freePort()));
  }

  /** To be given to the stack. */
  get stackOptions() {
    return {
      ports: { nats: this.nats.port, redis: this.redis.port },
      envByName: {
        [CUT_NAME]: {
          FLEXPUSH_NATS_URL: `nats://${HOST}:${this.nats.proxy.port}`,
          FLEXPUSH_REDIS_URL: `redis://${HOST}:${this.redis.proxy.port}`,
        },
      },
    };
  }

  cut(): void {
    for (const { proxy } of [this.nats, this.redis]) proxy.cut();
  }

  heal(): void {
    for (const { proxy } of [this.nats, this.redis]) proxy.heal();
  }

  async close(): Promise<void> {
    await this.nats.proxy.close();
    await this.redis.proxy.close();
  }
}
