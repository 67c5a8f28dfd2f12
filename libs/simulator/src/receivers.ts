import type { Channel, PostOutcome } from '@flexpush/delivery';
import type { VirtualClock } from '@flexpush/actor-runtime/testing';
import type { Host } from './host';
import type { Random } from './random';

export const ORIGINS = { well: 'http://well.test', sick: 'http://sick.test' } as const;
export type ReceiverName = keyof typeof ORIGINS;

const WAY_MAX_MS = 3;
const ANSWER_MAX_MS = 8;
/** gms-node gives an answer up after so long. */
const ANSWER_TIMEOUT_MS = 3_000;

/** The customers' HTTP servers. A POST that has left its host arrives, whatever becomes of the host. */
export class Receivers {
  /** How the sick one is at present. */
  sickness: 'none' | 'refuse' | 'fail' | 'hang' = 'none';
  onPost: (body: unknown, taken: boolean) => void = () => undefined;

  constructor(
    private readonly time: VirtualClock,
    private readonly random: Random,
  ) {}

  channel(host: Host, origin: string): Channel {
    return {
      post: ({ body }, done) => {
        const end = (delayMs: number, outcome: PostOutcome) =>
          this.time.after(delayMs, () => host.run(() => done(outcome)));
        this.time.after(this.random.next() * WAY_MAX_MS, () => {
          const does = origin === ORIGINS.sick ? this.sickness : 'none';
          if (does === 'refuse')
            return void end(0, { kind: 'unreached', cause: 'connection', code: 'ECONNREFUSED' });
          this.onPost(JSON.parse(body), does === 'none');
          if (does === 'hang')
            end(ANSWER_TIMEOUT_MS, { kind: 'unreached', cause: 'timeout', code: 'ANSWER_TIMEOUT' });
          else
            end(this.random.next() * ANSWER_MAX_MS, {
              kind: 'answered',
              status: does === 'fail' ? 500 : 200,
            });
        });
      },
      sweep: () => undefined,
      close: () => Promise.resolve(),
    };
  }
}
