import type { LogRecord } from '@flexpush/contracts';
import { parseTimerMember } from '@flexpush/session';
import { BatchWaves } from '../batch-waves';
import { Dispatcher, type DispatcherSettings } from '../dispatcher';
import type { Clock } from '../ports';
import { RebuildTurns } from '../rebuild-turns';
import { ShardActor, type ShardSettings } from '../shard-actor';
import { gmsView, MemoryGms } from './memory-gms';
import { MemoryLog } from './memory-log';
import { MemoryLetters, MemoryLogger, MemoryMeter, MemoryReplies } from './memory-ports';
import { MemorySnapshots } from './memory-snapshots';
import { MemoryStore, type StoredShard } from './memory-store';
import { fired, isPublic, options, SHARDS } from './records';
import { turn, VirtualClock } from './virtual-clock';

export const SHARD = 1;

/** What stands outside the processes, and outlives each of them. */
export class World {
  readonly clock = new VirtualClock();
  readonly log = new MemoryLog(() => this.clock.nowMs());
  readonly store = new MemoryStore();
  readonly snapshots = new MemorySnapshots();
  readonly letters = new MemoryLetters();
  readonly replies = new MemoryReplies();
  readonly gms = new MemoryGms();
  readonly rebuilds = new RebuildTurns(1);
  private terms = 0;

  /** A process that owns the shard alone, with one GMS node in its view unless told otherwise. */
  process(given: ProcessGiven = {}): Process {
    return new Process(this, ++this.terms, given);
  }

  /** Appends the records in order, those of one kind of subject in one message. Returns the last sequence. */
  publish(...records: LogRecord[]): number {
    const [first] = records;
    if (!first) throw new Error('nothing to publish');
    const other = records.findIndex((record) => isPublic(record) !== isPublic(first));
    const together = other < 0 ? records : records.slice(0, other);
    const payload = JSON.stringify(together.length === 1 ? first : together);
    const seq = this.log.publish(SHARD, payload, { isPublic: isPublic(first) });
    return other < 0 ? seq : this.publish(...records.slice(other));
  }

  /** As resend-timer does: claims what is due and appends it, or nothing while the shard is held. */
  fireDue(): string[] {
    const due = claimDue(this.store.shard(SHARD), this.clock.nowMs());
    if (due.length > 0) this.publish(fired(...due));
    return due.map(([member]) => parseTimerMember(member)?.kind ?? '');
  }
}

export interface ProcessGiven {
  shard?: Partial<ShardSettings>;
  dispatcher?: Partial<DispatcherSettings>;
  /** Of a host whose wall clock differs from that of the log. */
  clock?: Clock;
}

/** As `claim_due.lua`: what is due of a shard that is not held, each with its score, which moves behind the visibility time. */
export function claimDue({ timers, held }: StoredShard, nowMs: number): [member: string, scoreMs: number][] {
  const due = held ? [] : [...timers].filter(([, dueAtMs]) => dueAtMs <= nowMs);
  for (const [member] of due) timers.set(member, nowMs + 5_000);
  return due;
}

/** One process with one shard: its actor, its dispatcher, and what it logs. */
export class Process {
  readonly logger = new MemoryLogger();
  readonly meter = new MemoryMeter();
  readonly dispatcher: Dispatcher;
  readonly actor: ShardActor;
  readonly deposed: number[] = [];
  ended: Promise<string> | undefined;

  constructor(
    readonly world: World,
    term: number,
    given: ProcessGiven,
  ) {
    const { log, store, snapshots, letters, replies, gms } = world;
    const clock = given.clock ?? world.clock;
    const { logger, meter } = this;
    this.dispatcher = new Dispatcher(
      { transport: gms, appender: log, clock, logger, meter },
      { ...DISPATCHER_SETTINGS, nodeId: `actor-${term}`, ...given.dispatcher },
      (shard) => this.deposed.push(shard),
    );
    this.dispatcher.setView(gmsView('gms-a'));
    this.actor = new ShardActor(
      SHARD,
      term,
      {
        log,
        store,
        snapshots,
        letters,
        replies,
        dispatcher: this.dispatcher,
        rebuilds: world.rebuilds,
        waves: new BatchWaves(world.clock),
        clock,
        logger,
        meter,
      },
      {
        shardCount: SHARDS,
        alias: '101',
        nodeId: `actor-${term}`,
        recordsPerBatch: 64,
        messagesQueuedMax: 64,
        sessionsCachedMax: 10,
        replyAgeMaxMs: 10_000,
        ...given.shard,
      },
    );
  }

  /** Runs until there is nothing to do at this instant. */
  async start(): Promise<this> {
    this.ended = this.actor.run();
    await turn();
    return this;
  }

  /** SIGKILL: what is in memory is gone; nothing is written, and nothing is let out any more. */
  crash(): void {
    this.dispatcher.pause(true);
    this.dispatcher.dropShard(SHARD, this.actor.term);
    void this.actor.stop();
  }
}

export const DISPATCHER_SETTINGS: DispatcherSettings = {
  nodeId: 'actor-1',
  alias: '101',
  unsettledPerShardMax: 50,
  unsettledMax: 200,
  settleDeadlineMs: 20_000,
  settleLingerMs: 250,
  unreachableMs: 3_000,
  gmsNodesMax: 10,
};

/** A world whose shard has push enabled and, unless told otherwise, nothing else. */
export function newWorld(): World {
  const world = new World();
  world.publish(options(1));
  return world;
}
