import { SessionCalls, type CallsOptions } from '@flexpush/actor-runtime';
import { subjects } from '@flexpush/contracts';
import { connectBus, FileStore, LogAppender, waitForShardCount } from '@flexpush/nats-bus';
import type { CheckResult, Logger } from '@flexpush/process';
import type { OptionWatch } from './option-watch';

type OpenBus = Awaited<ReturnType<typeof connectBus>>;

/**
 * The way to the log and back. HTTP serves before it stands, so that probes and callers hear "not ready" instead of
 * a closed port.
 */
export class LogConnection {
  private bus: OpenBus | undefined;
  private appender: LogAppender | undefined;
  private sessionCalls: SessionCalls | undefined;
  private fileStore: FileStore | undefined;

  constructor(
    private readonly options: {
      natsUrl: string;
      nodeId: string;
      callerId: string;
      calls: Omit<CallsOptions, 'shardCount'>;
      optionWatch: OptionWatch;
      /** A notification for a CometD client; returns the answer to it. */
      onCometPush: (text: string) => string | undefined;
      log: Logger;
    },
  ) {}

  /** Undefined until the shard count is known. */
  calls(): SessionCalls | undefined {
    return this.sessionCalls;
  }

  /** Undefined until NATS is there. */
  files(): FileStore | undefined {
    return this.fileStore;
  }

  async open(): Promise<void> {
    const { natsUrl, nodeId, callerId, log } = this.options;
    const bus = await connectBus({
      url: natsUrl,
      name: nodeId,
      onStatus: (status) => log.info({ status }, 'nats.status'),
    });
    this.bus = bus;
    const optionsRead = this.options.optionWatch.open(bus);
    this.fileStore = await FileStore.open(bus);
    const shardCount = await waitForShardCount(bus);
    const appender = new LogAppender(bus);
    const calls = new SessionCalls(appender, { ...this.options.calls, shardCount });
    // Before the first append: the server handles what one connection sends in order, so no reply can be missed.
    bus.subscribe(subjects.reply(callerId), (message) => calls.accept(message.text()));
    bus.subscribe(subjects.comet(callerId), (message) => {
      const answer = this.options.onCometPush(message.text());
      if (answer !== undefined) message.respond(answer);
    });
    this.appender = appender;
    this.sessionCalls = calls;
    await optionsRead;
    log.info({ shardCount, callerId }, 'chat.ready');
  }

  natsCheck(): CheckResult {
    return this.bus?.connected() ? true : 'not connected';
  }

  shardsCheck(): CheckResult {
    return this.sessionCalls ? true : 'the shard count is not known yet';
  }

  async flush(): Promise<void> {
    await this.appender?.flush();
  }

  async close(): Promise<void> {
    this.options.optionWatch.close();
    await this.bus?.close();
  }
}
