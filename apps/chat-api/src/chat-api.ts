import type { CallClock } from '@flexpush/actor-runtime';
import type { OptionValues } from '@flexpush/contracts';
import type { ServiceContext, ServiceParts } from '@flexpush/process';
import { APP_FILTER } from '@nestjs/core';
import { chatController } from './chat-controller';
import { ChatService, type CallPort } from './chat-service';
import { systemClock } from './clock';
import { Cometd } from './cometd/cometd';
import { ntfRoute, type NtfFiles } from './cometd/chat-ntf';
import type { ChatApiConfig } from './config';
import { FailureFilter } from './failure-filter';
import { allowOrigins } from './cors';
import { fileController, uploadRoute } from './file-controller';
import { FileDesk } from './file-desk';
import { FileService, type FileStorePort } from './file-service';
import {
  acceptForms,
  createAdapter,
  dropUnreadAnswers,
  hurryBodies,
  refuseForeignCharsets,
} from './http-edge';
import { LogConnection } from './log-connection';
import { ChatMetrics } from './metrics';
import { KeyObfuscator } from './obfuscated-key';
import { OptionWatch } from './option-watch';
import { RequestGate } from './request-gate';
import { openApiController } from './openapi-controller';
import { RequestDesk } from './request-desk';
import { RequestJournal } from './request-journal';
import { STRANGERS_MAX, TransferDesk } from './transfer-desk';
import { SpoolRoom } from './upload-spool';

/** The HTTP side over any way to the sessions. */
export function chatApiParts(
  context: ServiceContext<ChatApiConfig>,
  backend: {
    callerId: string;
    metrics: ChatMetrics;
    gate: RequestGate;
    calls: () => CallPort | undefined;
    /** Undefined while it is not there yet. */
    files?: () => FileStorePort | undefined;
    /** The live option values; undefined while they are not read yet. */
    options?: () => OptionValues | undefined;
    clock?: CallClock;
    /** What chat-ntf does with files; else the same as REST. */
    ntfFiles?: NtfFiles;
  },
): Required<Pick<ServiceParts, 'controllers' | 'providers' | 'adapter' | 'configure'>> & { cometd: Cometd } {
  const { config, log } = context;
  const requestBytesMax = config.FLEXPUSH_REQUEST_BYTES_MAX;
  const receiveTimeoutMs = config.FLEXPUSH_RECEIVE_TIMEOUT_MS;
  const appName = config.FLEXPUSH_APP_NAME;
  const journal = new RequestJournal(backend.metrics, log);
  const obfuscator = new KeyObfuscator(config.FLEXPUSH_KEY_SECRET);
  const service = new ChatService({
    callerId: backend.callerId,
    keySecret: config.FLEXPUSH_KEY_SECRET,
    obfuscator,
    calls: backend.calls,
    log,
  });
  const files = new FileService({ chats: service, store: backend.files ?? (() => undefined), log });
  const spools = new SpoolRoom({
    folder: config.FLEXPUSH_FILE_SPOOL_FOLDER,
    diskBytesMax: config.FLEXPUSH_FILE_SPOOL_BYTES_MAX,
    onFailed: (error) => log.warn({ err: error, folder: config.FLEXPUSH_FILE_SPOOL_FOLDER }, 'file.no-spool'),
  });
  const transfers = transferDesk(config, spools);
  backend.metrics.watchTransfers(() => transfers.inFlight());
  backend.metrics.watchSpools({ memory: () => spools.memory.taken, disk: () => spools.disk.taken });
  const desk = new FileDesk(files, transfers);
  const { callerId, gate, clock = systemClock, options = () => undefined } = backend;
  const { registry } = context.operations;
  const cometd = new Cometd({
    config,
    callerId,
    service,
    obfuscator,
    gate,
    journal,
    clock,
    registry,
    log,
    options,
    files: backend.ntfFiles ?? desk,
  });
  const onTurnedAway: RequestJournal['turnedAway'] = (request) => journal.turnedAway(request);
  const streamed = new Set([uploadRoute(appName)]);
  return {
    adapter: createAdapter({ requestBytesMax, receiveTimeoutMs, onTurnedAway }),
    controllers: [chatController(appName), fileController(appName), openApiController(appName)],
    providers: [
      { provide: ChatService, useValue: service },
      { provide: FileDesk, useValue: desk },
      { provide: RequestDesk, useValue: new RequestDesk(backend.gate, journal) },
      { provide: APP_FILTER, useValue: new FailureFilter({ appName, requestBytesMax, journal }) },
    ],
    configure: async (app) => {
      await spools.clear();
      allowOrigins(app, { appName, values: () => options() ?? {} });
      hurryBodies(app, {
        receiveTimeoutMs,
        requestBytesMax,
        streamed,
        streamedWhenLarge: new Set([ntfRoute(appName)]),
        onTurnedAway,
      });
      dropUnreadAnswers(app, {
        answerTimeoutMs: config.FLEXPUSH_ANSWER_TIMEOUT_MS,
        onDropped: () => backend.metrics.answerDropped(),
      });
      refuseForeignCharsets(app, { onTurnedAway });
      acceptForms(app, { requestBytesMax, streamed });
      await cometd.serve(app);
    },
    cometd,
  };
}

