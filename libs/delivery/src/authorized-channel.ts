import { tellBehind } from './exchanges';
import type { Channel, HttpPost, PostOutcome } from './channel';
import type { TokenSource } from './token-source';

const UNAUTHORIZED = 401;

/**
 * A channel whose posts carry an access token. A post waits for the first token as part of its flight, so the permits of
 * its destination bound how many wait.
 */
export class AuthorizedChannel implements Channel {
  constructor(
    private readonly inner: Channel,
    private readonly tokens: TokenSource,
  ) {}

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    tellBehind(done, (tell) =>
      this.tokens.take((answer) => {
        if (answer.kind === 'failed') {
          tell({ kind: 'unreached', cause: 'authorization', code: answer.code });
          return;
        }
        const headers = [...post.headers, 'authorization', `Bearer ${answer.token}`];
        this.inner.post({ ...post, headers }, (outcome) => {
          if (outcome.kind === 'answered' && outcome.status === UNAUTHORIZED)
            this.tokens.refuse(answer.token);
          tell(outcome);
        });
      }),
    );
  }

  sweep(nowMs: number): void {
    this.inner.sweep(nowMs);
  }

  async close(): Promise<void> {
    await this.inner.close();
  }
}
