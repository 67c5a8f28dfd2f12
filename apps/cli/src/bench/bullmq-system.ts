import { startRedis, type RedisServer } from '@flexpush/stack';
import { Queue } from 'bullmq';
import { Pool } from 'undici';
import { makeTemporaryFolder, removeTemporaryFolder } from '../temporary-folder';
import { BenchProcess } from './bench-process';
import type { NamedProcess } from './cpu';
import type { BullmqReliableSettings, ReliablePush } from './processes/bullmq-reliable';
import { CONFIRM_CONNECTIONS, type ReliableSystem } from './reliable-load';

const QUEUE = 'reliable';
/** Jobs that its worker has under way; with more it is no faster. */
const CONCURRENCY = 128;
const TEXT = 'How can I help you today?';

/** BullMQ doing the same job, on a Redis of its own that is configured as that of the product is. */
export class BullmqSystem implements ReliableSystem {
  readonly name = 'bullmq';
  private app: BenchProcess | undefined;
  private confirms: Pool | undefined;
  private readonly counts = new Map<string, number>();

  private constructor(
    private readonly dir: string,
    private readonly redis: RedisServer,
    private readonly queue: Queue<ReliablePush>,
  ) {}

  get processes(): readonly NamedProcess[] {
    const redis = { name: 'bullmq-redis', pid: this.redis.pid };
    return this.app ? [redis, { name: 'bullmq-worker', pid: this.app.pid }] : [redis];
  }

  static async start(): Promise<BullmqSystem> {
    const dir = makeTemporaryFolder('flexpush-bullmq-');
    const redis = await startRedis({ dir, name: 'bullmq-redis' });
    const queue = new Queue<ReliablePush>(QUEUE, {
      connection: { host: '127.0.0.1', port: redis.port },
    });
    return new BullmqSystem(dir, redis, queue);
  }

  /** There is nothing to open: a chat is a name. */
  async open(count: number, receiverUrl: string): Promise<readonly string[]> {
    const { redis } = this;
    this.app = await BenchProcess.start('bullmq-reliable', {
      redisPort: redis.port,
      queue: QUEUE,
      url: receiverUrl,
      concurrency: CONCURRENCY,
    } satisfies BullmqReliableSettings);
    this.confirms = new Pool(await this.app.ask<string>('url'), { connections: CONFIRM_CONNECTIONS });
    return Array.from({ length: count }, (_, n) => `chat-${n}`);
  }

  async publish(chatId: string): Promise<void> {
    const n = (this.counts.get(chatId) ?? 0) + 1;
    this.counts.set(chatId, n);
    await this.queue.add('push', { chatId, n, text: TEXT }, { jobId: `${chatId}-${n}` });
  }

  async confirm(chatId: string): Promise<void> {
    const path = `/confirm/${chatId}-${this.counts.get(chatId)}`;
    const answer = await this.confirms?.request({ method: 'POST', path });
    await answer?.body.dump();
    if (answer?.statusCode !== 200) throw new Error(`the confirm was answered ${answer?.statusCode}`);
  }

  async close(): Promise<void> {
    await this.confirms?.destroy();
    await this.app?.stop();
    await this.queue.close();
    await this.redis.stop();
    removeTemporaryFolder(this.dir);
  }
}
