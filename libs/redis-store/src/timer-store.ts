import { keys } from './keys';
import type { RedisConnection } from './redis';

export type Claim =
  | { kind: 'held' }
  | { kind: 'claimed'; timers: [member: string, scoreMs: number][]; nextDueAtMs: number | undefined };

/** Claims due timers. Members are added and removed only by the commit (DESIGN section 8). */
export class TimerStore {
  constructor(private readonly redis: RedisConnection) {}

  /** At most `limit` timers whose due time is not after `nowMs`, the earliest first; each with the score it had. */
  async claimDue(
    shard: number,
    options: { nowMs: number; visibilityMs: number; limit: number },
  ): Promise<Claim> {
    const { nowMs, visibilityMs, limit } = options;
    const answer = await this.redis.claimDue(
      2,
      [keys.timers(shard), keys.hold(shard)],
      [nowMs, nowMs + visibilityMs, limit],
    );
    if (answer[0] === 'held') return { kind: 'held' };
    const timers: [string, number][] = [];
    for (let i = 2; i + 1 < answer.length; i += 2) timers.push([answer[i] as string, Number(answer[i + 1])]);
    return { kind: 'claimed', timers, nextDueAtMs: answer[1] ? Number(answer[1]) : undefined };
  }
}
