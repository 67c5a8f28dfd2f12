import { createPushReceiver, createRefresher, parsePush, type Refresher } from '@flexpush/receiver';
import { readConfig, type ReceiverConfig } from './config';
import { describePush, describeRefreshed, timeOfDay } from './push-line';
import { createReceiver, type ReceivedPush } from './receiver-server';

/** Answers still owed get this long at the end. */
const CLOSE_GRACE_MS = 2_000;

function main(): void {
  const config = readConfig();
  const { signingKeys, chat } = config;
  const refresher = chat === undefined ? undefined : createRefresher(chat);
  const server = createReceiver({
    delayMs: config.delayMs,
    onPush: (push) => {
      print(push.receivedAtMs, describePush(push.body), config);
      if (refresher !== undefined) void follow(push, refresher, config);
    },
    ...(signingKeys.length === 0 ? {} : { pushes: createPushReceiver({ signingKeys }) }),
  });
  // A reader of the output that has gone away must not end the receiver.
  process.stdout.on('error', () => undefined);
  server.once('error', (error) => {
    process.stderr.write(`sample-receiver: ${error.message}\n`);
    process.exitCode = 1;
  });
  server.listen(config.port, config.host);

  const close = () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), CLOSE_GRACE_MS).unref();
  };
  process.once('SIGTERM', close);
  process.once('SIGINT', close);
  if (config.exitWithParent) process.stdin.once('close', close).resume();
}

/** A trigger says only that there is something: the refresh fetches it, and ends the repeats. */
async function follow(push: ReceivedPush, refresher: Refresher, config: ReceiverConfig): Promise<void> {
  const read = push.received?.push ?? parsePush(push.body);
  if (read?.kind !== 'trigger') return;
  print(Date.now(), describeRefreshed(read.deviceId, await refresher.refresh(read)), config);
}

function print(atMs: number, line: string, config: ReceiverConfig): void {
  const time = timeOfDay(atMs);
  process.stdout.write(`${config.colour ? `\u001b[2m${time}\u001b[22m` : time}  ${line}\n`);
}

try {
  main();
} catch (error) {
  process.stderr.write(`sample-receiver: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
