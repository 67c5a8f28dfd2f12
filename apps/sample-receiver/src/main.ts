import { readConfig, type ReceiverConfig } from './config';
import { describePush, timeOfDay } from './push-line';
import { createReceiver } from './receiver-server';

/** Answers still owed get this long at the end. */
const CLOSE_GRACE_MS = 2_000;

function main(): void {
  const config = readConfig();
  const server = createReceiver({
    delayMs: config.delayMs,
    onPush: (push) => process.stdout.write(`${lineOf(push.receivedAtMs, push.body, config)}\n`),
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

function lineOf(atMs: number, body: unknown, config: ReceiverConfig): string {
  const time = timeOfDay(atMs);
  return `${config.colour ? `\u001b[2m${time}\u001b[22m` : time}  ${describePush(body)}`;
}

try {
  main();
} catch (error) {
  process.stderr.write(`sample-receiver: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