function transferDesk(config: Readonly<ChatApiConfig>, spools: SpoolRoom): TransferDesk {
  const bounds = {
    transfersMax: config.FLEXPUSH_FILE_TRANSFERS_MAX,
    // They count as requests under way, and may not be all of them.
    strangersMax: Math.min(STRANGERS_MAX, Math.ceil(config.FLEXPUSH_REQUESTS_IN_FLIGHT_MAX / 4)),
    startTimeoutMs: config.FLEXPUSH_FILE_START_TIMEOUT_MS,
    idleTimeoutMs: config.FLEXPUSH_FILE_IDLE_TIMEOUT_MS,
    paceWindowMs: config.FLEXPUSH_FILE_PACE_WINDOW_MS,
    timeoutMs: config.FLEXPUSH_FILE_TIMEOUT_MS,
  };
  return new TransferDesk(bounds, spools);
}

/** Room for the incarnation in the 64 characters of a subject token. */
const NODE_ID_CHARS_MAX = 40;

/** chat-api as it runs: over NATS. */
export async function buildChatApi(context: ServiceContext<ChatApiConfig>): Promise<ServiceParts> {
  const { config, log, operations, nodeId, incarnation } = context;
  // Of this start of the process only: nobody waits any more for what an earlier one asked.
  const callerId = `${nodeId.slice(0, NODE_ID_CHARS_MAX)}-${incarnation}`;
  const gate = new RequestGate(config.FLEXPUSH_REQUESTS_IN_FLIGHT_MAX);
  const metrics = new ChatMetrics(operations.registry, () => gate.inFlight());
  const optionWatch = new OptionWatch(log);
  const connection = new LogConnection({
    natsUrl: config.FLEXPUSH_NATS_URL,
    nodeId,
    callerId,
    log,
    optionWatch,
    onCometPush: (text) => cometd.accept(text),
    calls: {
      retryMs: config.FLEXPUSH_REPLY_RETRY_MS,
      timeoutMs: config.FLEXPUSH_REQUEST_TIMEOUT_MS,
      clock: systemClock,
      onEvent: (event) => metrics.callEvent(event),
    },
  });
  operations.addCheck('nats', () => connection.natsCheck());
  operations.addCheck('shards', () => connection.shardsCheck());
  operations.addCheck('options', () => optionWatch.check());
  const { cometd, ...parts } = chatApiParts(context, {
    callerId,
    metrics,
    gate,
    calls: () => connection.calls(),
    files: () => connection.files(),
    options: () => (optionWatch.check() === true ? optionWatch.values() : undefined),
  });
  return {
    ...parts,
    // Not awaited: until NATS is there the service runs and says that it is not ready.
    start: () => void connection.open(),
    stop: [
      { name: 'stop taking requests', run: () => gate.close() },
      { name: 'wait for requests in flight', run: () => gate.empty() },
      { name: 'send CometD clients elsewhere', run: () => cometd.sendClientsElsewhere() },
      { name: 'report CometD clients away', run: () => cometd.reported() },
      { name: 'flush the log appender', run: () => connection.flush() },
      { name: 'close nats', run: () => connection.close() },
    ],
  };
}
