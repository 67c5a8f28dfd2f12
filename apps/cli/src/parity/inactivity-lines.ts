import type { ChatEvent } from '@flexpush/contracts';
import { difference } from './difference';
import { firstOf, type ParityLine } from './parity-line';
import { PUSH_WAIT_MS, type Customer, type HttpAnswer, type ParityTarget, type Push } from './parity-target';

/** Nobody asks meanwhile; then what a late refresh says. */
async function afterSilence(target: ParityTarget, customer: Customer, waitMs: number): Promise<HttpAnswer> {
  await new Promise<void>((resolve) => setTimeout(resolve, waitMs));
  return target.call(customer, 'refresh', { transcriptPosition: '1' });
}

/** `quit-reason-code` of the last event (CONTRACT 4.3). */
const reason = (answer: HttpAnswer) =>
  answer.body?.messages.at(-1)?.eventAttributes?.GCTI_SYSTEM?.['quit-reason-code'];

const kinds = (answer: HttpAnswer) => answer.body?.messages.map(({ type }) => type);

export const inactivityLines: readonly ParityLine[] = [
  {
    source: '4.2a, flex-disconnect-timeout',
    what: 'a polling client that asks for nothing is removed, and reads it',
    judge: (target) =>
      target.withOptions([['settings', 'flex-disconnect-timeout', '1']], {}, async (customer) => {
        const answer = await afterSilence(target, customer, 2_500);
        return firstOf(
          difference(answer.body, { statusCode: 0, chatEnded: true }),
          difference(kinds(answer), ['ParticipantJoined', 'ParticipantLeft'], 'messages'),
        );
      }),
  },
  {
    source: '4.2a, flex-push-timeout',
    what: 'a silent push client is pinged, and removed after two periods and flex-disconnect-timeout: -1',
    async judge(target) {
      const { deviceId, userData } = target.pushData({
        GCTI_GMS_PushResend: 'true',
        GCTI_GMS_NotifyRequestor: 'false',
      });
      const options = [
        ['settings', 'flex-push-timeout', '1'],
        ['settings', 'flex-disconnect-timeout', '1'],
        ['settings', 'flex-push-resend-attempts', '0'],
      ] as const;
      return target.withOptions(options, userData, async () => {
        const pushes = await target.pushesOf(deviceId, 2, 3_000 + PUSH_WAIT_MS);
        const positions = pushes.map(({ body }) => {
          const { messages } = body['message'] as { messages: { userData: Record<string, string> }[] };
          return messages[0]?.userData['notify-position'];
        });
        return difference([positions[0], positions.at(-1)], ['1', '-1'], 'notify-position');
      });
    },
  },
  {
    source: '4.3, reason 3',
    what: 'a plain push says with reason 3 that a customer who asked for nothing was removed',
    async judge(target) {
      const { deviceId, userData } = target.pushData();
      const options = [
        ['settings', 'flex-push-timeout', '1'],
        ['settings', 'flex-disconnect-timeout', '1'],
      ] as const;
      return target.withOptions(options, userData, async () => {
        const reasonOf = ({ body }: Push) =>
          (body['message'] as { messages?: ChatEvent[] } | undefined)?.messages?.[0]?.eventAttributes;
        const isLeave = (push: Push) => reasonOf(push) !== undefined;
        const pushes = await target.pushesUntil(deviceId, (known) => known.some(isLeave), {
          what: 'a leave with a reason',
          withinMs: 3_000 + PUSH_WAIT_MS,
        });
        const leave = pushes.find(isLeave);
        return difference(leave && reasonOf(leave), { GCTI_SYSTEM: { 'quit-reason-code': 3 } });
      });
    },
  },
  {
    source: '4.2b, inactivity-control; 4.3, reason 7',
    what: 'a chat in which nobody writes is alerted and closed',
    judge: (target) =>
      target.withOptions(
        [
          ['inactivity-control', 'enabled', 'true'],
          ['inactivity-control', 'timeout-alert', '1'],
          ['inactivity-control', 'timeout-close', '1'],
        ],
        {},
        async (customer) => {
          // Chats are watched from their beginning, or from the next message.
          await target.call(customer, 'send', { message: 'Hello?' });
          const answer = await afterSilence(target, customer, 3_000);
          return firstOf(
            difference(answer.body, { statusCode: 0, chatEnded: true }),
            difference(
              kinds(answer),
              ['ParticipantJoined', 'Message', 'IdleAlert', 'IdleClose', 'ParticipantLeft'],
              'messages',
            ),
            difference(reason(answer), 7, 'quit-reason-code'),
          );
        },
      ),
  },
  {
    source: '4.2c, async-idle-alert',
    what: 'an asynchronous chat is alerted and closed by options of its own',
    judge: (target) =>
      target.withOptions(
        [
          ['settings', 'async-idle-alert', '1'],
          ['settings', 'async-idle-close', '1'],
        ],
        { GCTI_Chat_AsyncMode: 'true' },
        async (customer) => {
          await target.call(customer, 'send', { message: 'Hello?' });
          const answer = await afterSilence(target, customer, 3_000);
          return difference(
            kinds(answer),
            ['ParticipantJoined', 'Message', 'IdleAlert', 'IdleClose', 'ParticipantLeft'],
            'messages',
          );
        },
      ),
  },
];
