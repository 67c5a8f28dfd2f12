/**
 * Guesses which peers are alive from nothing but their heartbeats, the way one guesses that a neighbour is at home
 * from the light in the window: light now and then says "alive", one dark evening says "suspect", several say "dead".
 *
 * The algorithm is a fixed time-out per peer. An adaptive one (phi accrual) was rejected: its verdict depends on the
 * history that each observer happened to see, so replicas would disagree, and an operator could not say beforehand
 * how long a failover takes.
 *
 * The awkward part is the observer itself. A process that was frozen (a paused container, a long collection) wakes
 * with every heartbeat of the meantime still unread; to judge then would kill everybody. So time counts only while
 * the detector is being asked: see F3.
 *
 * Time comes in as an argument and is monotonic; the wall clock never matters here.
 *
 * F1 A peer is its node id and incarnation. A later incarnation replaces an earlier one at once; what the earlier one
 *    still sends, or sends after its `gone`, changes nothing. Incarnations sort by their start; one that sorts lower
 *    than a living one (a late beat, or the clock was set back between the two starts) counts when that one is dead.
 * F2 A peer heard within `deadAfterMs` is never dead.
 * F3 When nobody asked for longer than a heartbeat interval, each peer gets one fresh time-out, once per silence;
 *    any further gap in the same silence counts as one interval. So a pause kills nobody, and a detector that is
 *    always asked too seldom is late by a bounded number of questions instead of blind for ever.
 * F4 Never more than `peersMax` peers, and a bounded memory of replaced incarnations.
 */
export interface DetectorOptions {
  readonly heartbeatIntervalMs: number;
  readonly suspectAfterMs: number;
  readonly deadAfterMs: number;
  readonly peersMax: number;
}

/** What the detector reads of a heartbeat. `state: 'gone'` removes the peer at once; other states are the caller's. */
export interface Heartbeat {
  readonly nodeId: string;
  /** Begins with the start of the process, so that a later one sorts higher. */
  readonly incarnation: string;
  readonly state: string;
}

export type PeerStatus = 'alive' | 'suspect' | 'dead';

/** A peer that is not dead, with the last heartbeat that counted. */
export interface Peer<H extends Heartbeat> {
  readonly heartbeat: H;
  readonly status: 'alive' | 'suspect';
}

/**
 * What a heartbeat did: `joined` (unknown or dead before), `restarted` (another incarnation), `changed` (another
 * state), `refreshed`, `left` (it says gone), `stale` (F1, ignored), `full` (F4, ignored).
 */
export type SignalOutcome = 'joined' | 'restarted' | 'changed' | 'refreshed' | 'left' | 'stale' | 'full';

export interface Judgement<H extends Heartbeat> {
  /** Sorted by node id, so that all observers of the same heartbeats show the same list. */
  readonly peers: readonly Peer<H>[];
  /** Those that died since the last judgement; told once. */
  readonly died: readonly H[];
}

interface Entry<H> {
  heartbeat: H;
  lastHeardAtMs: number;
  /** Time within the present silence that does not count (F3). */
  excusedMs: number;
  excusedOnce: boolean;
}

/** Replaced incarnations remembered per node; a crash loop forgets the oldest, whose beats are long past. */
const RETIRED_PER_NODE_MAX = 8;

export class FailureDetector<H extends Heartbeat> {
  private readonly entries = new Map<string, Entry<H>>();
  private readonly retired = new Map<string, string[]>();
  private lastAskedAtMs: number | undefined;

  constructor(private readonly options: DetectorOptions) {
    const { heartbeatIntervalMs, suspectAfterMs, deadAfterMs, peersMax } = options;
    if (!(heartbeatIntervalMs > 0 && suspectAfterMs > heartbeatIntervalMs))
      throw new RangeError('suspectAfterMs must exceed heartbeatIntervalMs: a punctual peer is not suspect');
    if (!(deadAfterMs > suspectAfterMs))
      throw new RangeError('deadAfterMs must exceed suspectAfterMs: a peer is suspect before it is dead');
    if (!(Number.isInteger(peersMax) && peersMax > 0)) throw new RangeError('peersMax must be at least 1');
  }

  /** Notes a heartbeat. Never throws; the outcome says what it changed. */
  signal(heartbeat: H, nowMs: number): SignalOutcome {
    const { nodeId, incarnation } = heartbeat;
    if (this.retired.get(nodeId)?.includes(incarnation)) return 'stale';
    const known = this.entries.get(nodeId);
    if (known !== undefined && this.isEarlier(heartbeat, known, nowMs)) return 'stale';
    if (heartbeat.state === 'gone') {
      if (known !== undefined && known.heartbeat.incarnation !== incarnation)
        this.retire(nodeId, known.heartbeat.incarnation);
      this.retire(nodeId, incarnation);
      this.entries.delete(nodeId);
      return 'left';
    }
    if (known === undefined && this.entries.size >= this.options.peersMax && !this.dropOneDead(nowMs))
      return 'full';
    const outcome = this.outcomeOf(heartbeat, known, nowMs);
    if (outcome === 'restarted' && known !== undefined) this.retire(nodeId, known.heartbeat.incarnation);
    this.entries.set(nodeId, { heartbeat, lastHeardAtMs: nowMs, excusedMs: 0, excusedOnce: false });
    return outcome;
  }

