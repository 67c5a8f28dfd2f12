import { BOUNDS, LOG_STREAM, SNAPSHOT_STREAM } from '@flexpush/contracts';
import type { JetStreamFacts, MappingFact, NatsFacts, StreamFacts } from '@flexpush/nats-bus';
import type { DoctorFacts, ServersFact } from './facts';
import { bytes, counted, duration, ok, percent, type Finding } from './finding';

/** Of nats-server, when nothing else is configured; seen with 2.9.10 by its calls of fsync. */
const SYNC_INTERVAL_DEFAULT_MS = 120_000;
/** What so short an interval loses is mended by publishers that repeat what they sent last. */
const SYNC_INTERVAL_SHORT_MS = 10_000;
const DUPLICATE_WINDOW_MS = 120_000;
/** Dispatches and replies hold up to this many characters, of up to three bytes each. */
const PAYLOAD_BYTES_WANTED = BOUNDS.messageBytes * 3;
const LOG_AGE_SHORT_MS = 3_600_000;
const FULL_SHARE_WARNING = 0.8;
const FULL_SHARE_UNSAFE = 0.95;
/** The growth of a younger log says nothing yet. */
const GROWTH_AGE_MIN_MS = 60_000;
const DAY_MS = 86_400_000;

interface NamedStream {
  readonly name: string;
  readonly stream: StreamFacts;
}

export function judgeNats(facts: DoctorFacts): Finding[] {
  const { nats } = facts;
  if (nats.kind === 'unreachable')
    return [
      {
        id: 'nats.reachable',
        level: 'unsafe',
        title: `No NATS server answers at ${nats.where}`,
        meaning: `Without it nothing moves and nothing more could be looked at. It said: ${nats.reason}.`,
        advice: 'Start it, or name the right one with --nats <url>.',
        value: false,
      },
    ];
  const { facts: seen } = nats;
  const streams = seen.streams.flatMap((answer) => (answer.kind === 'there' ? [answer] : []));
  const log = streams.find(({ name }) => name === LOG_STREAM)?.stream;
  return [
    judgeServers(seen),
    judgePayload(seen.maxPayloadBytes),
    ...(seen.jetstream ? judgeAccount(seen.jetstream) : [noJetStream]),
    ...(seen.jetstream ? judgePresence(seen) : []),
    ...(streams.length > 0
      ? [
          judgeStorage(streams),
          judgeReplicas(streams),
          ...judgeFollowers(streams),
          judgeSync(facts.servers, seen.version, Math.min(...streams.map(({ stream }) => stream.replicas))),
        ]
      : []),
    ...judgeServerStorage(facts.servers),
    ...(log ? judgeLog(log, facts.nowMs) : []),
    ...judgeSnapshots(streams),
    ...(facts.mapping ? [judgeMapping(facts.mapping)] : []),
  ];
}

function judgeServers({ server, version, cluster }: NatsFacts): Finding {
  const id = 'nats.servers';
  if (cluster !== undefined) return ok(id, cluster, `nats-server ${version} in the cluster ${cluster}`);
  return {
    id,
    level: 'unsafe',
    title: `One NATS server alone (${server}, ${version})`,
    meaning:
      'While it is away nothing moves: publishers get no acknowledgement, requests fail, pushes wait. Its disk is the only place of events that are acknowledged.',
    advice:
      'Run three in one cluster: "cluster { name: ..., routes: [...] }" in each nats.conf, and name all three in FLEXPUSH_NATS_URL.',
    value: 'alone',
  };
}

function judgePayload(maxBytes: number): Finding {
  const id = 'nats.max-payload';
  if (maxBytes >= PAYLOAD_BYTES_WANTED) return ok(id, maxBytes, `Messages up to ${bytes(maxBytes)}`);
  const isTooSmall = maxBytes < BOUNDS.messageBytes;
  return {
    id,
    level: isTooSmall ? 'unsafe' : 'warning',
    title: `Messages up to ${bytes(maxBytes)} only`,
    meaning: isTooSmall
      ? `flexpush packs records and pushes into messages of up to ${bytes(BOUNDS.messageBytes)}; the server refuses them, and under load batches do not get through.`
      : `A message of ${BOUNDS.messageBytes} characters outside of ASCII takes up to ${bytes(PAYLOAD_BYTES_WANTED)}; such a one is refused.`,
    advice: 'Set max_payload: 1MB in nats.conf.',
    value: maxBytes,
  };
}

