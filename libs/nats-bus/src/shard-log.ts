import { LOG_STREAM, subjects } from '@flexpush/contracts';
import { millis, NatsError, type JetStreamManager } from 'nats';
import type { NatsBus } from './bus';
import { LogReader, timeOfRecord, type ReaderEvent } from './log-reader';

/** Where the log stands. `createdAt` changes when the stream is recreated. */
export interface LogState {
  createdAt: string;
  firstSeq: number;
  lastSeq: number;
  /** Records older than this leave the log; undefined: none does. */
  ageMaxMs: number | undefined;
}

/**
 * In a cluster a consumer may be given to a server that has died and is not missed yet: nobody answers then. The next try
 * is likely to meet another one, so it must not wait for long.
 */
const API_TIMEOUT_MS = 2_000;

/** The log as a shard's owner needs it. */
export class ShardLog {
  private constructor(
    private readonly bus: NatsBus,
    private readonly jsm: JetStreamManager,
  ) {}

  static async open(bus: NatsBus): Promise<ShardLog> {
    return new ShardLog(bus, await bus.connection.jetstreamManager({ timeout: API_TIMEOUT_MS }));
  }

  async state(): Promise<LogState> {
    const info = await this.jsm.streams.info(LOG_STREAM);
    const { first_seq: firstSeq, last_seq: lastSeq } = info.state;
    const ageMaxMs = millis(info.config.max_age);
    return { createdAt: info.created, firstSeq, lastSeq, ageMaxMs: ageMaxMs > 0 ? ageMaxMs : undefined };
  }

  /** The last sequence of one shard: the barrier. 0 when it has no record. */
  async lastSeqOf(shard: number): Promise<number> {
    const ends = await Promise.all(
      [subjects.logPublic(shard), subjects.logInternal(shard)].map((subject) => this.lastSeqOn(subject)),
    );
    return Math.max(...ends);
  }

  /** When the record at this place was stored, epoch ms; undefined when there is none. */
  async timeOf(seq: number): Promise<number | undefined> {
    return timeOfRecord(this.jsm, seq);
  }

  /** A reader that is open; it heals itself. */
  async read(options: {
    shard: number;
    fromSeq: number;
    queueMax: number;
    onEvent?: (event: ReaderEvent, detail: string) => void;
  }): Promise<LogReader> {
    const reader = new LogReader(this.bus, this.jsm, options);
    await reader.open();
    return reader;
  }

  private async lastSeqOn(subject: string): Promise<number> {
    try {
      return (await this.jsm.streams.getMessage(LOG_STREAM, { last_by_subj: subject })).seq;
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === 10037) return 0;
      throw error;
    }
  }
}
