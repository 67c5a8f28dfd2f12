import type { Stack, StackEvent } from '@flexpush/stack';
import { paint, printLine, printTable } from './output';

/** The user data with which a web application asks for reliable pushes to an HTTP server. */
const CHAT_USER_DATA: Readonly<Record<string, string>> = {
  GCTI_Chat_PushSubscribe: 'true',
  GCTI_GMS_PushDeviceId: 'a1a23456789123456789',
  GCTI_GMS_PushDeviceType: 'customhttp',
  GCTI_GMS_NotifyRequestor: 'true',
  GCTI_GMS_PushIncludePayload: 'true',
  GCTI_GMS_PushResend: 'true',
};

/** Subscribing while a chat is created is off by default, as in Chat Server. */
export const ALLOW_SUBSCRIBE_COMMAND = 'npx flexpush options set settings flex-push-on-join true';

/** A request that starts a chat with reliable pushes, to paste into a shell. */
export function chatCurl(chatApiUrl: string): string {
  const fields = [
    'nickname=Mira',
    ...Object.entries(CHAT_USER_DATA).map(([key, value]) => `userData[${key}]=${value}`),
  ];
  return [
    `curl -s ${chatApiUrl}/genesys/2/chat/support-web`,
    ...fields.map((field) => `  --data-urlencode '${field}'`),
  ].join(' \\\n');
}

/** What runs where, and how to go on. */
export function printUpReport(stack: Stack): void {
  const run = stack.run();
  printLine();
  printTable(
    ['NAME', 'KIND', 'PID', 'URL'],
    [
      ...run.services.map((service) => [
        service.name,
        service.kind,
        String(service.pid),
        service.urls['http'] ?? '',
      ]),
      ...run.servers.map(({ name, kind, pid, port }) => [
        name,
        kind,
        String(pid),
        `${kind === 'nats' ? 'nats' : 'redis'}://127.0.0.1:${port}`,
      ]),
    ],
  );
  printLine();
  if (run.servers.length > 2) {
    printLine(`NATS:  ${stack.natsUrl}`);
    printLine(`Redis: ${stack.redisUrl}`);
  }
  printLine(`Logs:  ${stack.dir}/logs/<name>.log`);
  if (stack.chatApiUrl !== undefined) {
    printLine();
    printLine('Start a chat with reliable pushes (in another terminal):');
    printLine();
    printLine(ALLOW_SUBSCRIBE_COMMAND);
    printLine(chatCurl(stack.chatApiUrl));
  }
  printLine();
  printLine(paint('green', 'Ready. Ctrl-C stops all of it.'));
}

/** One line of progress about an event; undefined for those that would only be noise. */
export function describeEvent(event: StackEvent): string | undefined {
  switch (event.kind) {
    case 'starting':
      return event.names.length === 0 ? undefined : `starting ${event.names.join(', ')}`;
    case 'stopping':
      return `stopping ${event.names.join(', ')}`;
    case 'died':
      return `${event.name} ended unexpectedly (${event.reason}); starting it again in ${event.restartInMs} ms`;
    case 'restarted':
      return `${event.name} runs again (pid ${event.pid})`;
    case 'restart-failed':
      return `${event.name} did not come back; trying again in ${event.restartInMs} ms: ${event.reason}`;
    case 'healthy':
      return undefined;
    default:
      return event satisfies never;
  }
}
