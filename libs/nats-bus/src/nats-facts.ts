import { CLUSTER_BUCKET, parseJson } from '@flexpush/contracts';
import {
  DiscardPolicy,
  millis,
  NatsError,
  RequestStrategy,
  StorageType,
  type JetStreamManager,
  type StreamInfo,
} from 'nats';
import type { NatsBus } from './bus';
import { bindBucket, flexpushStreams, MappingError, probeMapping } from './streams';

/** What NATS says of itself and of our streams, for those who judge it. Nothing in it changes the system. */
export interface NatsFacts {
  readonly server: string;
  readonly version: string;
  readonly maxPayloadBytes: number;
  /** Absent on a server that stands alone. */
  readonly cluster?: string | undefined;
  /** undefined: JetStream does not answer, or is not there. */
  readonly jetstream?: JetStreamFacts | undefined;
  readonly streams: readonly StreamAnswer[];
  /** As kept in the cluster bucket. */
  readonly shardCount?: number | undefined;
}

export interface JetStreamFacts {
  readonly storageBytes: number;
  /** The account's limit; undefined: none. */
  readonly storageBytesMax?: number | undefined;
}

/** `silent`: the server knows JetStream, but nobody answers for this stream, as without a leader. */
export type StreamAnswer =
  | { readonly kind: 'there'; readonly name: string; readonly stream: StreamFacts }
  | { readonly kind: 'missing' | 'silent'; readonly name: string };

export interface StreamFacts {
  readonly storage: 'file' | 'memory';
  readonly replicas: number;
  readonly discard: 'new' | 'old';
  readonly duplicateWindowMs: number;
  /** undefined: unbounded. */
  readonly ageMaxMs?: number | undefined;
  readonly bytesMax?: number | undefined;
  readonly messageBytesMax?: number | undefined;
  readonly bytes: number;
  readonly messages: number;
  /** undefined in an empty stream. */
  readonly firstAtMs?: number | undefined;
  readonly lastAtMs?: number | undefined;
  /** The server that leads; undefined on one that stands alone, or while there is none. */
  readonly leader?: string | undefined;
  readonly followers: readonly { readonly name: string; readonly isCurrent: boolean }[];
}

/** Reads once and changes nothing. A part that does not answer within the time-out is told so, never waited for. */
export async function readNatsFacts(bus: NatsBus, options: { timeoutMs: number }): Promise<NatsFacts> {
  const server = bus.connection.info;
  if (!server) throw new Error('the NATS server has said nothing of itself');
  const about = {
    server: server.server_name,
    version: server.version,
    maxPayloadBytes: server.max_payload,
    cluster: server.cluster,
  };
  const jsm = await bus.connection.jetstreamManager({ timeout: options.timeoutMs, checkAPI: false });
  const jetstream = await readAccount(jsm);
  if (!jetstream) return { ...about, jetstream, streams: [] };
  const [streams, shardCount] = await Promise.all([
    Promise.all(flexpushStreams.map((name) => readStream(jsm, name))),
    readShardCount(bus),
  ]);
  return { ...about, jetstream, streams, shardCount };
}

async function readAccount(jsm: JetStreamManager): Promise<JetStreamFacts | undefined> {
  try {
    const { storage, limits } = await jsm.getAccountInfo();
    return {
      storageBytes: storage,
      storageBytesMax: limits.max_storage > 0 ? limits.max_storage : undefined,
    };
  } catch (error) {
    if (error instanceof NatsError) return undefined;
    throw error;
  }
}

async function readStream(jsm: JetStreamManager, name: string): Promise<StreamAnswer> {
  try {
    return { kind: 'there', name, stream: streamFactsOf(await jsm.streams.info(name)) };
  } catch (error) {
    if (!(error instanceof NatsError)) throw error;
    return { kind: error.api_error?.err_code === 10059 ? 'missing' : 'silent', name };
  }
}

function streamFactsOf({ config, state, cluster }: StreamInfo): StreamFacts {
  const bound = (value: number) => (value > 0 ? value : undefined);
  const isEmpty = state.messages === 0;
  return {
    storage: config.storage === StorageType.File ? 'file' : 'memory',
    replicas: config.num_replicas,
    discard: config.discard === DiscardPolicy.New ? 'new' : 'old',
    duplicateWindowMs: millis(config.duplicate_window),
    ageMaxMs: bound(millis(config.max_age)),
    bytesMax: bound(config.max_bytes),
    messageBytesMax: bound(config.max_msg_size),
    bytes: state.bytes,
    messages: state.messages,
    firstAtMs: isEmpty ? undefined : Date.parse(state.first_ts),
    lastAtMs: isEmpty ? undefined : Date.parse(state.last_ts),
    leader: cluster?.leader,
    followers: (cluster?.replicas ?? []).map((peer) => ({
      name: peer.name,
      isCurrent: peer.current && !peer.offline,
    })),
  };
}

async function readShardCount(bus: NatsBus): Promise<number | undefined> {
  try {
    const kept = await (await bindBucket(bus, CLUSTER_BUCKET))?.get('shards');
    return kept ? Number(kept.string()) : undefined;
  } catch (error) {
    if (error instanceof NatsError) return undefined;
    throw error;
  }
}

/** As `probeMapping` says it; 'refused' also where the probe was answered by silence. */
export type MappingFact =
  { readonly kind: 'agrees' | 'absent' | 'refused' } | { readonly kind: 'wrong'; readonly reason: string };

/** Publishes one probe record, which folds to nothing, to see where the server puts it. */
export async function readMapping(bus: NatsBus, shardCount: number): Promise<MappingFact> {
  try {
    return { kind: await probeMapping(bus, shardCount) };
  } catch (error) {
    if (error instanceof MappingError) return { kind: 'wrong', reason: error.message };
    if (error instanceof NatsError) return { kind: 'refused' };
    throw error;
  }
}

/**
 * What each server of the cluster tells the system account of itself (`varz`). Empty where this connection may not ask,
 * which is the usual case: an application's account sees no other.
 */
export async function askServers(bus: NatsBus, options: { timeoutMs: number }): Promise<unknown[]> {
  const answers: unknown[] = [];
  try {
    const stream = await bus.connection.requestMany('$SYS.REQ.SERVER.PING.VARZ', '', {
      strategy: RequestStrategy.Timer,
      maxWait: options.timeoutMs,
    });
    for await (const message of stream) {
      const { data } = Object(parseJson(message.string())) as { data?: unknown };
      if (data !== undefined) answers.push(data);
    }
  } catch (error) {
    // Nobody responds, or it is not permitted.
    if (!(error instanceof NatsError)) throw error;
  }
  return answers;
}
