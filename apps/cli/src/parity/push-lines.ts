import { absent, aText, difference, fieldsDiffer, is } from './difference';
import { firstOf, type ParityLine } from './parity-line';
import { PUSH_WAIT_MS, type Customer, type ParityTarget, type Push } from './parity-target';

const RELIABLE = { GCTI_GMS_PushResend: 'true' };

async function subscribed(
  target: ParityTarget,
  more: Record<string, string>,
): Promise<{ customer: Customer; deviceId: string }> {
  const { deviceId, userData } = target.pushData(more);
  return { customer: await target.customer(userData), deviceId };
}

/** The page's sample of a reliable push, with what differs from push to push left open. */
const reliable = (position: number, attempt: number) => ({
  message: {
    secureKey: aText,
    chatId: 'deprecated',
    nextPosition: position + 1,
    messages: [
      {
        from: { nickname: '', participantId: 0, type: 'Client' },
        index: 0,
        text: 'PUSH-NOTIFICATION',
        type: 'PushUrl',
        utcTime: is('whole seconds in ms', (value) => typeof value === 'number' && value % 1_000 === 0),
        userData: { 'notify-attempt': String(attempt), 'notify-position': String(position) },
      },
    ],
    alias: '0',
    userId: 'deprecated',
    statusCode: 0,
    monitored: false,
  },
});

function userDataOf(body: Record<string, unknown> | undefined): Record<string, string> {
  const { messages } = (body?.['message'] ?? {}) as { messages?: { userData?: Record<string, string> }[] };
  return messages?.[0]?.userData ?? {};
}

/** What has come, as attempt@position. */
const steps = (pushes: readonly { body: Record<string, unknown> }[]) =>
  pushes.map(({ body }) => `${userDataOf(body)['notify-attempt']}@${userDataOf(body)['notify-position']}`);

export const pushLines: readonly ParityLine[] = [
  {
    source: 'page, sample; P3',
    what: 'the first reliable push is the sample of the page: attempt 0, no content',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, RELIABLE);
      const [push] = await target.pushesOf(deviceId, 1);
      return firstOf(
        difference(push?.body, reliable(1, 0)),
        fieldsDiffer(push?.body, ['message', 'deviceId'], 'the body'),
        fieldsDiffer(
          push?.body['message'],
          [
            ...['secureKey', 'chatId', 'nextPosition', 'messages', 'alias', 'chatEnded', 'userId'],
            ...['statusCode', 'monitored'],
          ],
          'message',
        ),
        difference(
          userDataOf(push?.body),
          { 'session-id': customer.chatId, 'user-id': customer.userId },
          'userData',
        ),
      );
    },
  },
  {
    source: 'page, flex-push-content',
    what: 'session-id and user-id are shown by default, the secure key is not',
    async judge(target) {
      const { deviceId } = await subscribed(target, RELIABLE);
      const [push] = await target.pushesOf(deviceId, 1);
      return difference(userDataOf(push?.body), { 'secure-key': absent, 'app-dbid': absent }, 'userData');
    },
  },
  {
    source: 'page, flex-push-resend-delay; 4.4',
    what: 'without a refresh it comes again after the delay, attempt 1, same position',
    async judge(target) {
      const { deviceId } = await subscribed(target, RELIABLE);
      const { resendDelayMs } = target.settings;
      const [first, second] = await target.pushesOf(deviceId, 2, resendDelayMs + PUSH_WAIT_MS);
      const gapMs = (second?.atMs ?? 0) - (first?.atMs ?? 0);
      return firstOf(
        difference(second?.body, reliable(1, 1)),
        gapMs < resendDelayMs * 0.9
          ? `the resend came after ${Math.round(gapMs)} of ${resendDelayMs} ms`
          : undefined,
      );
    },
  },
  {
    source: 'page, reliable delivery; 4.4',
    what: 'a refresh is the confirmation: nothing comes again',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, RELIABLE);
      await target.pushesOf(deviceId, 1);
      await target.call(customer, 'refresh', { transcriptPosition: '1' });
      const count = await target.pushesAfter(deviceId, target.settings.resendDelayMs * 1.5);
      return difference(count, 1, 'pushes');
    },
  },
  {
    source: '6 #7',
    what: 'a new event while one is unconfirmed: a fresh push at once, same position, attempt 0',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, RELIABLE);
      await target.pushesOf(deviceId, 1);
      await target.call(customer, 'send', { message: 'still there?' });
      const pushes = await target.pushesOf(
        deviceId,
        2,
        Math.max(PUSH_WAIT_MS, target.settings.resendDelayMs),
      );
      return difference(steps(pushes).slice(0, 2), ['0@1', '0@1'], 'pushes');
    },
  },
  {
    source: 'page, fields; P5',
    what: 'a customer who was removed is told position -1',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, RELIABLE);
      await target.pushesOf(deviceId, 1);
      await target.call(customer, 'refresh', { transcriptPosition: '1' });
      await target.agent(customer, { type: 'session.end' });
      const isLast = ({ body }: Push) => userDataOf(body)['notify-position'] === '-1';
      const pushes = await target.pushesUntil(deviceId, (known) => known.some(isLast), {
        what: 'position -1',
        withinMs: target.settings.resendDelayMs + PUSH_WAIT_MS,
      });
      return difference(pushes.find(isLast)?.body, { message: { nextPosition: 0, chatEnded: true } });
    },
  },
  {
    source: '3.3, P2',
    what: 'a plain push with payload carries the event',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, {});
      const [push] = await target.pushesOf(deviceId, 1);
      const { chatId, userId } = customer;
      return difference(push?.body, {
        message: {
          messages: [{ index: 1, type: 'ParticipantJoined', from: { nickname: 'Mira', participantId: 1 } }],
          chatId,
          userId,
          secureKey: aText,
          nextPosition: 2,
          chatEnded: false,
          statusCode: 0,
          monitored: false,
        },
      });
    },
  },
  {
    source: '4.3, reason 0',
    what: 'a plain push says with reason 0 that the customer left by itself',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, {});
      await target.pushesOf(deviceId, 1);
      await target.call(customer, 'disconnect');
      const [, push] = await target.pushesOf(deviceId, 2);
      return difference(push?.body, {
        message: {
          messages: [
            { type: 'ParticipantLeft', eventAttributes: { GCTI_SYSTEM: { 'quit-reason-code': 0 } } },
          ],
          chatEnded: true,
        },
      });
    },
  },
  {
    source: '3.3, P1',
    what: 'a plain push without payload has no content',
    async judge(target) {
      const { deviceId } = await subscribed(target, { GCTI_GMS_PushIncludePayload: 'false' });
      const [push] = await target.pushesOf(deviceId, 1);
      return difference(
        push?.body['message'],
        is('a fixed text or nothing', (value) => value === undefined || typeof value === 'string'),
        'message',
      );
    },
  },
  {
    source: 'page, NotifyRequestor',
    what: 'own activity is pushed only with NotifyRequestor',
    async judge(target) {
      const { customer, deviceId } = await subscribed(target, { GCTI_GMS_NotifyRequestor: 'false' });
      await target.call(customer, 'send', { message: 'anybody?' });
      return difference(await target.pushesAfter(deviceId, 1_000), 0, 'pushes');
    },
  },
  {
    source: 'page, GCTI_Chat_PushSubscribe',
    what: 'without PushSubscribe nothing is pushed, and the chat begins all the same',
    async judge(target) {
      const { deviceId } = await subscribed(target, { GCTI_Chat_PushSubscribe: 'false' });
      return difference(await target.pushesAfter(deviceId, 1_000), 0, 'pushes');
    },
  },
];
