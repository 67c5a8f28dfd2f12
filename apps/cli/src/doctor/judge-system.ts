import { DEAD_LETTER_STREAM, LOG_STREAM, SNAPSHOT_STREAM } from '@flexpush/contracts';
import type { StreamFacts } from '@flexpush/nats-bus';
import type { DoctorFacts, Heard, LeaseFact, ShardFact, SystemFacts } from './facts';
import { bytes, counted, duration, ok, type Finding } from './finding';

/** Silence after which a node is dead, as its peers or the registry have it by default; heartbeats do not tell. */
const DEAD_AFTER_MS = { 'session-actors': 1_500, 'resend-timers': 1_500, 'gms-nodes': 3_000 } as const;
const LOST_HEARTBEATS_MIN = 3;
/** Above what a lost claim costs (visibility 5 s, and a look). */
const OVERDUE_MS = 10_000;
/** Above which a shard reads no further. */
const UNSETTLED_PER_SHARD_MAX = 2_000;
/** What a node folds anew, at least. */
const REPLAY_RECORDS_PER_S = 20_000;
const NAMED_MAX = 8;

export function judgeSystem(facts: DoctorFacts): Finding[] {
  const { nats, system } = facts;
  if (nats.kind !== 'reached' || !system) return [];
  const stream = (name: string): StreamFacts | undefined => {
    const found = nats.facts.streams.find((one) => one.name === name);
    return found?.kind === 'there' ? found.stream : undefined;
  };
  return [
    ...judgeShards(nats.facts.shardCount, system),
    ...judgeNodes(system),
    ...judgeHeartbeats(system),
    ...(system.leases ? [judgeLeases(system.leases, system)] : []),
    ...(system.shards ? judgeFold(system.shards, facts.nowMs) : []),
    ...judgeRebuild(stream(LOG_STREAM), stream(SNAPSHOT_STREAM), facts.nowMs),
    ...judgeDeadLetters(stream(DEAD_LETTER_STREAM), facts.nowMs),
  ];
}

function judgeShards(shardCount: number | undefined, { sessionActors }: SystemFacts): Finding[] {
  const id = 'flexpush.shards';
  if (shardCount === undefined)
    return [
      {
        id,
        level: 'unsafe',
        title: 'The shard count is not known',
        meaning: 'No session-actor has started against this NATS yet, or the cluster bucket cannot be read.',
        advice: 'Start a session-actor.',
        value: null,
      },
    ];
  const actors = sessionActors.length;
  if (actors <= shardCount)
    return [ok(id, shardCount, `${counted(shardCount, 'shard')} for ${counted(actors, 'session-actor')}`)];
  return [
    {
      id,
      level: 'note',
      title: `${counted(shardCount, 'shard')} for ${counted(actors, 'session-actor')}`,
      meaning: 'Those that own no shard do nothing but wait for a failure.',
      advice: 'Run fewer; the shard count is fixed at the first start of a cluster.',
      value: shardCount,
    },
  ];
}

interface Kind {
  readonly id: Finding['id'];
  readonly name: string;
  readonly several: string;
  readonly none: string;
  readonly alone: string;
  /** Of one alone. */
  readonly level: 'unsafe' | 'warning';
}

const kinds = {
  sessionActors: {
    id: 'flexpush.session-actors',
    name: 'session-actor',
    several: 'session-actors',
    none: 'Nothing is folded: chats get no answer and no push leaves. The log keeps what comes.',
    alone: 'While it is away nothing is folded and no push leaves; nothing is lost.',
    level: 'unsafe',
  },
  resendTimers: {
    id: 'flexpush.resend-timers',
    name: 'resend-timer',
    several: 'resend-timers',
    none: 'No push is sent again and nobody who left is noticed, until one runs.',
    alone: 'While it is away no push is sent again; timers fire late by that time.',
    level: 'unsafe',
  },
  gmsNodes: {
    id: 'flexpush.gms-nodes',
    name: 'gms-node',
    several: 'gms-nodes',
    none: 'No push is delivered; they wait.',
    alone: 'While it is away no push is delivered; a POST that it had in flight may come twice.',
    level: 'unsafe',
  },
  registries: {
    id: 'flexpush.registries',
    name: 'gms-registry',
    several: 'gms-registries',
    none: 'New GMS nodes are not noticed; dead ones only when a push finds nobody.',
    alone: 'While it is away new GMS nodes are not noticed; deliveries go on with those that are known.',
    level: 'warning',
  },
} as const satisfies Record<string, Kind>;