const noJetStream: Finding = {
  id: 'nats.jetstream',
  level: 'unsafe',
  title: 'JetStream does not answer',
  meaning: 'It is switched off, or the cluster has no leader. The log lies in it: no event is acknowledged.',
  advice:
    'Switch it on with "jetstream { store_dir: ... }"; in a cluster, see that more than half of the servers run.',
  value: false,
};

function judgeAccount({ storageBytes, storageBytesMax }: JetStreamFacts): Finding[] {
  const id = 'nats.account-storage';
  if (storageBytesMax === undefined)
    return [ok(id, storageBytes, `JetStream holds ${bytes(storageBytes)}; the account has no limit`)];
  const share = storageBytes / storageBytesMax;
  const title = `JetStream holds ${bytes(storageBytes)}, ${percent(share)} of the account's limit`;
  if (share < FULL_SHARE_WARNING) return [ok(id, storageBytes, title)];
  return [
    {
      id,
      level: share < FULL_SHARE_UNSAFE ? 'warning' : 'unsafe',
      title,
      meaning: 'At the limit publishers are refused, with the log of their own bound or not.',
      advice: "Raise the account's max_file limit, or remove streams that are not needed.",
      value: storageBytes,
    },
  ];
}

function judgePresence({ streams }: NatsFacts): Finding[] {
  const missing = streams.filter(({ kind }) => kind === 'missing').map(({ name }) => name);
  const silent = streams.filter(({ kind }) => kind === 'silent').map(({ name }) => name);
  const findings: Finding[] = [];
  if (missing.length > 0)
    findings.push({
      id: 'nats.streams',
      level: 'unsafe',
      title:
        missing.length === streams.length
          ? 'No stream of flexpush is here'
          : `Streams are missing: ${missing.join(', ')}`,
      meaning: 'session-actors make them at their start; what a missing one held is gone.',
      advice:
        'If this is the NATS meant, start or restart a session-actor, and find out who removed the streams.',
      value: missing.join(','),
    });
  if (silent.length > 0)
    findings.push({
      id: 'nats.leaders',
      level: 'unsafe',
      title: `Nobody answers for ${silent.join(', ')}`,
      meaning:
        'More than half of the servers that hold it are away; until they return nothing can be written to it.',
      advice: 'Bring the servers back that hold it; "nats server report jetstream" shows which.',
      value: silent.join(','),
    });
  return findings;
}

function judgeStorage(streams: readonly NamedStream[]): Finding {
  const id = 'nats.storage';
  const inMemory = streams.filter(({ stream }) => stream.storage === 'memory').map(({ name }) => name);
  if (inMemory.length === 0) return ok(id, 'file', 'All streams are stored in files');
  return {
    id,
    level: 'unsafe',
    title: `Kept in memory only: ${inMemory.join(', ')}`,
    meaning: 'A restart of the servers that hold it loses everything in it, acknowledged events included.',
    advice:
      'The storage of a stream cannot be changed: stop the session-actors, remove the stream, and let them make it anew (with storage: file).',
    value: inMemory.join(','),
  };
}

function judgeReplicas(streams: readonly NamedStream[]): Finding {
  const id = 'nats.replicas';
  const least = Math.min(...streams.map(({ stream }) => stream.replicas));
  if (least >= 3) return ok(id, least, `Every stream has ${least} replicas or more`);
  const names = streams.filter(({ stream }) => stream.replicas === least).map(({ name }) => name);
  return {
    id,
    level: 'unsafe',
    title: `${names.length === streams.length ? 'Streams have' : `${names.join(', ')}:`} ${counted(least, 'replica')}`,
    meaning:
      least === 1
        ? 'One server holds them: while it is away nothing moves, and with its disk everything acknowledged is gone.'
        : 'Two replicas have no majority when one is away: either failure stops everything.',
    advice:
      'In a cluster of three: "nats stream edit <stream> --replicas 3" for each; for new systems FLEXPUSH_STREAM_REPLICAS=3.',
    value: least,
  };
}

