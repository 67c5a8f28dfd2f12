/** What a token endpoint gave. */
export interface AccessToken {
  token: string;
  /** Epoch ms. */
  expiresAtMs: number;
}

export type TokenAnswer = { kind: 'token'; token: string } | { kind: 'failed'; code: string };

/** Thrown by a fetch that failed; the code is shown in logs and results, so it holds no secret. */
export class TokenFetchError extends Error {
  readonly retryable = true;
  constructor(
    readonly code: string,
    options?: { cause: unknown },
  ) {
    super(`no access token: ${code}`, options);
  }
}

export interface TokenSourceParts {
  fetch: () => Promise<AccessToken>;
  /** Epoch ms. */
  nowMs: () => number;
  /** A fetch has failed; the next one is not before `retryInMs`. */
  onFailure: (failure: { code: string; retryInMs: number }) => void;
}

/** A token is renewed in the background when it has this long left, and not used when it has less than the second. */
export const TOKEN_RENEW_BEFORE_MS = 300_000;
export const TOKEN_UNUSABLE_BEFORE_MS = 10_000;
const REFUSED = 'token-refused';
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;

/**
 * An access token that is fetched when it is first needed and kept fresh while it is needed.
 *
 * T1. At most one fetch is under way; all who wait get its answer.
 * T2. A token that is still good is used while its successor is fetched, also when that fails.
 * T3. After a failure the next fetch waits, twice as long each time up to a bound; who asks meanwhile is told the failure.
 */
export class TokenSource {
  private current: AccessToken | undefined;
  private waiters: ((answer: TokenAnswer) => void)[] | undefined;
  private fetchedAtMs = 0;
  private failure: { code: string; retryAtMs: number; backoffMs: number } | undefined;

  constructor(private readonly parts: TokenSourceParts) {}

  /** Calls `done` once: at once when the answer is known. */
  take(done: (answer: TokenAnswer) => void): void {
    const nowMs = this.parts.nowMs();
    const leftMs = this.current === undefined ? 0 : this.current.expiresAtMs - nowMs;
    const mayFetch = this.failure === undefined || nowMs >= this.failure.retryAtMs;
    if (leftMs < TOKEN_RENEW_BEFORE_MS && mayFetch) this.renew();
    if (this.current !== undefined && leftMs >= TOKEN_UNUSABLE_BEFORE_MS)
      done({ kind: 'token', token: this.current.token });
    else if (this.waiters !== undefined) this.waiters.push(done);
    else done({ kind: 'failed', code: this.failure?.code ?? 'unknown' });
  }

  /** The server has refused this token. One that was fetched just now will not get better by another fetch at once (T3). */
  refuse(token: string): void {
    if (this.current?.token !== token) return;
    this.current = undefined;
    if (this.parts.nowMs() - this.fetchedAtMs < BACKOFF_MAX_MS) this.fail(REFUSED);
    else this.failure = undefined;
  }

  private renew(): void {
    if (this.waiters !== undefined) return;
    this.waiters = [];
    this.parts.fetch().then(
      (fetched) => {
        this.current = fetched;
        this.fetchedAtMs = this.parts.nowMs();
        if (this.failure?.code !== REFUSED) this.failure = undefined;
        this.answer({ kind: 'token', token: fetched.token });
      },
      (error: unknown) => {
        const code = error instanceof TokenFetchError ? error.code : 'unknown';
        this.fail(code);
        this.answer({ kind: 'failed', code });
      },
    );
  }

  private fail(code: string): void {
    const backoffMs = Math.min(BACKOFF_MAX_MS, (this.failure?.backoffMs ?? BACKOFF_FIRST_MS / 2) * 2);
    this.failure = { code, backoffMs, retryAtMs: this.parts.nowMs() + backoffMs };
    this.parts.onFailure({ code, retryInMs: backoffMs });
  }

  private answer(answer: TokenAnswer): void {
    const waiters = this.waiters ?? [];
    this.waiters = undefined;
    for (const waiter of waiters) waiter(answer);
  }
}
