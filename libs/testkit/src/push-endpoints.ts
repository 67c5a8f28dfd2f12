import { createPublicKey, generateKeyPairSync, verify, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { TestCertificate } from './certificates';

export interface EndpointPush {
  readonly path: string;
  readonly headers: Record<string, string | undefined>;
  readonly body: unknown;
}

interface EndpointAnswer {
  readonly status: number;
  readonly body?: unknown;
}

const PEM = { type: 'pkcs8', format: 'pem' } as const;
const PUBLIC = { type: 'spki', format: 'pem' } as const;
const LISTEN = { port: 0, host: '127.0.0.1' };
const WAIT_TURNS_MAX = 1_000_000;

/** Turns of the event loop until something holds: what a server has seen has no event of its own. */
async function until(holds: () => boolean): Promise<void> {
  for (let n = 0; n < WAIT_TURNS_MAX && !holds(); n += 1) await turn();
  if (!holds()) throw new Error('it did not come to hold');
}

/** One pair for all of a process's endpoints, because making one takes a second. */
let rsaKeys: { publicKey: string; privateKey: string } | undefined;

/** Google's side on loopback: the OAuth endpoint, which checks assertions, and FCM, which checks access tokens. */
export class FcmEndpoint {
  readonly pushes: EndpointPush[] = [];
  readonly grants: Record<string, unknown>[] = [];
  /** How the next ones are answered; the defaults are success. */
  answer: EndpointAnswer = { status: 200, body: { name: 'projects/p/messages/1' } };
  tokenAnswer: EndpointAnswer | undefined;
  tokenLifetimeS = 3_600;
  private readonly keys = (rsaKeys ??= generateKeyPairSync('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: PUBLIC,
    privateKeyEncoding: PEM,
  }));
  private readonly server;

  constructor(certificate: TestCertificate) {
    this.server = createServer(certificate, (request, response) => {
      void this.handle(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body ?? {}));
      });
    });
  }

  static async start(certificate: TestCertificate): Promise<FcmEndpoint> {
    const endpoint = new FcmEndpoint(certificate);
    endpoint.server.listen(LISTEN);
    await once(endpoint.server, 'listening');
    return endpoint;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get tokenUrl(): string {
    return `${this.url}/token`;
  }

  /** A key file as Google makes them. */
  get serviceAccount(): string {
    return JSON.stringify({
      type: 'service_account',
      project_id: 'test-project',
      client_email: 'push@test-project.iam.test',
      private_key: this.keys.privateKey,
      token_uri: 'https://elsewhere.test/token',
    });
  }

  until(holds: () => boolean): Promise<void> {
    return until(holds);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async handle(request: IncomingMessage): Promise<EndpointAnswer> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    if (request.url === '/token') return this.grant(new URLSearchParams(text));
    if (request.headers.authorization !== `Bearer token-${this.grants.length}`)
      return { status: 401, body: { error: { status: 'UNAUTHENTICATED' } } };
    const headers = request.headers as Record<string, string | undefined>;
    this.pushes.push({ path: request.url ?? '', headers, body: JSON.parse(text) });
    return this.answer;
  }

  private grant(form: URLSearchParams): EndpointAnswer {
    const claims = verifiedClaims(form.get('assertion') ?? '', createPublicKey(this.keys.publicKey), 'rsa');
    if (claims === undefined || claims['aud'] !== this.tokenUrl)
      return { status: 400, body: { error: 'invalid_grant' } };
    this.grants.push(claims);
    return (
      this.tokenAnswer ?? {
        status: 200,
        body: {
          access_token: `token-${this.grants.length}`,
          expires_in: this.tokenLifetimeS,
          token_type: 'Bearer',
        },
      }
    );
  }
}

/** Apple's side on loopback: HTTP/2 only, and it checks the provider tokens. */
export class ApnsEndpoint {
  readonly pushes: EndpointPush[] = [];
  readonly claims: Record<string, unknown>[] = [];
  readonly sessions = new Set<ServerHttp2Session>();
  answer: EndpointAnswer = { status: 200 };
  private held: (() => void)[] | undefined;
  private readonly keys = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    publicKeyEncoding: PUBLIC,
    privateKeyEncoding: PEM,
  });
  private readonly server;

  constructor(certificate: TestCertificate) {
    this.server = createSecureServer({ ...certificate, allowHTTP1: false });
    this.server.on('session', (session) => {
      this.sessions.add(session);
      session.on('error', () => undefined);
      session.once('close', () => this.sessions.delete(session));
    });
    this.server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      void this.handle(stream, headers as Record<string, string | undefined>);
    });
  }

  static async start(certificate: TestCertificate): Promise<ApnsEndpoint> {
    const endpoint = new ApnsEndpoint(certificate);
    endpoint.server.listen(LISTEN);
    await once(endpoint.server, 'listening');
    return endpoint;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** The content of a .p8 file. */
  get key(): string {
    return this.keys.privateKey;
  }

  /** Leaves later pushes without an answer until `release()`. */
  hold(): void {
    this.held ??= [];
  }

  release(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const answerNow of held) answerNow();
  }

  until(holds: () => boolean): Promise<void> {
    return until(holds);
  }

  async close(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private async handle(
    stream: ServerHttp2Stream,
    headers: Record<string, string | undefined>,
  ): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    const token = (headers['authorization'] ?? '').replace(/^bearer /, '');
    const claims = verifiedClaims(token, createPublicKey(this.keys.publicKey), 'ec');
    if (claims === undefined)
      return this.reply(stream, { status: 403, body: { reason: 'InvalidProviderToken' } });
    this.claims.push(claims);
    this.pushes.push({
      path: headers[':path'] ?? '',
      headers,
      body: JSON.parse(Buffer.concat(chunks).toString()),
    });
    const { answer } = this;
    if (this.held === undefined) this.reply(stream, answer);
    else this.held.push(() => this.reply(stream, answer));
  }

  private reply(stream: ServerHttp2Stream, { status, body }: EndpointAnswer): void {
    if (stream.destroyed) return;
    stream.respond({ ':status': status, 'content-type': 'application/json' });
    stream.end(body === undefined ? '' : JSON.stringify(body));
  }
}

/** The claims of a JWT with a good signature. */
function verifiedClaims(
  token: string,
  key: KeyObject,
  kind: 'rsa' | 'ec',
): Record<string, unknown> | undefined {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const isGood = verify(
    'sha256',
    Buffer.from(`${header}.${payload}`),
    kind === 'ec' ? { key, dsaEncoding: 'ieee-p1363' } : key,
    Buffer.from(signature, 'base64url'),
  );
  if (!isGood) return undefined;
  const read = (part: string) =>
    JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return { ...read(header), ...read(payload) };
}
