import { setTimeout as sleep } from 'node:timers/promises';
import { connectBus, openOptionStore } from '@flexpush/nats-bus';
import { prepareStack, redisCommand, waitHttpReady, type ManagedProcess, type Stack } from '@flexpush/stack';
import { makeTemporaryFolder, removeTemporaryFolder } from '../temporary-folder';
import type { StackNeeds } from './drill';
import { Proxies } from './proxies';
import { Reviver } from './reviver';
import type { Target, Victim, VictimKind } from './target';

const READY_TIMEOUT_MS = 60_000;
/** Of what a node says that is not ready. */
const READINESS_CHARS = 300;
/** How long a killed process stays away: as fast as a cluster that has the image at hand. */
const REVIVE_AFTER_MS = 4_000;

/** Several of each, so that each has peers that can go on. */
const counts = {
  'session-actor': 3,
  'gms-node': 2,
  'resend-timer': 2,
  'gms-registry': 2,
  'chat-api': 2,
  'sample-receiver': 0,
} as const;

/** Short delays, so that resends are seen; no inactivity, which the customers of a drill would run into. */
export const ownOptions = [
  ['settings', 'flex-push-on-join', 'true'],
  ['push', 'pushEnabled', 'customhttp'],
  ['settings', 'flex-push-resend-delay', '2'],
  ['settings', 'flex-push-resend-attempts', '10'],
  ['settings', 'flex-push-timeout', '86400'],
] as const;

/** A stack of the drill's own, in a temporary folder and on free ports. `close()` leaves nothing behind. */
export class OwnTarget implements Target {
  readonly description = 'a stack of its own';
  readonly isOwn = true;

  private constructor(
    private readonly stack: Stack,
    private readonly reviver: Reviver,
    private readonly proxies: Proxies | undefined,
  ) {}

  static async start(
    needs: StackNeeds,
    stopped: AbortSignal,
    onEvent: (text: string) => void,
  ): Promise<OwnTarget> {
    const dir = makeTemporaryFolder('flexpush-drill-');
    const proxies = needs.proxied === true ? await Proxies.start() : undefined;
    const stack = await prepareStack({
      dir,
      counts: { ...counts, 'session-actor': needs.sessionActors ?? counts['session-actor'] },
      redis: needs.redis,
      natsServers: needs.natsServers,
      supervise: false,
      logLevel: 'warn',
      ...proxies?.stackOptions,
    });
    const target = new OwnTarget(stack, new Reviver(REVIVE_AFTER_MS, onEvent), proxies);
    const stop = () => void stack.stop();
    stopped.addEventListener('abort', stop, { once: true });
    try {
      await stack.start();
      stopped.throwIfAborted();
      await target.prepare();
      return target;
    } catch (error) {
      await target.close();
      throw error;
    }
  }

  get natsUrl(): string {
    return this.stack.natsUrl;
  }

  get chatApiUrls(): readonly string[] {
    return this.stack.servicesOf('chat-api').map(({ url }) => url);
  }

  victims(kind: VictimKind): Promise<readonly Victim[]> {
    const running = this.processesOf(kind).filter(({ currentPid }) => currentPid !== undefined);
    return Promise.resolve(running.map((process) => this.victim(process)));
  }

  /** The session-actors that are not ready, and what they say of it. */
  async notReady(): Promise<string[]> {
    const answers = this.stack.servicesOf('session-actor').map(async ({ name, url }) => {
      const answer = await fetch(`${url}/readyz`).catch(() => undefined);
      if (answer?.ok) return [];
      return [`${name}: ${answer ? (await answer.text()).slice(0, READINESS_CHARS) : 'no answer'}`];
    });
    return (await Promise.all(answers)).flat();
  }

  /** `http://127.0.0.1:<port>` of each session-actor. */
  get sessionActorUrls(): readonly string[] {
    return this.stack.servicesOf('session-actor').map(({ url }) => url);
  }

  /** Everything of the stack that runs now, and this process. */
  processes(): { name: string; pid: number }[] {
    const { services, nats, redis } = this.stack.run();
    return [
      ...services,
      { name: 'nats', pid: nats.pid },
      { name: 'redis', pid: redis.pid },
      { name: 'load', pid: process.pid },
    ].map(({ name, pid }) => ({ name, pid }));
  }

  get partition(): Target['partition'] {
    return this.proxies;
  }

  async redisMasters(): Promise<readonly Victim[]> {
    const masters = await this.stack.redisGroup.masters();
    return masters.map((server) => this.victim(server));
  }

  async wipeRedis(): Promise<void> {
    const masters = await this.stack.redisGroup.masters();
    await Promise.all(masters.map(({ port }) => redisCommand(port, 'FLUSHALL')));
  }

  async close(): Promise<void> {
    await this.reviver.stop();
    this.proxies?.heal();
    await this.stack.stop();
    await this.proxies?.close();
    removeTemporaryFolder(this.stack.dir);
  }

  private async prepare(): Promise<void> {
    const bus = await connectBus({ url: this.natsUrl, name: 'flexpush-drill-set-up' });
    const store = await openOptionStore(bus);
    for (const [section, name, value] of ownOptions) await store.set(section, name, value);
    store.close();
    await bus.close();
    // A session-actor is ready again when all its shards fold with the new options.
    await Promise.all(
      this.stack
        .servicesOf('session-actor')
        .map(({ url }) => waitHttpReady(url, { timeoutMs: READY_TIMEOUT_MS })),
    );
    for (const process of [...this.stack.services, ...this.stack.servers]) this.reviver.watch(process);
  }

  private processesOf(kind: VictimKind): readonly ManagedProcess[] {
    if (kind === 'nats') return this.stack.natsGroup.servers;
    if (kind === 'redis') return this.stack.redisGroup.servers;
    return this.stack.servicesOf(kind);
  }

  private victim(process: ManagedProcess): Victim {
    return {
      name: process.name,
      nodeId: process.name,
      kill: () => {
        this.reviver.expect(process.name);
        return process.kill();
      },
      restart: async () => {
        await process.stop();
        await process.start();
      },
      drain: async () => {
        await process.stop();
        this.reviver.startLater(process);
      },
      freeze: async (durationMs) => {
        await process.kill('SIGSTOP');
        await sleep(durationMs).finally(() => process.kill('SIGCONT'));
      },
    };
  }
}
