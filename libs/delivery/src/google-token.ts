import { parseJson } from '@flexpush/contracts';
import { gaxios, JWT } from 'google-auth-library';
import { Agent, ProxyAgent, request, type Dispatcher } from 'undici';
import type { HttpConnection } from './connection';
import { unreached } from './unreached';
import { TokenFetchError, type AccessToken } from './token-source';

export interface ServiceAccount {
  email: string;
  /** PEM. */
  privateKey: string;
  tokenUrl: string;
}

const FCM_SCOPE = 'https://www.googleapis.com/auth/firebase.messaging';
/** For each phase of a fetch: connecting, the head of the answer, its body. */
const FETCH_TIMEOUT_MS = 5_000;
const ANSWER_CHARS_MAX = 65_536;
/** What the page of the grant says when the answer names no lifetime. */
const LIFETIME_MS = 3_600_000;

/** Exchanges a signed assertion of the service account for an access token. Throws `TokenFetchError`. */
export async function fetchGoogleToken(
  account: ServiceAccount,
  way: Pick<HttpConnection, 'tls' | 'proxy'>,
): Promise<AccessToken> {
  const transport = new TokenTransport(account.tokenUrl, way);
  try {
    const client = new JWT({
      email: account.email,
      key: account.privateKey,
      scopes: [FCM_SCOPE],
      // The assertion is for whoever exchanges it; the library knows only Google's own address.
      additionalClaims: { aud: account.tokenUrl },
      transporter: transport,
    });
    const { access_token: token, expiry_date: expiresAtMs } = await client.authorize();
    if (typeof token !== 'string' || token === '') throw new TokenFetchError('no-token-in-answer');
    return { token, expiresAtMs: expiresAtMs ?? Date.now() + LIFETIME_MS };
  } catch (error) {
    // The library copies messages, not classes. What is no error of the exchange is one of signing.
    throw (
      transport.failure ?? (error instanceof TokenFetchError ? error : new TokenFetchError('key-not-usable'))
    );
  } finally {
    await transport.close();
  }
}

/**
 * The library's way out, replaced by undici: so the token comes over the same authorities and proxy as the pushes, with
 * time-outs and without the library's own retries.
 */
class TokenTransport extends gaxios.Gaxios {
  failure: TokenFetchError | undefined;
  private readonly dispatcher: Dispatcher;

  constructor(
    private readonly tokenUrl: string,
    { tls, proxy }: Pick<HttpConnection, 'tls' | 'proxy'>,
  ) {
    super();
    const timeouts = { headersTimeout: FETCH_TIMEOUT_MS, bodyTimeout: FETCH_TIMEOUT_MS };
    const connect = { ...tls, timeout: FETCH_TIMEOUT_MS };
    this.dispatcher =
      proxy === undefined
        ? new Agent({ ...timeouts, connect })
        : new ProxyAgent({
            ...timeouts,
            uri: proxy.url,
            requestTls: connect,
            proxyTls: { timeout: FETCH_TIMEOUT_MS },
          });
  }

  override async request<T>(options: gaxios.GaxiosOptions = {}): Promise<gaxios.GaxiosResponse<T>> {
    try {
      const answer = await request(this.tokenUrl, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
        body: String(options.data),
        dispatcher: this.dispatcher,
      });
      const data = parseJson(await boundedText(answer.body));
      if (answer.statusCode !== 200) throw new TokenFetchError(codeOf(answer.statusCode, data));
      return { data } as gaxios.GaxiosResponse<T>;
    } catch (error) {
      this.failure =
        error instanceof TokenFetchError
          ? error
          : new TokenFetchError(unreached(error as Error).code, { cause: error });
      throw this.failure;
    }
  }

  async close(): Promise<void> {
    await this.dispatcher.destroy();
  }
}

/** OAuth's own word, such as invalid_grant, where there is one. */
function codeOf(status: number, data: unknown): string {
  const word = typeof data === 'object' && data !== null && 'error' in data ? data.error : undefined;
  return typeof word === 'string' && /^[a-z_]{1,40}$/.test(word) ? word : `http-${status}`;
}

async function boundedText(body: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += chunk.toString();
    if (text.length > ANSWER_CHARS_MAX) throw new TokenFetchError('answer-too-long');
  }
  return text;
}
