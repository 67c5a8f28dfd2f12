import type { Stack } from '@flexpush/stack';
import { connectBus, type NatsBus } from '@flexpush/nats-bus';
import { subjects } from '@flexpush/contracts';
import { randomUUID } from 'node:crypto';
import { ChatClient, identityOf, pushUserData, type ChatIdentity } from '../chat-client';
import { printProgress } from '../output';
import { withOwnStack } from '../own-stack';
import { PushReceiver, type ReceivedPush } from '../push-receiver';
import { atLeast, atMost, toBenchResult, type BenchResult } from './bench-result';
import { CpuMeter } from './cpu';
import { percentile, round, spread } from './statistics';

export interface E2eSettings {
  readonly seconds: number;
  readonly sessions: number;
  readonly inFlight: number;
  readonly repeats: number;
}

const RATE_BAR_PER_S = 1_500;
const P50_BAR_MS = 10;
const LATENCY_RATE_PER_S = 100;
const PUSH_TIMEOUT_MS = 10_000;
const SET_UP_PARALLEL = 32;

/** One chat of the load: at most one event of it is on its way. */
interface Chat {
  identity: ChatIdentity;
  published: ((push: ReceivedPush) => void) | undefined;
}

interface Phase {
  triggers: number;
  lost: number;
  seconds: number;
  latenciesMs: number[];
  cpuUsPerTrigger: Record<string, number>;
}

/**
 * Publish over NATS -> reliable trigger received over HTTP, through every service, all on this machine. The load and the
 * receiver are this process. Without and with a refresh by REST after each trigger.
 */
export async function runE2e(settings: E2eSettings): Promise<BenchResult> {
  const chats = new Map<string, Chat>();
  const receiver = await PushReceiver.start((push) => {
    const userData = (
      JSON.parse(push.text) as { message: { messages: { userData: Record<string, string> }[] } }
    ).message.messages[0]?.userData;
    const chat = chats.get(userData?.['session-id'] ?? '');
    const { published } = chat ?? {};
    if (!chat || !published || userData?.['notify-attempt'] !== '0') return;
    chat.published = undefined;
    published(push);
  });
  try {
    return await withOwnStack(
      {
        stack: { logLevel: 'warn' },
        options: [
          ['settings', 'flex-push-on-join', 'true'],
          ['push', 'pushEnabled', 'customhttp'],
          ['push', 'customhttp.url', receiver.url],
        ],
      },
      (stack) => measure(stack, chats, settings),
    );
  } finally {
    await receiver.close();
  }
}

async function measure(stack: Stack, chats: Map<string, Chat>, settings: E2eSettings): Promise<BenchResult> {
  const client = new ChatClient(stack.chatApiUrl ?? '');
  const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-bench' });
  const load = new Load(stack, bus, client, chats);
  try {
    printProgress(`starting ${settings.sessions} chats`);
    await load.startChats(settings.sessions);
    printProgress('warming up');
    await load.closedLoop({ seconds: 3, inFlight: settings.inFlight, refresh: false });
    const plain: Phase[] = [];
    const refreshed: Phase[] = [];
    for (let i = 1; i <= settings.repeats; i++) {
      printProgress(
        `run ${i} of ${settings.repeats}: ${settings.seconds} s without and ${settings.seconds} s with a refresh after each trigger`,
      );
      plain.push(
        await load.closedLoop({ seconds: settings.seconds, inFlight: settings.inFlight, refresh: false }),
      );
      refreshed.push(
        await load.closedLoop({ seconds: settings.seconds, inFlight: settings.inFlight, refresh: true }),
      );
    }
    printProgress(`latency at ${LATENCY_RATE_PER_S}/s for ${settings.seconds} s`);
    const paced = await load.openLoop({ seconds: settings.seconds, perSecond: LATENCY_RATE_PER_S });
    return toResult({ plain, refreshed, paced }, settings);
  } finally {
    await bus.close();
    await client.close();
  }
}

function toResult(
  phases: { plain: Phase[]; refreshed: Phase[]; paced: Phase },
  settings: E2eSettings,
): BenchResult {
  const { plain, refreshed, paced } = phases;
  const rate = spread(plain.map(({ triggers, seconds }) => triggers / seconds));
  const lost = [...plain, ...refreshed, paced].reduce((sum, phase) => sum + phase.lost, 0);
  const p50Ms = round(percentile(paced.latenciesMs, 50));
  const bars = [
    atLeast('reliable triggers/s, sustained', rate.median, RATE_BAR_PER_S),
    atMost(`p50 ms at ${LATENCY_RATE_PER_S}/s`, p50Ms, P50_BAR_MS),
    atMost('triggers lost', lost, 0),
  ];
  return toBenchResult('e2e', bars, {
    sessions: settings.sessions,
    inFlight: settings.inFlight,
    sustained: { triggersPerS: rate, ...latencies(plain), cpuUsPerTrigger: plain.at(-1)?.cpuUsPerTrigger },
    sustainedWithRefresh: {
      triggersPerS: spread(refreshed.map(({ triggers, seconds }) => triggers / seconds)),
      ...latencies(refreshed),
      cpuUsPerTrigger: refreshed.at(-1)?.cpuUsPerTrigger,
    },
    paced: { perSecond: LATENCY_RATE_PER_S, ...latencies([paced]), triggers: paced.triggers },
    lost,
  });
}

