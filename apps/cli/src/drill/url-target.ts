import { setTimeout as sleep } from 'node:timers/promises';
import type { Kubectl } from './kubectl';
import type { Target, Victim, VictimKind } from './target';

const BACK_TIMEOUT_MS = 180_000;
const POLL_MS = 500;

export interface UrlTargetSettings {
  readonly chatApiUrl: string;
  readonly natsUrl: string;
  /** With it pods are deleted; without it a person is asked to break things. */
  readonly kubectl?: Kubectl | undefined;
  readonly onAsk: (text: string) => void;
}

/** A running system, known by the URLs of its chat-api and its NATS. */
export class UrlTarget implements Target {
  readonly description: string;
  readonly natsUrl: string;
  readonly chatApiUrls: readonly string[];

  constructor(private readonly settings: UrlTargetSettings) {
    this.description = settings.chatApiUrl;
    this.natsUrl = settings.natsUrl;
    this.chatApiUrls = [settings.chatApiUrl];
  }

  /** Faults come when a person makes them, so no time is measured from them. */
  get isByHand(): boolean {
    return this.settings.kubectl === undefined;
  }

  async victims(kind: VictimKind): Promise<readonly Victim[]> {
    const { kubectl, onAsk } = this.settings;
    if (!kubectl) return [askedVictim(kind, onAsk)];
    const pods = await kubectl.pods(kind);
    return pods.filter(({ isReady }) => isReady).map(({ name }) => podVictim(name, kind, kubectl));
  }

  /** A pod does not tell whether it is the master. */
  get redisMasters(): Target['redisMasters'] {
    const { kubectl, onAsk } = this.settings;
    return kubectl ? undefined : () => Promise.resolve([askedVictim('redis', onAsk, 'the Redis master')]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function podVictim(name: string, kind: VictimKind, kubectl: Kubectl): Victim {
  return {
    name,
    nodeId: name,
    kill: () => kubectl.killPod(name),
    drain: () => kubectl.stopPod(name),
    restart: async () => {
      const readyBefore = (await kubectl.pods(kind)).filter(({ isReady }) => isReady).length;
      await kubectl.stopPod(name);
      await untilReady(kubectl, kind, readyBefore);
    },
  };
}

async function untilReady(kubectl: Kubectl, kind: VictimKind, wanted: number): Promise<void> {
  const endMs = performance.now() + BACK_TIMEOUT_MS;
  for (;;) {
    const ready = (await kubectl.pods(kind)).filter(({ isReady }) => isReady).length;
    if (ready >= wanted) return;
    if (performance.now() > endMs)
      throw new Error(
        `only ${ready} of ${wanted} pods of ${kind} are ready after ${BACK_TIMEOUT_MS / 1_000} s`,
      );
    await sleep(POLL_MS);
  }
}

function askedVictim(kind: VictimKind, onAsk: (text: string) => void, who = `a ${kind}`): Victim {
  const ask = (what: string) => Promise.resolve(onAsk(`now ${what} yourself`));
  return {
    name: kind,
    kill: () => ask(`kill ${who}`),
    drain: () => ask(`stop ${who}`),
    restart: () => ask(`restart ${who}`),
    freeze: () => ask(`freeze ${who} (SIGSTOP) and let it go on`),
  };
}
