import { parseCheckpoint } from '@flexpush/actor-runtime';
import { parseJson, shardOf, subjects } from '@flexpush/contracts';
import { ShardLog, waitForShardCount, type NatsBus } from '@flexpush/nats-bus';
import { connectRedis, StateStore, type RedisConnection } from '@flexpush/redis-store';
import { within } from './within';

/** What became of a stored record. `not-told`: nothing here knows; `not-folded`: nobody has judged it yet. */
export type Fate =
  | { kind: 'taken' }
  | { kind: 'refused'; reason: string }
  | { kind: 'not-told'; waitedMs: number }
  | { kind: 'not-folded'; waitedMs: number };

const SHARD_COUNT_TIMEOUT_MS = 5_000;
const LOOK_INTERVAL_MS = 25;
/** Records are folded within milliseconds; a takeover lasts about three seconds. */
const FOLD_WAIT_MS = 4_000;
/** Without Redis only refusals are told, and silence has to end somewhere. */
const REFUSAL_WAIT_MS = 1_000;

/**
 * Hears what becomes of the records of one chat that are stored while it is open. The log takes every event, also those of
 * chats that nobody knows; only the fold judges.
 *
 * F1. A dead letter is stored before the commit that passes its record. So a record that the checkpoint has passed, and
 *     whose dead letter is not here by then, was taken.
 */
export class FateWatch {
  private readonly letters = new Map<number, string>();
  private heard: () => void = () => undefined;

  private constructor(
    private readonly bus: NatsBus,
    private readonly shard: number,
    private readonly redis: RedisConnection | undefined,
  ) {}

  static async open(
    bus: NatsBus,
    { chatId, redisUrl }: { chatId: string; redisUrl: string | undefined },
  ): Promise<FateWatch> {
    const shard = shardOf(chatId, await waitForShardCount(bus, SHARD_COUNT_TIMEOUT_MS));
    const watch = new FateWatch(
      bus,
      shard,
      redisUrl === undefined ? undefined : connectRedis({ url: redisUrl }),
    );
    bus.subscribe(subjects.deadLetter(shard), (message) => {
      const { seq, reason } = (parseJson(message.text()) ?? {}) as { seq?: unknown; reason?: unknown };
      if (typeof seq !== 'number' || typeof reason !== 'string') return;
      watch.letters.set(seq, reason);
      watch.heard();
    });
    await bus.flush();
    return watch;
  }

  /** Waits a few seconds at most. */
  async of(seq: number): Promise<Fate> {
    const waitMs = this.redis === undefined ? REFUSAL_WAIT_MS : FOLD_WAIT_MS;
    const endMs = performance.now() + waitMs;
    while (performance.now() < endMs) {
      const isPassed = await this.isPassed(seq, endMs);
      // What the server has for us by now is here behind this (F1).
      if (isPassed) await this.bus.flush();
      const reason = this.letters.get(seq);
      if (reason !== undefined) return { kind: 'refused', reason };
      if (isPassed) return { kind: 'taken' };
      await this.pause(LOOK_INTERVAL_MS);
    }
    return { kind: this.redis === undefined ? 'not-told' : 'not-folded', waitedMs: waitMs };
  }

  close(): void {
    this.redis?.disconnect();
  }

  /** Has the fold passed this place of the log? A Redis that does not answer tells nothing. */
  private async isPassed(seq: number, endMs: number): Promise<boolean> {
    if (this.redis === undefined) return false;
    const asked = Promise.all([new StateStore(this.redis).checkpoints([this.shard]), this.logCreatedAt()]);
    const told = await within(Math.max(0, endMs - performance.now()), asked);
    if (told === undefined) return false;
    const [[stored = ''], createdAt] = told;
    const checkpoint = parseCheckpoint(stored);
    return checkpoint !== undefined && checkpoint.createdAt === createdAt && checkpoint.seq >= seq;
  }

  private async logCreatedAt(): Promise<string> {
    return (await (await ShardLog.open(this.bus)).state()).createdAt;
  }

  /** Ends early when a dead letter comes. */
  private pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, durationMs);
      this.heard = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const meanings: Readonly<Record<string, string>> = {
  'unknown-session': 'there is no such chat, or it ended more than 10 minutes ago',
  'session-ended': 'the chat is over',
  'unknown-participant': 'this user never joined the chat; publish participant.join first',
  'participant-left': 'this user has left the chat; publish participant.join again first',
  'already-joined': 'this user is in the chat already',
  'not-an-agent': 'this user is a customer, who joins by REST only',
  'silent-monitor': 'this user monitors the chat in silence and says nothing',
  'session-full': 'the chat has as many events as it may have',
  'too-many-participants': 'the chat has had as many participants as it may have',
};

/** A reason of a dead letter in plain words. */
export function refusalWords(reason: string): string {
  const meaning = meanings[reason];
  return meaning === undefined ? reason : `${meaning} (${reason})`;
}