function judgeFollowers(streams: readonly NamedStream[]): Finding[] {
  const id = 'nats.followers';
  const several = streams.filter(({ stream }) => stream.replicas > 1);
  if (several.length === 0) return [];
  const behind = several.filter(
    ({ stream }) =>
      stream.followers.filter(({ isCurrent }) => isCurrent).length < stream.replicas - 1 ||
      stream.leader === undefined,
  );
  if (behind.length === 0) return [ok(id, 'current', 'All replicas are up to date')];
  const away = new Set(
    behind.flatMap(({ stream }) =>
      stream.followers.filter(({ isCurrent }) => !isCurrent).map(({ name }) => name),
    ),
  );
  // Of three, one may be away; after it there is nothing left to lose.
  const isLastChance = behind.some(
    ({ stream }) =>
      stream.leader === undefined ||
      1 + stream.followers.filter(({ isCurrent }) => isCurrent).length <= Math.floor(stream.replicas / 2) + 1,
  );
  return [
    {
      id,
      level: isLastChance ? 'unsafe' : 'warning',
      title: `Replicas are away or behind: ${away.size > 0 ? [...away].join(', ') : 'no leader'}`,
      meaning: isLastChance
        ? 'The next server that fails stops everything.'
        : 'Fewer failures than planned are left before everything stops.',
      advice: 'Bring that server back and wait until "nats stream info" calls its replicas current.',
      value: [...away].join(','),
    },
  ];
}

/** The longest interval of any server; undefined where one does not say and might have been set. */
function syncIntervalOf(servers: ServersFact, version: string): number | undefined {
  // Before 2.10 nats-server neither tells it nor lets it be set.
  if (servers.kind !== 'told') return isBefore210(version) ? SYNC_INTERVAL_DEFAULT_MS : undefined;
  const intervals = servers.servers.map(({ isSyncAlways, syncIntervalMs, version: own }) =>
    isSyncAlways ? 0 : (syncIntervalMs ?? (isBefore210(own) ? SYNC_INTERVAL_DEFAULT_MS : undefined)),
  );
  return intervals.every((one) => one !== undefined) ? Math.max(...intervals) : undefined;
}

function isBefore210(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < 2 || (major === 2 && minor < 10);
}

function judgeSync(servers: ServersFact, version: string, replicas: number): Finding {
  const id = 'nats.sync-interval';
  const told = syncIntervalOf(servers, version);
  if (told === 0) return ok(id, 0, 'Every acknowledged event is on disk: sync_interval: always');
  const intervalMs = told ?? SYNC_INTERVAL_DEFAULT_MS;
  const lost = `up to ${duration(intervalMs)} of acknowledged events: sync_interval`;
  const isShort = told !== undefined && told <= SYNC_INTERVAL_SHORT_MS;
  const why = whyAssumed(servers, version, told);
  return {
    id,
    level: replicas < 3 ? 'unsafe' : isShort ? 'note' : 'warning',
    title:
      replicas < 3 ? `One power cut can lose ${lost}` : `A power cut of all servers at once can lose ${lost}`,
    meaning: [
      'JetStream acknowledges before the disk has it: a crash of nats-server loses nothing, one of its machine does.',
      ...(replicas < 3 ? [] : ['What one machine loses, the others still have.']),
      ...(why === undefined ? [] : [why]),
    ].join(' '),
    advice: `Set "sync_interval: always" in the jetstream block (nats-server 2.10 or later)${replicas < 3 ? ', and have three replicas' : ', or keep the servers apart: other rack, other power'}.`,
    value: told ?? null,
  };
}

/** Why the interval is not simply the one that the servers tell. */
function whyAssumed(servers: ServersFact, version: string, told: number | undefined): string | undefined {
  const assumed = `the default, ${duration(SYNC_INTERVAL_DEFAULT_MS)}, is assumed`;
  switch (servers.kind) {
    case 'told': {
      const isOld = servers.servers.some((server) => isBefore210(server.version));
      if (told === undefined) return `A server does not tell it: ${assumed}.`;
      return isOld ? 'nats-server before 2.10 has this interval and no other.' : undefined;
    }
    case 'not-told':
      return isBefore210(version)
        ? `nats-server ${version} has this interval and no other.`
        : `It is not visible over this connection: ${assumed}; --nats-monitor http://<host>:8222 looks.`;
    case 'unreachable':
      return `The monitoring port ${servers.where} could not be read (${servers.reason}): ${isBefore210(version) ? `but nats-server ${version} has this interval and no other` : assumed}.`;
    default:
      return servers satisfies never;
  }
}