function judgeNodes(system: SystemFacts): Finding[] {
  const up = (heard: SystemFacts['sessionActors']) =>
    heard.filter(({ beat }) => beat.state === 'up').map(({ beat }) => beat.nodeId);
  const ready = system.gmsNodes.filter(({ beat }) => beat.state === 'ready').map(({ beat }) => beat.nodeId);
  return [
    judgeKind(kinds.sessionActors, up(system.sessionActors), system),
    judgeKind(kinds.resendTimers, up(system.resendTimers), system),
    judgeKind(kinds.gmsNodes, ready, system),
    ...judgeGroups(system),
    judgeKind(kinds.registries, system.registries, system),
    ...(system.registries.length > 0 && !system.isRegistryAnswering ? [registrySilent] : []),
  ];
}

function judgeKind(kind: Kind, nodeIds: readonly string[], { listenedMs }: SystemFacts): Finding {
  const { id, name, several } = kind;
  if (nodeIds.length > 1)
    return ok(id, nodeIds.length, `${nodeIds.length} ${several} run: ${named(nodeIds)}`);
  if (nodeIds.length === 1)
    return {
      id,
      level: kind.level,
      title: `One ${name} (${nodeIds[0]}): no failover`,
      meaning: kind.alone,
      advice: `Run two or more ${several}, each with a FLEXPUSH_NODE_ID of its own.`,
      value: 1,
    };
  return {
    id,
    level: 'unsafe',
    title: `No ${name} is ready: none was heard for ${duration(listenedMs)}`,
    meaning: kind.none,
    advice: `Start a ${name}; where one runs, look at its /readyz and its FLEXPUSH_NATS_URL.`,
    value: 0,
  };
}

const registrySilent: Finding = {
  id: 'flexpush.registry-view',
  level: 'warning',
  title: 'A registry beats but does not answer',
  meaning: 'Session-actors that start learn of the GMS nodes only from the next view.',
  advice: 'Look at its log; restart it.',
  value: false,
};

function judgeGroups({ gmsNodes }: SystemFacts): Finding[] {
  const groups = new Map<string, string[]>();
  for (const { beat } of gmsNodes)
    if (beat.state === 'ready') groups.set(beat.group, [...(groups.get(beat.group) ?? []), beat.nodeId]);
  const alone = [...groups].filter(([, nodeIds]) => nodeIds.length === 1).map(([group]) => group);
  if (alone.length === 0 || groups.size < 2) return [];
  return [
    {
      id: 'flexpush.gms-groups',
      level: 'note',
      title: `Groups with one GMS node: ${named(alone)}`,
      meaning: 'While that node is away, the pushes of the group leave through another group.',
      advice: 'If a group stands for a network or a site of its own, give it two nodes.',
      value: alone.join(','),
    },
  ];
}