function latencies(phases: readonly Phase[]): { p50Ms: number; p99Ms: number } {
  const all = phases.flatMap(({ latenciesMs }) => latenciesMs);
  return { p50Ms: round(percentile(all, 50)), p99Ms: round(percentile(all, 99)) };
}

/** Publishes events and waits for their triggers. */
class Load {
  private readonly processes: { name: string; pid: number }[];

  constructor(
    stack: Stack,
    private readonly bus: NatsBus,
    private readonly client: ChatClient,
    private readonly chats: Map<string, Chat>,
  ) {
    const run = stack.run();
    this.processes = [
      ...run.services.map(({ name, pid }) => ({ name, pid })),
      { name: 'nats', pid: run.nats.pid },
      { name: 'redis', pid: run.redis.pid },
      { name: 'load+receiver', pid: process.pid },
    ];
  }

  /** Chats with a reliable subscription each, and an agent in each, all refreshed once. */
  async startChats(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, (_, i) => i);
    await inParallel(numbers, SET_UP_PARALLEL, async (i) => {
      const identity = identityOf(
        await this.client.requestChat({ nickname: `Load ${i}` }, pushUserData(`device-${i}`)),
      );
      const chat: Chat = { identity, published: undefined };
      this.chats.set(identity.chatId, chat);
      await this.publish(chat, {
        type: 'participant.join',
        userId: 'agent',
        nickname: 'Agent',
        participantType: 'Agent',
      });
      await this.client.call('refresh', identity, { transcriptPosition: '1' });
    });
  }

  /** As many events at once as `inFlight`; each worker publishes, waits for the trigger and goes on. */
  async closedLoop(settings: { seconds: number; inFlight: number; refresh: boolean }): Promise<Phase> {
    const phase = this.newPhase();
    const idle = [...this.chats.values()];
    const endMs = performance.now() + settings.seconds * 1000;
    const worker = async (): Promise<void> => {
      while (performance.now() < endMs) {
        const chat = idle.shift();
        if (!chat) return;
        await this.once(chat, phase, settings.refresh);
        idle.push(chat);
      }
    };
    const meter = new CpuMeter(this.processes);
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: settings.inFlight }, worker));
    phase.seconds = (performance.now() - startedMs) / 1000;
    phase.cpuUsPerTrigger = meter.perItemUs(phase.triggers);
    return phase;
  }

  /** Events at a fixed rate, whatever comes back; latency counts from the moment each was due. */
  async openLoop(settings: { seconds: number; perSecond: number }): Promise<Phase> {
    const phase = this.newPhase();
    const idle = [...this.chats.values()];
    const startedMs = performance.now();
    const running: Promise<void>[] = [];
    for (let i = 0; i < settings.seconds * settings.perSecond; i++) {
      const waitMs = startedMs + (i * 1000) / settings.perSecond - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const chat = idle.shift();
      if (!chat) break;
      running.push(this.once(chat, phase, true).then(() => void idle.push(chat)));
    }
    await Promise.all(running);
    phase.seconds = (performance.now() - startedMs) / 1000;
    return phase;
  }

  private newPhase(): Phase {
    return { triggers: 0, lost: 0, seconds: 0, latenciesMs: [], cpuUsPerTrigger: {} };
  }

  private async once(chat: Chat, phase: Phase, refresh: boolean): Promise<void> {
    const startedAtMs = performance.timeOrigin + performance.now();
    let timer: NodeJS.Timeout | undefined;
    const received = new Promise<ReceivedPush | undefined>((resolve) => {
      chat.published = resolve;
      timer = setTimeout(() => resolve(undefined), PUSH_TIMEOUT_MS);
    });
    await this.publish(chat, { type: 'message.send', userId: 'agent', text: 'How can I help you today?' });
    const push = await received;
    clearTimeout(timer);
    chat.published = undefined;
    if (!push) {
      phase.lost++;
      return;
    }
    phase.triggers++;
    phase.latenciesMs.push(push.atMs - startedAtMs);
    if (refresh) await this.client.call('refresh', chat.identity, { transcriptPosition: '1000000' });
  }

  private async publish(chat: Chat, event: Record<string, string>): Promise<void> {
    const { chatId } = chat.identity;
    const id = randomUUID();
    await this.bus.connection
      .jetstream()
      .publish(subjects.event(chatId), JSON.stringify({ v: 1, id, sessionId: chatId, ...event }), {
        msgID: id,
      });
  }
}

async function inParallel<T>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await task(items[next++] as T);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