function judgeServerStorage(servers: ServersFact): Finding[] {
  if (servers.kind !== 'told') return [];
  return servers.servers.flatMap(({ name, storageBytes, storageBytesMax }): Finding[] => {
    if (storageBytesMax === undefined || storageBytes / storageBytesMax < FULL_SHARE_WARNING) return [];
    const share = storageBytes / storageBytesMax;
    return [
      {
        id: 'nats.server-storage',
        level: share < FULL_SHARE_UNSAFE ? 'warning' : 'unsafe',
        title: `${name} has used ${percent(share)} of its JetStream storage`,
        meaning: 'A server without room refuses every write to what it holds.',
        advice: 'Give it more disk and raise max_file_store in its jetstream block.',
        value: storageBytes,
      },
    ];
  });
}

function judgeLog(log: StreamFacts, nowMs: number): Finding[] {
  return [
    judgeDiscard(log),
    judgeWindow(log.duplicateWindowMs),
    judgeAge(log.ageMaxMs),
    judgeRoom(log, nowMs),
    ...(log.messageBytesMax !== undefined && log.messageBytesMax < BOUNDS.messageBytes
      ? [messagesTooSmall(log.messageBytesMax)]
      : []),
  ];
}

function judgeDiscard({ discard }: StreamFacts): Finding {
  const id = 'nats.discard';
  if (discard === 'new') return ok(id, discard, 'A full log refuses publishers and forgets nothing');
  return {
    id,
    level: 'unsafe',
    title: 'A full log forgets its oldest events',
    meaning:
      'Events that were acknowledged and not yet folded vanish when the log is full: discard is "old".',
    advice: `nats stream edit ${LOG_STREAM} --discard new`,
    value: discard,
  };
}

function judgeWindow(windowMs: number): Finding {
  const id = 'nats.duplicate-window';
  if (windowMs >= DUPLICATE_WINDOW_MS)
    return ok(id, windowMs, `Repeated publishes are recognised for ${duration(windowMs)}`);
  return {
    id,
    level: 'warning',
    title: `Repeated publishes are recognised for ${duration(windowMs)} only`,
    meaning:
      'A publisher that lost its acknowledgement and repeats later is stored twice. Records with the same id still count once in a chat (for 5 minutes), but the log fills with them.',
    advice: `nats stream edit ${LOG_STREAM} --dupe-window 2m`,
    value: windowMs,
  };
}

function judgeAge(ageMaxMs: number | undefined): Finding {
  const id = 'nats.log-age';
  if (ageMaxMs === undefined || ageMaxMs >= LOG_AGE_SHORT_MS)
    return ok(
      id,
      ageMaxMs ?? null,
      ageMaxMs === undefined ? 'The log has no age bound' : `The log keeps events for ${duration(ageMaxMs)}`,
    );
  return {
    id,
    level: 'warning',
    title: `The log keeps events for ${duration(ageMaxMs)} only`,
    meaning:
      'An outage of the session-actors or of Redis that lasts longer loses what was published meanwhile.',
    advice: `nats stream edit ${LOG_STREAM} --max-age 24h; for new systems FLEXPUSH_LOG_AGE_MAX_MS=86400000`,
    value: ageMaxMs,
  };
}

function judgeRoom(log: StreamFacts, nowMs: number): Finding {
  const id = 'nats.log-room';
  if (log.bytesMax === undefined)
    return {
      id,
      level: 'warning',
      title: 'The log has no bound by bytes',
      meaning: 'It grows until the disk is full, and then takes other streams and programs with it.',
      advice: `nats stream edit ${LOG_STREAM} --max-bytes 2GB; for new systems FLEXPUSH_LOG_BYTES_MAX`,
      value: log.bytes,
    };
  const share = log.bytes / log.bytesMax;
  const fullInMs = timeToFull({ ...log, bytesMax: log.bytesMax }, nowMs);
  const title = `The log holds ${bytes(log.bytes)} of ${bytes(log.bytesMax)} (${percent(share)})`;
  const isSoon = fullInMs !== undefined && fullInMs < DAY_MS;
  if (share < FULL_SHARE_WARNING && !isSoon)
    return ok(
      id,
      log.bytes,
      fullInMs === undefined ? title : `${title}, full in ${duration(fullInMs)} as it grows`,
    );
  return {
    id,
    level: share >= FULL_SHARE_UNSAFE ? 'unsafe' : 'warning',
    title: fullInMs === undefined ? title : `${title}, full in ${duration(fullInMs)} as it grows`,
    meaning:
      'A full log refuses publishers and chat requests until age frees it; nothing acknowledged is lost.',
    advice: `nats stream edit ${LOG_STREAM} --max-bytes <more>; or a shorter --max-age`,
    value: log.bytes,
  };
}