  /** An unknown peer is dead: there is no reason to believe that it lives. */
  status(nodeId: string, nowMs: number): PeerStatus {
    this.excusePause(nowMs);
    const entry = this.entries.get(nodeId);
    return entry === undefined ? 'dead' : this.statusOf(entry, nowMs);
  }

  /** The peers that live, and who died meanwhile. Ask at least once per heartbeat interval (F3). */
  judge(nowMs: number): Judgement<H> {
    this.excusePause(nowMs);
    const peers: Peer<H>[] = [];
    const died: H[] = [];
    for (const [nodeId, entry] of this.entries) {
      const status = this.statusOf(entry, nowMs);
      if (status === 'dead') {
        died.push(entry.heartbeat);
        this.entries.delete(nodeId);
      } else peers.push({ heartbeat: entry.heartbeat, status });
    }
    peers.sort((a, b) => (a.heartbeat.nodeId < b.heartbeat.nodeId ? -1 : 1));
    return { peers, died };
  }

  /**
   * Takes a peer out on better evidence than silence, such as "no responders" on its own subject. It is not retired:
   * should it beat again, it was alive after all and joins. False when that incarnation is not known.
   */
  declareDead(peer: { nodeId: string; incarnation: string }): boolean {
    const entry = this.entries.get(peer.nodeId);
    if (entry === undefined || entry.heartbeat.incarnation !== peer.incarnation) return false;
    return this.entries.delete(peer.nodeId);
  }

  private isEarlier(heartbeat: H, known: Entry<H>, nowMs: number): boolean {
    return heartbeat.incarnation < known.heartbeat.incarnation && this.statusOf(known, nowMs) !== 'dead';
  }

  private outcomeOf(heartbeat: H, known: Entry<H> | undefined, nowMs: number): SignalOutcome {
    if (known === undefined) return 'joined';
    if (known.heartbeat.incarnation !== heartbeat.incarnation) return 'restarted';
    if (this.statusOf(known, nowMs) === 'dead') return 'joined';
    return known.heartbeat.state === heartbeat.state ? 'refreshed' : 'changed';
  }

  private statusOf(entry: Entry<H>, nowMs: number): PeerStatus {
    const silentMs = nowMs - entry.lastHeardAtMs - entry.excusedMs;
    if (silentMs >= this.options.deadAfterMs) return 'dead';
    return silentMs >= this.options.suspectAfterMs ? 'suspect' : 'alive';
  }

  /** F3. A peer that was dead before the pause stays dead. */
  private excusePause(nowMs: number): void {
    const askedAtMs = this.lastAskedAtMs ?? nowMs;
    this.lastAskedAtMs = Math.max(askedAtMs, nowMs);
    const intervalMs = this.options.heartbeatIntervalMs;
    if (nowMs - askedAtMs <= intervalMs) return;
    for (const entry of this.entries.values()) {
      // A peer heard since the last question shows that the pause began later, or that it is over.
      const gapMs = nowMs - Math.max(askedAtMs, entry.lastHeardAtMs);
      if (gapMs <= intervalMs || this.statusOf(entry, askedAtMs) === 'dead') continue;
      if (entry.excusedOnce) entry.excusedMs += gapMs - intervalMs;
      else entry.excusedMs = nowMs - entry.lastHeardAtMs;
      entry.excusedOnce = true;
    }
  }

  /** A full table gives the place of a dead peer to a living one. */
  private dropOneDead(nowMs: number): boolean {
    for (const [nodeId, entry] of this.entries)
      if (this.statusOf(entry, nowMs) === 'dead') return this.entries.delete(nodeId);
    return false;
  }

  private retire(nodeId: string, incarnation: string): void {
    const retired = (this.retired.get(nodeId) ?? []).filter((known) => known !== incarnation);
    retired.push(incarnation);
    // Deleting first moves the node to the end: the map's order is then from the longest unchanged to the newest.
    this.retired.delete(nodeId);
    this.retired.set(nodeId, retired.slice(-RETIRED_PER_NODE_MAX));
    if (this.retired.size <= this.options.peersMax) return;
    const oldest = this.retired.keys().next();
    if (!oldest.done) this.retired.delete(oldest.value);
  }
}
