import { cometPushSchema, parseJson, subjects } from '@flexpush/contracts';
import { SessionCalls, type CallOutcome, type CallRecord } from '@flexpush/actor-runtime';
import { appendFrom } from './actor-host';
import { Host } from './host';
import { SHARDS, type World } from './world';

const REPLY_RETRY_MS = 1_500;
const REQUEST_TIMEOUT_MS = 10_000;

/** A chat-api process, without HTTP: the real calls. */
export class ChatHost {
  readonly host: Host;
  readonly callerId: string;
  private readonly calls: SessionCalls;
  /** CometD clients that are connected here, by client id: each takes a notification. */
  readonly clients = new Map<string, (text: string) => void>();

  constructor(
    private readonly world: World,
    readonly name: string,
    incarnation: string,
  ) {
    const host = (this.host = new Host(name, world.time));
    this.callerId = incarnation.replace('.', '-');
    this.calls = new SessionCalls(
      { append: appendFrom(world, host) },
      {
        shardCount: SHARDS,
        retryMs: REPLY_RETRY_MS,
        timeoutMs: REQUEST_TIMEOUT_MS,
        clock: {
          now: () => host.clock.monotonicMs(),
          setTimer: (delayMs, run) => host.clock.after(delayMs, run),
        },
        onEvent: () => undefined,
      },
    );
  }

  start(): void {
    const { network } = this.world;
    network.subscribe(this.host, subjects.reply(this.callerId), (message) =>
      this.calls.accept(message.text()),
    );
    network.subscribe(this.host, subjects.comet(this.callerId), (message) => {
      const { clientId } = cometPushSchema.parse(parseJson(message.text()));
      const client = this.clients.get(clientId);
      client?.(message.text());
      message.respond(JSON.stringify({ v: 1, status: client ? 'taken' : 'gone' }));
    });
  }

  /** One HTTP request. `broken`: the connection to this process broke. */
  call(record: CallRecord): Promise<CallOutcome | { kind: 'broken' }> {
    return new Promise((resolve) => {
      this.host.whenDead(() => resolve({ kind: 'broken' }));
      this.host.run(() => void this.calls.call({ ...record, replyTo: this.callerId }).then(resolve));
    });
  }

  leave(): Promise<void> {
    this.kill();
    return Promise.resolve();
  }

  kill(): void {
    this.host.kill();
    this.world.network.leave(this.host);
  }
}
