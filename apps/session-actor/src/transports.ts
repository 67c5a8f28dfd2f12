import {
  parseJson,
  dispatchAnswerSchema,
  subjects,
  type DispatchAnswer,
  type PeerHeartbeat,
} from '@flexpush/contracts';
import type { Bus } from '@flexpush/nats-bus';
import type { GmsTransport, PeerTransport, ReplyTransport } from '@flexpush/actor-runtime';

/** The way to GMS nodes over NATS. */
export class NatsGmsTransport implements GmsTransport {
  constructor(
    private readonly bus: Bus,
    private readonly timeoutMs: number,
  ) {}

  async dispatch(
    nodeId: string,
    payload: string,
  ): Promise<DispatchAnswer | { status: 'no-responders' } | { status: 'timeout' }> {
    const answer = await this.bus.request(subjects.gmsPush(nodeId), payload, { timeoutMs: this.timeoutMs });
    if (answer.kind === 'no-responders') return { status: 'no-responders' };
    if (answer.kind === 'timeout') return { status: 'timeout' };
    const parsed = dispatchAnswerSchema.safeParse(parseJson(answer.text));
    return parsed.success ? parsed.data : { status: 'malformed', reason: 'the answer is not one' };
  }

  withdraw(nodeId: string, withdrawals: { subscription: string; n: number }[]): void {
    this.bus.publish(subjects.gmsWithdraw(nodeId), JSON.stringify({ v: 1, withdrawals }));
  }

  announceTerm(shard: number, term: number): void {
    this.bus.publish(subjects.gmsTerm, JSON.stringify({ v: 1, shard, term }));
  }
}

/** The way to the other session-actor nodes. */
export class NatsPeerTransport implements PeerTransport {
  constructor(
    private readonly bus: Bus,
    private readonly timeoutMs: number,
  ) {}

  beat(heartbeat: PeerHeartbeat): void {
    this.bus.publish(subjects.actorHeartbeat, JSON.stringify(heartbeat));
  }

  async probe(nodeId: string): Promise<'alive' | 'no-responders' | 'silent'> {
    const answer = await this.bus.request(subjects.actorProbe(nodeId), '', { timeoutMs: this.timeoutMs });
    if (answer.kind === 'no-responders') return 'no-responders';
    return answer.kind === 'answer' ? 'alive' : 'silent';
  }
}

export class NatsReplyTransport implements ReplyTransport {
  constructor(private readonly bus: Bus) {}

  reply(callerId: string, payload: string): void {
    this.bus.publish(subjects.reply(callerId), payload);
  }

  announce(sessionId: string, payload: string): void {
    this.bus.publish(subjects.notice(sessionId), payload);
  }
}
