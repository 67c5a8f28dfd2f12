import type {
  Dispatch,
  DispatchAnswer,
  GmsNode,
  GmsView,
  PushJob,
  PushOutcome,
  PushResults,
} from '@flexpush/contracts';
import type { GmsTransport } from '../ports';

type Answer = Awaited<ReturnType<GmsTransport['dispatch']>>;

/** One dispatch as a GMS node got it. */
export interface Received {
  nodeId: string;
  shard: number;
  term: number;
  job: PushJob;
}

/**
 * The GMS nodes in memory. A node accepts everything unless a test says otherwise; jobs under an older term than the
 * highest one heard of are refused, as the real node does.
 */
export class MemoryGms implements GmsTransport {
  /** Jobs that were accepted, in order. */
  readonly accepted: Received[] = [];
  readonly withdrawals: { nodeId: string; subscription: string; n: number }[] = [];
  readonly announced: { shard: number; term: number }[] = [];
  /** Payload lengths and job counts of every request. */
  readonly requests: { nodeId: string; chars: number; jobs: number }[] = [];
  private readonly terms = new Map<number, number>();
  private readonly scripted = new Map<string, (Answer | Promise<Answer>)[]>();
  private readonly constant = new Map<string, Answer>();

  /** The next requests to the node are answered so, one after the other. */
  script(nodeId: string, ...answers: (Answer | Promise<Answer>)[]): void {
    this.scripted.set(nodeId, [...(this.scripted.get(nodeId) ?? []), ...answers]);
  }

  /** From now on every request to the node is answered so; undefined: it accepts again. */
  always(nodeId: string, answer: Answer | undefined): void {
    if (answer) this.constant.set(nodeId, answer);
    else this.constant.delete(nodeId);
  }

  async dispatch(nodeId: string, payload: string): Promise<Answer> {
    const dispatch = JSON.parse(payload) as Dispatch;
    const jobs = dispatch.shards.reduce((sum, shard) => sum + shard.jobs.length, 0);
    this.requests.push({ nodeId, chars: payload.length, jobs });
    const scripted = this.scripted.get(nodeId)?.shift() ?? this.constant.get(nodeId);
    const answer = await scripted;
    return answer && answer.status !== 'accepted' ? answer : this.accept(nodeId, dispatch);
  }

  withdraw(nodeId: string, withdrawals: { subscription: string; n: number }[]): void {
    for (const withdrawal of withdrawals) this.withdrawals.push({ nodeId, ...withdrawal });
  }

  announceTerm(shard: number, term: number): void {
    this.announced.push({ shard, term });
    this.note(shard, term);
  }

  /** Ids as accepted by a node, or by all. */
  ids(nodeId?: string): string[] {
    return this.accepted
      .filter((one) => nodeId === undefined || one.nodeId === nodeId)
      .map(({ job }) => job.id);
  }

  /** The results message of a node for these ids. */
  results(nodeId: string, shard: number, outcomes: Record<string, PushOutcome>): PushResults {
    return {
      v: 1,
      nodeId: nodeId as PushResults['nodeId'],
      results: Object.entries(outcomes).map(([id, outcome]) => ({ id, shard, outcome })),
    };
  }

  private accept(nodeId: string, dispatch: Dispatch): DispatchAnswer {
    const oldTerms: [number, number][] = [];
    for (const { shard, term, jobs } of dispatch.shards) {
      const highest = this.note(shard, term);
      if (highest > term) oldTerms.push([shard, highest]);
      else for (const job of jobs) this.accepted.push({ nodeId, shard, term, job });
    }
    return { status: 'accepted', oldTerms };
  }

  private note(shard: number, term: number): number {
    const highest = Math.max(term, this.terms.get(shard) ?? 0);
    this.terms.set(shard, highest);
    return highest;
  }
}

export function gmsNode(nodeId: string, given: Partial<Omit<GmsNode, 'nodeId'>> = {}): GmsNode {
  return {
    nodeId: nodeId as GmsNode['nodeId'],
    incarnation: `${nodeId}-1`,
    group: 'alpha',
    types: ['customhttp', 'comet'],
    queued: 0,
    inFlight: 0,
    capacity: 1,
    state: 'ready',
    status: 'alive',
    ...given,
  };
}

export function gmsView(...nodes: (string | GmsNode)[]): GmsView {
  return {
    v: 1,
    registryId: 'registry',
    atMs: 0,
    settled: true,
    nodes: nodes.map((node) => (typeof node === 'string' ? gmsNode(node) : node)),
  };
}
