import { keys } from './keys';
import type { RedisConnection } from './redis';

export type Claim =
  | { kind: 'held' }
  /** The shard is not folded as far as it has to be. */
  | { kind: 'behind' }
  | { kind: 'claimed'; timers: [member: string, scoreMs: number][]; nextDueAtMs: number | undefined };

/** Claims due timers. Members are added and removed only by the commit (DESIGN section 8). */
export class TimerStore {
  constructor(private readonly redis: RedisConnection) {}

  /**
   * At most `limit` timers whose due time is not after `nowMs`, the earliest first; each with the score it had. None while
   * the checkpoint stands before `foldedTo`, a sequence of the log.
   */
  async claimDue(
    shard: number,
    options: { nowMs: number; visibilityMs: number; limit: number; foldedTo?: number | undefined },
  ): Promise<Claim> {
    const { nowMs, visibilityMs, limit, foldedTo } = options;
    const answer = await this.redis.claimDue(
      3,
      [keys.timers(shard), keys.hold(shard), keys.checkpoint(shard)],
      [nowMs, nowMs + visibilityMs, limit, foldedTo ?? ''],
    );
    if (answer[0] === 'held' || answer[0] === 'behind') return { kind: answer[0] };
    const timers: [string, number][] = [];
    for (let i = 2; i + 1 < answer.length; i += 2) timers.push([answer[i] as string, Number(answer[i + 1])]);
    return { kind: 'claimed', timers, nextDueAtMs: answer[1] ? Number(answer[1]) : undefined };
  }
}
