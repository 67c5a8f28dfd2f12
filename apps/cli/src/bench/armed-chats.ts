import { shardOf } from '@flexpush/contracts';
import { openOptionStore, waitForShardCount, type NatsBus } from '@flexpush/nats-bus';
import { connectRedis, keys } from '@flexpush/redis-store';
import type { Stack } from '@flexpush/stack';
import { CUSTOMER, LogFill } from './log-fill';
import { idsLikeReal } from './timer-shapes';
import { until } from './wait';

type Redis = ReturnType<typeof connectRedis>;

const TIMEOUT_OPTION = 'flex-disconnect-timeout';
/** In seconds: what customers are given when they refresh, and when their timers fire. */
const SHORT_TIMEOUT_S = 1;
const LONG_TIMEOUT_S = 1_728_000;
/** Nobody looks at it meanwhile, and the audit of the session-actor does not find it too far away. */
const PARKED_MS = 600_000;
/** Whatever is due within this is still to be fired or folded. */
const NEAR_MS = 3_600_000;
/** Due times of timers that only wait. */
const FAR_MS = 2 * 86_400_000;
/** A timer is never due sooner than a second after it was written, and resend-timer counts on it. */
const LEAD_MIN_MS = 1_500;
const ARM_US = 20;
const ARM_TRIES_MAX = 5;
const MEMBERS_PER_WRITE = 1_000;
const LOOKS = { lookMs: 25, maxMs: 120_000 };

/**
 * Chats whose timers are due when the bench wants it. What fires is the inactivity timer of a customer who polls, which is
 * lazy: a request only notes its time, and the fire, which finds that the time-out has not passed, arms the timer anew.
 * So each fire is a whole one, with session read, folded and committed and its timer moved, and nothing is pushed.
 *
 * The customers refresh while the time-out is a second, and their timers fire while it is twenty days. In between the
 * bench moves the scores to the times it wants, behind the due time, as a claim would whose record got lost. The
 * resend-timer must not run from `refresh` until `park`.
 */
export class ArmedChats {
  private readonly sessionIds: string[] = [];
  private fillers = 0;

  private constructor(
    private readonly bus: NatsBus,
    private readonly redis: Redis,
    readonly shardCount: number,
    private readonly fill: LogFill,
  ) {}

  static async open(bus: NatsBus, stack: Stack): Promise<ArmedChats> {
    const redis = connectRedis({ url: stack.redisUrl });
    return new ArmedChats(bus, redis, await waitForShardCount(bus), await LogFill.open(bus));
  }

  close(): void {
    this.redis.disconnect();
  }

  /**
   * Timers that only wait, up to so many, written into Redis as the commit writes them. A million of them as chats would
   * need minutes and gigabytes, and to the ones that fire they look the same: members of the same sorted sets.
   */
  async addPending(count: number): Promise<void> {
    const firstAtMs = Date.now() + FAR_MS;
    while (this.fillers < count) {
      const first = this.fillers;
      this.fillers = Math.min(count, first + MEMBERS_PER_WRITE);
      const members = Array.from({ length: this.fillers - first }, (_, i) => {
        const { sessionId, userId } = idsLikeReal(first + i);
        const member = `resend:${sessionId}:${userId}`;
        return { shard: shardOf(sessionId, this.shardCount), member, atMs: firstAtMs + first + i };
      });
      await this.write(members);
    }
  }

  /** The first `count` customers refresh; chats that are missing are opened. They are folded and parked afterwards. */
  async prepare(count: number): Promise<void> {
    await this.setTimeout(SHORT_TIMEOUT_S);
    await this.fill.refreshChats(this.sessionIds.slice(0, count));
    const missing = Math.max(0, count - this.sessionIds.length);
    for (const sessionId of await this.fill.openChats(missing)) this.sessionIds.push(sessionId);
    // Every shard folds it behind the records above.
    await this.setTimeout(LONG_TIMEOUT_S);
    const near = await this.countNear();
    if (near !== count) throw new Error(`${near} timers are armed instead of ${count}`);
    await this.write(this.members(count, () => Date.now() + PARKED_MS));
  }

  /** Moves the timers to their times, from one on, evenly spread; at 0 ms all are due at once. */
  async arm(count: number, spreadMs: number): Promise<{ armed: Map<string, number>; firstDueAtMs: number }> {
    let leadMs = LEAD_MIN_MS + (count * ARM_US) / 1_000;
    for (let tries = 0; tries < ARM_TRIES_MAX; tries++, leadMs *= 2) {
      const firstDueAtMs = Date.now() + Math.ceil(leadMs);
      const members = this.members(count, (n) => firstDueAtMs + Math.floor((n * spreadMs) / count));
      await this.write(members);
      if (Date.now() + LEAD_MIN_MS / 2 < firstDueAtMs)
        return { armed: new Map(members.map(({ member, atMs }) => [member, atMs])), firstDueAtMs };
    }
    throw new Error('the timers could not be written in time');
  }

  /** Timers that are not fired, or not folded yet. */
  async countNear(): Promise<number> {
    const pipeline = this.redis.pipeline();
    for (let shard = 0; shard < this.shardCount; shard++)
      pipeline.zcount(keys.timers(shard), '-inf', Date.now() + NEAR_MS);
    return sumOf(await pipeline.exec());
  }

  private members(count: number, atMsOf: (n: number) => number): Member[] {
    return this.sessionIds.slice(0, count).map((sessionId, n) => ({
      shard: shardOf(sessionId, this.shardCount),
      member: `disconnect:${sessionId}:${CUSTOMER}`,
      atMs: atMsOf(n),
    }));
  }

  private async write(members: readonly Member[]): Promise<void> {
    for (let first = 0; first < members.length; first += MEMBERS_PER_WRITE) {
      const pipeline = this.redis.pipeline();
      for (const { shard, member, atMs } of members.slice(first, first + MEMBERS_PER_WRITE))
        pipeline.zadd(keys.timers(shard), atMs, member);
      sumOf(await pipeline.exec());
    }
  }

  /** Resolves when every shard folds with it. */
  private async setTimeout(seconds: number): Promise<void> {
    const store = await openOptionStore(this.bus);
    const set = await store.set('settings', TIMEOUT_OPTION, String(seconds));
    store.close();
    if (set.kind === 'refused') throw new Error(set.reason);
    const isSo = () => this.allFoldWith(seconds);
    await until(isSo, 'the shards do not fold with the new option', LOOKS);
  }

  private async allFoldWith(seconds: number): Promise<boolean> {
    const texts = await Promise.all(
      Array.from({ length: this.shardCount }, (_, shard) => this.redis.get(keys.options(shard))),
    );
    return texts.every((text) => {
      const { values } = JSON.parse(text ?? '{"values":{}}') as { values: Record<string, string> };
      return values[`settings/${TIMEOUT_OPTION}`] === String(seconds);
    });
  }
}

interface Member {
  readonly shard: number;
  readonly member: string;
  readonly atMs: number;
}

function sumOf(answers: readonly [error: Error | null, value: unknown][] | null): number {
  let sum = 0;
  for (const [error, value] of answers ?? []) {
    if (error) throw error;
    sum += Number(value);
  }
  return sum;
}
