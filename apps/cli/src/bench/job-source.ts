import {
  dispatchAnswerSchema,
  gmsHeartbeatSchema,
  parseJson,
  pushResultsSchema,
  subjects,
  type TriggerJob,
} from '@flexpush/contracts';
import type { NatsBus } from '@flexpush/nats-bus';
import { sleep } from './wait';

const ACTOR_ID = 'bench-actor';
/** None that the stack's own session-actor has. */
const SHARD = 1_000_000;
const TERM = 1;
const JOBS_PER_DISPATCH = 256;
const REQUEST_TIMEOUT_MS = 10_000;
const BUSY_PAUSE_MS = 5;
const RETRY_MS = 1_000;
/** Sources so far: a node remembers the ids of an earlier one, and would answer them from memory. */
let sources = 0;

interface SourceOptions {
  /** The provider of a device, if it has one of its own. */
  readonly providerOf?: (device: number) => string | undefined;
  /** From a delivered trigger to the next one of its device. */
  readonly pauseMs?: number;
}

/** Plays the session-actor of some devices: each has one trigger on its way, and the next when that is settled. */
export class JobSource {
  private readonly waiting: number[];
  private readonly attempts: Uint32Array;
  private readonly subscription: { stop(): void };
  private readonly pauses = new Set<NodeJS.Timeout>();
  private wake: () => void = () => undefined;
  private stopped = false;
  private dispatching: Promise<void> = Promise.resolve();
  /** Outcomes of jobs, by their name. */
  readonly outcomes: Record<string, number> = {};
  private settled = 0;
  private taken = 0;

  /** Of settled jobs since `start`, by the number of their device. */
  readonly latencies: { device: number; ms: number }[] = [];
  private readonly sentAtMs: Float64Array;
  private readonly prefix = `chat-${process.pid}-${sources++}-`;

  constructor(
    private readonly bus: NatsBus,
    private readonly nodeId: string,
    devices: number,
    private readonly options: SourceOptions = {},
  ) {
    this.sentAtMs = new Float64Array(devices);
    this.waiting = Array.from({ length: devices }, (_, device) => device);
    this.attempts = new Uint32Array(devices);
    this.subscription = bus.subscribe(subjects.pushResult(ACTOR_ID), (message) => this.take(message.text()));
  }

  start(): void {
    this.bus.publish(subjects.gmsTerm, JSON.stringify({ v: 1, shard: SHARD, term: TERM }));
    this.dispatching = this.dispatchAll();
  }

  /** Takes back what has not started; resolves when nothing is on its way any more. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.wake();
    await this.dispatching;
    const withdrawals = [...this.attempts].map((n, device) => ({
      subscription: `${this.prefix}${device}:mira`,
      n,
    }));
    this.bus.publish(subjects.gmsWithdraw(this.nodeId), JSON.stringify({ v: 1, withdrawals }));
    while (this.settled < this.taken) await new Promise<void>((resolve) => (this.wake = resolve));
    this.subscription.stop();
    for (const pause of this.pauses) clearTimeout(pause);
  }

  private take(text: string): void {
    for (const { id, outcome } of pushResultsSchema.parse(parseJson(text)).results) {
      this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
      this.settled++;
      const device = Number(id.slice(this.prefix.length, id.indexOf(':')));
      this.latencies.push({ device, ms: performance.now() - (this.sentAtMs[device] ?? 0) });
      // As a schedule would: else what is refused at once would come again and again, and take the others' time.
      const pauseMs = outcome === 'delivered' ? (this.options.pauseMs ?? 0) : RETRY_MS;
      if (pauseMs === 0) this.waiting.push(device);
      else this.waitLater(device, pauseMs);
    }
    this.wake();
  }

  private waitLater(device: number, delayMs: number): void {
    const pause = setTimeout(() => {
      this.pauses.delete(pause);
      this.waiting.push(device);
      this.wake();
    }, delayMs);
    this.pauses.add(pause);
  }

  private async dispatchAll(): Promise<void> {
    while (!this.stopped) {
      const devices = this.waiting.splice(0, JOBS_PER_DISPATCH);
      if (devices.length === 0) await new Promise<void>((resolve) => (this.wake = resolve));
      else if (!(await this.dispatch(devices))) this.waiting.push(...devices);
    }
  }

  private async dispatch(devices: readonly number[]): Promise<boolean> {
    const jobs = devices.map((device) => this.nextJob(device));
    const payload = JSON.stringify({
      v: 1,
      actorId: ACTOR_ID,
      alias: '204',
      shards: [{ shard: SHARD, term: TERM, jobs }],
    });
    const message = await this.bus.connection.request(subjects.gmsPush(this.nodeId), payload, {
      timeout: REQUEST_TIMEOUT_MS,
    });
    const answer = dispatchAnswerSchema.parse(parseJson(message.string()));
    if (answer.status === 'malformed') throw new Error(`gms-node refused the jobs: ${answer.reason}`);
    if (answer.status === 'accepted' && answer.oldTerms.length > 0) throw new Error('the term is old');
    if (answer.status === 'accepted') this.taken += jobs.length;
    else await sleep(BUSY_PAUSE_MS);
    return answer.status === 'accepted';
  }

  private nextJob(device: number): TriggerJob {
    const n = (this.attempts[device] = (this.attempts[device] ?? 0) + 1);
    const provider = this.options.providerOf?.(device);
    this.sentAtMs[device] = performance.now();
    return {
      kind: 'trigger',
      id: `${this.prefix}${device}:mira:${n}`,
      n,
      attempt: 0,
      position: n,
      content: [],
      sessionId: `${this.prefix}${device}` as TriggerJob['sessionId'],
      userId: 'mira' as TriggerJob['userId'],
      service: 'support-web',
      deviceType: 'customhttp',
      deviceId: `device-${device}`,
      ...(provider === undefined ? {} : { provider }),
      debug: false,
      obfuscatedKey: 'Q2hhbmdlTWVOb3RSZWFsS2V5QnV0TG9uZ0Jhc2U2NENoYW5nZU1lTm90UmVhbEtleQ==',
      chatEnded: false,
      atMs: Date.now(),
    };
  }
}

/** The id of the first GMS node that is heard. */
export function firstGmsNode(bus: NatsBus): Promise<string> {
  return new Promise((resolve) => {
    const subscription = bus.subscribe(subjects.gmsHeartbeat, (message) => {
      const beat = gmsHeartbeatSchema.safeParse(parseJson(message.text()));
      if (!beat.success || beat.data.state !== 'ready') return;
      subscription.stop();
      resolve(beat.data.nodeId);
    });
  });
}