/** At its average growth so far; undefined where age frees it before it is full, or where it is too young to tell. */
function timeToFull(log: StreamFacts & { bytesMax: number }, nowMs: number): number | undefined {
  if (log.firstAtMs === undefined) return undefined;
  const ageMs = nowMs - log.firstAtMs;
  if (ageMs < GROWTH_AGE_MIN_MS || log.bytes === 0) return undefined;
  const fullInMs = (log.bytesMax - log.bytes) / (log.bytes / ageMs);
  return log.ageMaxMs !== undefined && ageMs + fullInMs > log.ageMaxMs ? undefined : fullInMs;
}

function messagesTooSmall(messageBytesMax: number): Finding {
  return {
    id: 'nats.message-bytes',
    level: 'unsafe',
    title: `The log takes messages up to ${bytes(messageBytesMax)} only`,
    meaning: `flexpush packs records into messages of up to ${bytes(BOUNDS.messageBytes)}; larger ones are refused.`,
    advice: `nats stream edit ${LOG_STREAM} --max-msg-size -1`,
    value: messageBytesMax,
  };
}

function judgeSnapshots(streams: readonly NamedStream[]): Finding[] {
  const id = 'nats.snapshot-room';
  const snapshots = streams.find(({ name }) => name === SNAPSHOT_STREAM)?.stream;
  if (!snapshots) return [];
  const findings: Finding[] = [];
  if (snapshots.ageMaxMs !== undefined)
    findings.push({
      id: 'nats.snapshot-age',
      level: 'unsafe',
      title: `Snapshots are forgotten after ${duration(snapshots.ageMaxMs)}`,
      meaning: 'A chat that is open for longer cannot be rebuilt when Redis is lost.',
      advice: `nats stream edit ${SNAPSHOT_STREAM} --max-age 0`,
      value: snapshots.ageMaxMs,
    });
  const share = snapshots.bytesMax === undefined ? 0 : snapshots.bytes / snapshots.bytesMax;
  if (share >= FULL_SHARE_WARNING)
    findings.push({
      id,
      level: share < FULL_SHARE_UNSAFE ? 'warning' : 'unsafe',
      title: `The snapshots hold ${bytes(snapshots.bytes)}, ${percent(share)} of their bound`,
      meaning: 'When it is full, old chats are written beside the log no more and cannot be rebuilt.',
      advice: `nats stream edit ${SNAPSHOT_STREAM} --max-bytes <more>`,
      value: snapshots.bytes,
    });
  return findings;
}

function judgeMapping(mapping: MappingFact): Finding {
  const id = 'nats.mapping';
  switch (mapping.kind) {
    case 'agrees':
      return ok(id, 'agrees', 'The server maps flexpush.event.* to the right shards');
    case 'absent':
      return {
        id,
        level: 'warning',
        title: 'The server does not map flexpush.event.*',
        meaning: 'Publishers that publish there, as the documentation says, get "no responders".',
        advice:
          'Put the "mappings" block of deploy/nats.conf into the account, with the shard count of this cluster.',
        value: 'absent',
      };
    case 'wrong':
      return {
        id,
        level: 'unsafe',
        title: 'The server maps flexpush.event.* to wrong shards',
        meaning: `Published events become dead letters, and session-actors refuse to start: ${mapping.reason}.`,
        advice: 'Render the "mappings" block of nats.conf with the shard count of this cluster.',
        value: 'wrong',
      };
    case 'refused':
      return {
        id,
        level: 'unsafe',
        title: 'The log does not take an event',
        meaning: 'A probe that was published was refused: publishers are not acknowledged.',
        advice:
          'See whether the log is full, has a leader, and whether this user may publish to flexpush.event.*.',
        value: 'refused',
      };
    default:
      return mapping satisfies never;
  }
}