function judgeHeartbeats({ sessionActors, resendTimers, gmsNodes }: SystemFacts): Finding[] {
  const id = 'flexpush.heartbeats';
  const heard: Record<keyof typeof DEAD_AFTER_MS, readonly Heard<{ nodeId: string }>[]> = {
    'session-actors': sessionActors,
    'resend-timers': resendTimers,
    'gms-nodes': gmsNodes,
  };
  const slow = Object.entries(DEAD_AFTER_MS).flatMap(([kind, deadAfterMs]) =>
    heard[kind as keyof typeof DEAD_AFTER_MS].flatMap(({ beat, intervalMs }) =>
      intervalMs !== undefined && intervalMs * (LOST_HEARTBEATS_MIN - 1) > deadAfterMs
        ? [{ nodeId: beat.nodeId, intervalMs, deadAfterMs }]
        : [],
    ),
  );
  const [first] = slow;
  if (!first) {
    const isHeard = Object.values(heard).some((nodes) => nodes.length > 0);
    return isHeard ? [ok(id, null, 'Heartbeats come often enough for the default dead time-outs')] : [];
  }
  return [
    {
      id,
      level: 'warning',
      title: `Heartbeats of ${named(slow.map(({ nodeId }) => nodeId))} come every ${duration(first.intervalMs)}`,
      meaning: `Silence of ${duration(first.deadAfterMs)} means dead, by default; so one or two lost beats make a living node lose its work to others.`,
      advice:
        'Keep the dead time-out at three heartbeats or more, the same in all services of a kind (and in gms-node and gms-registry); else look why the node is so slow.',
      value: Math.round(first.intervalMs),
    },
  ];
}

function judgeLeases(leases: readonly LeaseFact[], { sessionActors }: SystemFacts): Finding {
  const id = 'flexpush.leases';
  const living = new Set(sessionActors.map(({ beat }) => `${beat.nodeId} ${beat.incarnation}`));
  const stranded = leases.filter(({ owner, incarnation }) => !living.has(`${owner} ${incarnation}`));
  if (stranded.length === 0) return ok(id, leases.length, 'Every shard has a living owner');
  const owners = [...new Set(stranded.flatMap(({ owner }) => owner ?? []))];
  return {
    id,
    level: 'unsafe',
    title: `${counted(stranded.length, 'shard')} of ${leases.length} without a living owner: ${named(stranded.map(({ shard }) => shard))}`,
    meaning: `Their chats stand still${owners.length > 0 ? `; the leases name ${named(owners)}, not heard under that incarnation` : ''}. After a death it lasts for a second or two.`,
    advice: 'Look again in some seconds; if it stays, look at /readyz and the log of the session-actors.',
    value: stranded.length,
  };
}

function judgeFold(shards: readonly ShardFact[], nowMs: number): Finding[] {
  return [judgeBehind(shards), judgeOverdue(shards, nowMs), ...judgeUnsettled(shards)];
}

function judgeBehind(shards: readonly ShardFact[]): Finding {
  const id = 'flexpush.fold';
  const behind = shards.filter(({ fold, isHeld }) => fold === 'behind' || isHeld);
  const unknown = shards.filter(({ fold }) => fold === 'unknown');
  if (behind.length === 0 && unknown.length === 0)
    return ok(id, 0, 'Every shard is folded up to the end of the log');
  const held = behind.filter(({ isHeld }) => isHeld).length;
  const late = [...behind, ...unknown];
  return {
    id,
    level: 'warning',
    title: `${counted(late.length, 'shard')} of ${shards.length} not folded to where the log was: ${named(late.map(({ shard }) => shard))}`,
    meaning: `Their pushes are late; nothing is lost.${held > 0 ? ` ${counted(held, 'shard')} of them ${held === 1 ? 'catches' : 'catch'} up after a takeover or a loss of Redis.` : ''}${unknown.length > 0 ? ' Some checkpoints are of another log: this Redis and this NATS may not belong together.' : ''}`,
    advice:
      'Look again in some seconds; if it stays, see flexpush_actor_log_waiting, flexpush_actor_unsettled and the log of the owner.',
    value: late.length,
  };
}

