import type { CallClock } from '@flexpush/actor-runtime';
import { cometPushSchema, type CometPushAnswer, type OptionValues } from '@flexpush/contracts';
import { MessageIntake, systemClock as processClock, type Logger } from '@flexpush/process';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import type { Registry } from 'prom-client';
import type { ChatService } from '../chat-service';
import type { ChatApiConfig } from '../config';
import { isForeignPage } from '../cors';
import type { KeyObfuscator } from '../obfuscated-key';
import type { RequestGate } from '../request-gate';
import type { RequestJournal } from '../request-journal';
import { BayeuxServer } from './bayeux-server';
import { ChatNtf, type NtfFiles } from './chat-ntf';
import { CometFront } from './comet-front';
import { CometMetrics } from './comet-metrics';
import { cometClosedBecause } from './cometd-options';
import { serveLongPolling } from './http-transport';
import { WebSocketTransport } from './websocket-transport';

export interface CometdParts {
  config: Readonly<ChatApiConfig>;
  callerId: string;
  service: ChatService;
  obfuscator: KeyObfuscator;
  gate: RequestGate;
  journal: RequestJournal;
  clock: CallClock;
  registry: Registry;
  log: Logger;
  /** The live option values; undefined while they are not read yet. */
  options: () => OptionValues | undefined;
  /** The file operations of REST; without them there is no chat-ntf. */
  files?: NtfFiles | undefined;
}

/** The CometD front end of one chat-api (CONTRACT 2), put together. */
export class Cometd {
  readonly server: BayeuxServer;
  private readonly front: CometFront;
  private readonly metrics: CometMetrics;
  private readonly intake: MessageIntake;
  private readonly webSocket: WebSocketTransport;

  constructor(private readonly parts: CometdParts) {
    const { config, clock, registry, log } = parts;
    this.metrics = new CometMetrics(registry, () => this.server.sessionCount);
    this.intake = new MessageIntake({ registry, log, clock: processClock });
    this.front = new CometFront({
      ...parts,
      metrics: this.metrics,
      closedBecause: () => cometClosedBecause(parts.options()),
    });
    this.server = new BayeuxServer(this.front, {
      clock,
      sessionsMax: config.FLEXPUSH_COMETD_SESSIONS_MAX,
      timeoutMs: config.FLEXPUSH_COMETD_TIMEOUT_MS,
      maxIntervalMs: config.FLEXPUSH_COMETD_MAX_INTERVAL_MS,
      onHandshake: (outcome) => this.metrics.handshake(outcome),
      onRefused: (error) => this.metrics.refused(error),
    });
    this.front.use(this.server);
    this.webSocket = new WebSocketTransport({
      ...this.httpOptions(),
      connectionsMax: config.FLEXPUSH_COMETD_SESSIONS_MAX,
      maxIntervalMs: config.FLEXPUSH_COMETD_MAX_INTERVAL_MS,
      clock,
      onUnused: () => this.metrics.refused('unused-socket'),
    });
  }

  async serve(app: NestFastifyApplication): Promise<void> {
    const fastify = app.getHttpAdapter().getInstance();
    const { journal } = this.parts;
    await serveLongPolling(fastify, {
      ...this.httpOptions(),
      onTurnedAway: (request) => journal.turnedAway(request),
      onFailed: (error) => journal.failed(error),
    });
    this.webSocket.listen(fastify.server);
    await this.serveFiles(fastify);
    // An HTTP server that closes would wait for held requests and open sockets.
    fastify.addHook('preClose', () => {
      this.sendClientsElsewhere();
      this.webSocket.terminate();
    });
  }

  private async serveFiles(fastify: FastifyInstance): Promise<void> {
    const { files, gate, journal } = this.parts;
    if (!files) return;
    const { appName, requestBytesMax } = this.httpOptions();
    const ntf = new ChatNtf({
      appName,
      requestBytesMax,
      files,
      gate,
      journal,
      knowsBrowser: (browserId) => this.server.knowsBrowser(browserId),
      identify: (fields) => this.front.identify('chat-ntf', fields),
    });
    await ntf.serve(fastify);
  }

  /** A message on `subjects.comet`; undefined: it cannot be read, and nobody can be told. */
  accept(text: string): string | undefined {
    const push = this.intake.read('comet-push', cometPushSchema, text);
    if (!push) return undefined;
    const status = this.front.push(push);
    this.metrics.pushed(status);
    return JSON.stringify({ v: 1, status } satisfies CometPushAnswer);
  }

  /** Gives clients what waits for them, and the advice to begin anew; another replica answers them. */
  sendClientsElsewhere(): void {
    this.server.stop();
    this.webSocket.close();
  }

  /** Resolves when no client is still to be reported away. */
  async reported(): Promise<void> {
    await this.front.reported();
  }

  private httpOptions() {
    const { FLEXPUSH_APP_NAME, FLEXPUSH_REQUEST_BYTES_MAX } = this.parts.config;
    return {
      appName: FLEXPUSH_APP_NAME,
      requestBytesMax: FLEXPUSH_REQUEST_BYTES_MAX,
      server: this.server,
      refusesPage: (headers: IncomingHttpHeaders) => {
        const isForeign = isForeignPage(headers, this.parts.options() ?? {});
        if (isForeign) this.metrics.refused('foreign-page');
        return isForeign;
      },
    };
  }
}
