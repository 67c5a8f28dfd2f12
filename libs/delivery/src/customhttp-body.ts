import type { ChatEvent, PushContentKey, PushJob, TriggerJob } from '@flexpush/contracts';

/**
 * The bodies of customhttp, with the keys in the order of the page's sample. They are put together as text because
 * that costs a third of `JSON.stringify` on the whole and fixes the order; every free text goes through
 * `JSON.stringify`, and ids are plain tokens by their schema.
 */

/** A reliable push (CONTRACT 3.4): no content, only what a refresh needs. */
export function triggerBody(job: TriggerJob, alias: string): string {
  return `{"message":{"secureKey":${JSON.stringify(job.obfuscatedKey)},"chatId":"deprecated","nextPosition":${nextPositionOf(
    job.position,
  )},"messages":[{"from":{"nickname":"","participantId":0,"type":"Client"},"index":0,"text":"PUSH-NOTIFICATION","type":"PushUrl","utcTime":${wholeSecondsMs(
    job.atMs,
  )},"userData":{"notify-attempt":"${job.attempt}","notify-position":"${job.position}"${contentOf(
    job,
    alias,
  )}}}],"alias":"0","chatEnded":${job.chatEnded},"userId":"deprecated","statusCode":0,"monitored":false},"deviceId":${JSON.stringify(
    job.deviceId,
  )}}`;
}

/** A plain push: the event when there is one, else the fixed text, else the device id alone (CONTRACT 6 #17, #19). */
export function plainBody(
  job: Pick<PushJob, 'deviceId' | 'sessionId' | 'userId' | 'obfuscatedKey' | 'chatEnded'> & {
    event?: ChatEvent | undefined;
  },
  context: { alias: string; message: string | undefined },
): string {
  const deviceId = `{"deviceId":${JSON.stringify(job.deviceId)}`;
  if (job.event === undefined)
    return context.message === undefined
      ? `${deviceId}}`
      : `${deviceId},"message":${JSON.stringify(context.message)}}`;
  const position = job.event.index === undefined ? '' : `"nextPosition":${nextPositionOf(job.event.index)},`;
  return `${deviceId},"message":{"messages":[${JSON.stringify(job.event)}],"chatId":"${job.sessionId}","userId":"${
    job.userId
  }","alias":${JSON.stringify(context.alias)},"secureKey":${JSON.stringify(
    job.obfuscatedKey,
  )},${position}"chatEnded":${job.chatEnded},"statusCode":0,"monitored":false}}`;
}

/** CONTRACT 6 #3 and #4: the sample shows 17 for position 16, and removal (-1) gives 0. */
function nextPositionOf(position: number): number {
  return position + 1;
}

/** The sample's time ends in whole seconds. */
function wholeSecondsMs(atMs: number): number {
  return Math.floor(atMs / 1000) * 1000;
}

/** The order of the sample, whatever the order of the option. */
const contentOrder: readonly PushContentKey[] = ['secure-key', 'app-dbid', 'user-id', 'session-id'];

/** Exactly the keys that the job's `content` names (I10: a key that is not asked for does not leave). */
function contentOf(job: TriggerJob, alias: string): string {
  let text = '';
  for (const key of contentOrder) {
    if (!job.content.includes(key)) continue;
    const value = contentValue(key, job, alias);
    if (value !== undefined) text += `,"${key}":${JSON.stringify(value)}`;
  }
  return text;
}

function contentValue(key: PushContentKey, job: TriggerJob, alias: string): string | undefined {
  switch (key) {
    case 'secure-key':
      return job.secureKey;
    case 'app-dbid':
      return alias;
    case 'user-id':
      return job.userId;
    case 'session-id':
      return job.sessionId;
    default:
      return key satisfies never;
  }
}