function judgeOverdue(shards: readonly ShardFact[], nowMs: number): Finding {
  const id = 'flexpush.timers';
  const overdue = shards.filter(
    ({ earliestDueAtMs, isHeld }) =>
      !isHeld && earliestDueAtMs !== undefined && nowMs - earliestDueAtMs > OVERDUE_MS,
  );
  if (overdue.length === 0) return ok(id, 0, 'No timer is overdue');
  const worstMs = nowMs - Math.min(...overdue.map(({ earliestDueAtMs }) => earliestDueAtMs ?? nowMs));
  return {
    id,
    level: 'unsafe',
    title: `Timers of ${counted(overdue.length, 'shard')} are overdue, by up to ${duration(worstMs)}`,
    meaning: 'Pushes that nobody confirmed are not sent again.',
    advice: 'See that a resend-timer runs and is ready, and that the clocks of the machines agree.',
    value: Math.round(worstMs),
  };
}

function judgeUnsettled(shards: readonly ShardFact[]): Finding[] {
  const id = 'flexpush.unsettled';
  const full = shards.filter(({ unsettled }) => unsettled >= UNSETTLED_PER_SHARD_MAX);
  const total = shards.reduce((sum, { unsettled }) => sum + unsettled, 0);
  if (full.length === 0) return [ok(id, total, `${counted(total, 'notification')} unsettled`)];
  return [
    {
      id,
      level: 'warning',
      title: `${counted(full.length, 'shard')} with ${UNSETTLED_PER_SHARD_MAX} unsettled notifications or more`,
      meaning: 'Such a shard reads no further until some settle: GMS nodes or receivers are too slow.',
      advice: 'See flexpush_gms_queued_notifications and the breakers; run more GMS nodes.',
      value: total,
    },
  ];
}

/** How a lost Redis comes back, and how long it takes. */
function judgeRebuild(
  log: StreamFacts | undefined,
  snapshots: StreamFacts | undefined,
  nowMs: number,
): Finding[] {
  const id = 'flexpush.rebuild';
  if (!log) return [];
  if (!snapshots)
    return [
      {
        id,
        level: 'unsafe',
        title: 'Chats that are older than the log cannot be rebuilt',
        meaning: `With Redis lost, what is older than ${log.ageMaxMs === undefined ? 'the log' : duration(log.ageMaxMs)} is gone: there is no snapshot stream.`,
        advice: 'Restart a session-actor of this release; it makes the stream.',
        value: false,
      },
    ];
  const reachMs = log.firstAtMs === undefined ? 0 : nowMs - log.firstAtMs;
  const replayMs = (log.messages / REPLAY_RECORDS_PER_S) * 1_000;
  const reach =
    log.messages === 0
      ? 'an empty log'
      : `${counted(log.messages, 'message')} of the last ${duration(reachMs)} (${bytes(log.bytes)})`;
  const beside = `${counted(snapshots.messages, 'snapshot message')} (${bytes(snapshots.bytes)})`;
  return [
    ok(
      id,
      log.messages,
      `A lost Redis is rebuilt from ${reach} and ${beside}, in about ${duration(Math.max(1_000, replayMs))} and 5 more on one node`,
    ),
  ];
}

function judgeDeadLetters(letters: StreamFacts | undefined, nowMs: number): Finding[] {
  const id = 'flexpush.dead-letters';
  if (!letters) return [];
  if (letters.messages === 0) return [ok(id, 0, 'No dead letters')];
  const last =
    letters.lastAtMs === undefined ? '' : `, the last one ${duration(nowMs - letters.lastAtMs)} ago`;
  return [
    {
      id,
      level: 'note',
      title: `${counted(letters.messages, 'dead letter')}${last}`,
      meaning: 'Records that were refused had no effect: malformed, of the wrong shard, or beyond a bound.',
      advice: 'Read them with their reasons: docs/publishing.md, "What is refused, and dead letters".',
      value: letters.messages,
    },
  ];
}

function named(names: readonly (string | number)[]): string {
  const shown = names.slice(0, NAMED_MAX).join(', ');
  return names.length > NAMED_MAX ? `${shown} and ${names.length - NAMED_MAX} more` : shown;
}
