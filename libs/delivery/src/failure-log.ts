import { logIds, type PushJob } from '@flexpush/contracts';
import { FAILURE_LOG_INTERVAL_MS } from './bounds';

/** What delivery needs of a logger; pino has it. */
export interface DeliveryLogger {
  isLevelEnabled(level: string): boolean;
  debug(fields: object, fact: string): void;
  info(fields: object, fact: string): void;
  warn(fields: object, fact: string): void;
}

export interface Failure {
  job: PushJob;
  /** Origin, or undefined when there was none to send to. */
  destination: string | undefined;
  reason: string;
}

interface Line {
  nextAtMs: number;
  /** Failures since the last line. */
  held: number;
  last: Failure;
}

/**
 * Writes log id 09900. A dead receiver fails thousands of pushes a second, so triggers, which their schedule sends
 * again, are counted into one line per destination and interval. Plain notifications are gone for good: each has its
 * own line.
 *
 * The lines by destination are bounded like the destinations themselves, because a line without failures is dropped.
 */
export class FailureLog {
  private readonly lines = new Map<string, Line>();

  constructor(private readonly log: DeliveryLogger) {}

  failed(failure: Failure, nowMs: number): void {
    if (failure.job.kind === 'plain') {
      this.write(failure, 1);
      return;
    }
    const key = failure.destination ?? failure.reason;
    const line = this.lines.get(key);
    if (line === undefined) {
      this.write(failure, 1);
      this.lines.set(key, { nextAtMs: nowMs + FAILURE_LOG_INTERVAL_MS, held: 0, last: failure });
      return;
    }
    line.held += 1;
    line.last = failure;
    if (nowMs >= line.nextAtMs) this.release(key, line, nowMs);
  }

  /** The device is gone, and with it the subscription: each has its own line, whatever its kind. */
  gone(failure: Failure): void {
    this.write(failure, 1, 'delivery.device-gone');
  }

  /** Writes what was held back; called a few times a second, so that no count is kept for ever. */
  sweep(nowMs: number): void {
    for (const [key, line] of this.lines) {
      if (nowMs >= line.nextAtMs) this.release(key, line, nowMs);
    }
  }

  /** Writes everything that was held back, at the end. */
  flush(): void {
    for (const line of this.lines.values()) {
      if (line.held > 0) this.write(line.last, line.held);
    }
    this.lines.clear();
  }

  private release(key: string, line: Line, nowMs: number): void {
    if (line.held === 0) {
      this.lines.delete(key);
      return;
    }
    this.write(line.last, line.held);
    line.held = 0;
    line.nextAtMs = nowMs + FAILURE_LOG_INTERVAL_MS;
  }

  private write(failure: Failure, count: number, fact = 'delivery.failed'): void {
    const { job } = failure;
    const event = job.kind === 'trigger' ? job.position : (job.event?.index ?? job.n);
    this.log.warn(
      {
        logId: logIds.notPushed,
        text: `Event ${event} was not (${failure.reason}) pushed for delivery to ${job.deviceType} for device ${shownDeviceId(job.deviceId)}`,
        notificationId: job.id,
        sessionId: job.sessionId,
        userId: job.userId,
        kind: job.kind,
        destination: failure.destination,
        reason: failure.reason,
        count,
      },
      fact,
    );
  }
}

/** The last four characters at most, and never the whole id (I10). */
export function shownDeviceId(deviceId: string): string {
  return deviceId.length > 4 ? `...${deviceId.slice(-4)}` : '...';
}
