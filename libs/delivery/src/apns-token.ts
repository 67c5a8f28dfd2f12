import { sign } from 'jws';

export interface ApnsCredentials {
  /** The content of the .p8 file. */
  key: string;
  keyId: string;
  teamId: string;
}

/** Apple refuses tokens older than an hour, and new ones more often than every 20 minutes. */
export const APNS_TOKEN_REUSE_MS = 50 * 60_000;
export const APNS_TOKEN_AGE_MIN_MS = 20 * 60_000;

/**
 * The provider token of APNs: signed when it is needed, used for 50 minutes.
 *
 * A1. No two tokens are signed within 20 minutes, or APNs answers TooManyProviderTokenUpdates.
 */
export class ApnsToken {
  private current: { token: string; signedAtMs: number } | undefined;

  constructor(
    private readonly credentials: ApnsCredentials,
    private readonly nowMs: () => number,
  ) {}

  read(): string {
    const nowMs = this.nowMs();
    // A clock that was set back would make a token of the future.
    const ageMs = this.current === undefined ? Infinity : Math.abs(nowMs - this.current.signedAtMs);
    if (this.current === undefined || ageMs >= APNS_TOKEN_REUSE_MS)
      this.current = { token: signed(this.credentials, nowMs), signedAtMs: nowMs };
    return this.current.token;
  }

  /** APNs took this token for expired: the clocks differ. */
  refuse(token: string): void {
    if (this.current?.token !== token) return;
    if (this.nowMs() - this.current.signedAtMs >= APNS_TOKEN_AGE_MIN_MS) this.current = undefined;
  }
}

function signed({ key, keyId, teamId }: ApnsCredentials, nowMs: number): string {
  return sign({
    header: { alg: 'ES256', kid: keyId },
    payload: { iss: teamId, iat: Math.floor(nowMs / 1000) },
    secret: key,
  });
}
