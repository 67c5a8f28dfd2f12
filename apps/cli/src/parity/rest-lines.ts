import { userIdSchema } from '@flexpush/contracts';
import { absent, anInteger, aText, difference, is } from './difference';
import { firstOf, type ParityLine } from './parity-line';
import { AGENT, type AgentEvent, type ParityTarget } from './parity-target';

const ok = {
  statusCode: 0,
  chatId: aText,
  userId: aText,
  secureKey: aText,
  alias: /^\d+$/,
  chatEnded: false,
};
const fromMira = { nickname: 'Mira', participantId: 1, type: 'Client' };
const utcTime = is('ms since epoch', (value) => typeof value === 'number' && value > 1_500_000_000_000);

/** A chat, one operation, and the event that the next refresh shows. */
async function said(
  target: ParityTarget,
  operation: string,
  fields: Record<string, string>,
  event: object,
): Promise<string | undefined> {
  const customer = await target.customer();
  const answer = await target.call(customer, operation, fields);
  const { body } = await target.call(customer, 'refresh', { transcriptPosition: '2' });
  return firstOf(
    difference(answer.status, 200, 'HTTP status'),
    difference(answer.body, ok),
    difference(body?.messages, [{ index: 2, utcTime, ...event }], 'messages'),
    difference(body?.nextPosition, 3, 'nextPosition'),
  );
}

/** A request that is wrong: HTTP 400 with a code, in the one shape. */
function invalid(status: number, code: number, body: unknown): string | undefined {
  return firstOf(
    difference(status, 400, 'HTTP status'),
    difference(body, { statusCode: 2, chatId: is('text', (id) => typeof id === 'string'), messages: [] }),
    difference(body, { errors: [{ code, advice: aText }] }),
  );
}

/** `quit-reason-code` of a leave (CONTRACT 4.3). */
const quit = (code: number) => ({ GCTI_SYSTEM: { 'quit-reason-code': code } });

/** A customer is taken out of the chat by the agent side, and reads why. */
function takenOut(what: string, event: AgentEvent, code: number): ParityLine {
  return {
    source: `4.3, reason ${code}`,
    what,
    async judge(target) {
      const customer = await target.customer();
      await target.agentJoins(customer);
      const userId = userIdSchema.parse(customer.userId);
      await target.agent(customer, event.type === 'participant.leave' ? { ...event, userId } : event);
      // While the chat goes on, who was removed is refused; its end lets it read.
      if (event.type === 'participant.leave') {
        const refused = await target.refused(customer, 'refresh');
        await target.agent(customer, { type: 'session.end' });
        const found = difference(refused.body, { statusCode: 2, errors: [{ advice: /^8209/ }] });
        if (found !== undefined) return found;
      }
      const { body } = await target.until(customer, 'ParticipantLeft');
      const isOwn = ({ type, from }: { type: string; from: { participantId: number } }) =>
        type === 'ParticipantLeft' && from.participantId === 1;
      return difference(body?.messages.find(isOwn)?.eventAttributes, quit(code), 'eventAttributes');
    },
  };
}

export const restLines: readonly ParityLine[] = [
  {
    source: '1.2 #1, R1',
    what: 'request chat answers ids, key, alias, position 1 and no events',
    async judge(target) {
      const { body, status } = await target.requestChat({ nickname: 'Mira', subject: 'Order late' });
      return firstOf(
        difference(status, 200, 'HTTP status'),
        difference(body, { ...ok, messages: [], nextPosition: 1, monitored: false }),
      );
    },
  },
  {
    source: '1.3',
    what: 'ids have the known shapes',
    async judge(target) {
      const { body } = await target.requestChat({ nickname: 'Mira' });
      return difference(body, {
        chatId: /^\d{5}[0-9A-Za-z]{11}$/,
        userId: /^[0-9A-F]{16}$/,
        secureKey: /^([0-9a-f]{20}|[0-9A-Fa-f]{16})$/,
      });
    },
  },
  {
    source: '1.2 #1',
    what: 'first and last name do in place of a nickname',
    async judge(target) {
      const { body } = await target.requestChat({ firstName: 'Mira', lastName: 'Klein' });
      return difference(body, ok);
    },
  },
  {
    source: '1.1',
    what: 'request chat is taken as multipart/form-data, UTF-8',
    async judge(target) {
      const { body } = await target.multipart(target.servicePath, {
        nickname: 'Zoë 🙂',
        'userData[Größe]': 'ß',
      });
      const { chatId = '', userId = '', secureKey = '', alias = '' } = body ?? {};
      const refreshed = await target.call({ chatId, userId, secureKey, alias }, 'refresh');
      return firstOf(
        difference(body, ok),
        difference(refreshed.body?.messages[0]?.from, { nickname: 'Zoë 🙂' }, 'from'),
      );
    },
  },
  {
    source: '1.1',
    what: 'JSON is no form: 415',
    async judge(target) {
      const { status } = await target.http({
        path: target.servicePath,
        headers: { 'content-type': 'application/json' },
        body: '{"nickname":"Mira"}',
      });
      return difference(status, 415, 'HTTP status');
    },
  },
  {
    source: '1.1',
    what: 'answers are application/json',
    async judge(target) {
      const { contentType } = await target.requestChat({ nickname: 'Mira' });
      return difference(contentType, /^application\/json/, 'content-type');
    },
  },
  ...(
    [
      ['nothing', {}, 161],
      ['a first name only', { firstName: 'Mira' }, 103],
      ['a last name only', { lastName: 'Klein' }, 102],
      ['a bad e-mail address', { nickname: 'Mira', emailAddress: 'nowhere' }, 364],
    ] as const
  ).map(([what, fields, code]): ParityLine => ({
    source: '1.6, R5',
    what: `request chat with ${what} is answered ${code}`,
    async judge(target) {
      const { body, status } = await target.requestChat(fields);
      return invalid(status, code, body);
    },
  })),
  {
    source: '1.2 #3, R2',
    what: 'refresh returns the transcript from a position, and the next one',
    async judge(target) {
      const customer = await target.customer();
      const { body } = await target.call(customer, 'refresh', { transcriptPosition: '1' });
      const joined = { from: fromMira, index: 1, type: 'ParticipantJoined', utcTime };
      const again = await target.call(customer, 'refresh', { transcriptPosition: '2' });
      return firstOf(
        difference(body, { ...ok, messages: [joined], nextPosition: 2, monitored: false }),
        difference(again.body, { ...ok, messages: [], nextPosition: 2 }),
      );
    },
  },
  {
    source: '1.2 #2',
    what: 'send says a message',
    judge: (target) =>
      said(
        target,
        'send',
        { message: 'Grüße 🙂' },
        {
          from: fromMira,
          type: 'Message',
          messageType: 'text',
          text: 'Grüße 🙂',
        },
      ),
  },
  {
    source: '1.2 #2',
    what: 'send with transcriptPosition carries the transcript',
    async judge(target) {
      const customer = await target.customer();
      const { body } = await target.call(customer, 'send', { message: 'Hi', transcriptPosition: '1' });
      return difference(body, {
        messages: [{ type: 'ParticipantJoined' }, { type: 'Message', text: 'Hi', index: 2 }],
        nextPosition: 3,
      });
    },
  },
  {
    source: '1.2 #2, 1.6',
    what: 'send without a message is refused',
    async judge(target) {
      const { status, body } = await target.call(await target.customer(), 'send');
      return firstOf(
        difference(status, 400, 'HTTP status'),
        difference(body?.errors?.[0]?.code, anInteger, 'errors[0].code'),
      );
    },
  },
  {
    source: '1.2 #4',
    what: 'startTyping gives a typing notice with its preview',
    judge: (target) =>
      said(
        target,
        'startTyping',
        { message: 'Wher' },
        { from: fromMira, type: 'TypingStarted', text: 'Wher' },
      ),
  },
  {
    source: '1.2 #5',
    what: 'stopTyping gives a typing notice',
    judge: (target) => said(target, 'stopTyping', {}, { from: fromMira, type: 'TypingStopped' }),
  },
  {
    source: '1.2 #7',
    what: 'pushUrl gives a PushUrl with the URL',
    judge: (target) =>
      said(
        target,
        'pushUrl',
        { pushUrl: 'https://example.org/a?b=c' },
        {
          from: fromMira,
          type: 'PushUrl',
          text: 'https://example.org/a?b=c',
        },
      ),
  },
  {
    source: '1.2 #8',
    what: 'updateNickname gives a NicknameUpdated with the new name',
    judge: (target) =>
      said(
        target,
        'updateNickname',
        { nickname: 'Mira K.' },
        {
          from: { nickname: 'Mira K.', participantId: 1 },
          type: 'NicknameUpdated',
        },
      ),
  },
  {
    source: '1.2 #9',
    what: 'customNotice gives a CustomNotice',
    judge: (target) =>
      said(
        target,
        'customNotice',
        { message: 'looks' },
        { from: fromMira, type: 'CustomNotice', text: 'looks' },
      ),
  },
  {
    source: '1.2 #10',
    what: 'updateData is taken and says nothing',
    async judge(target) {
      const customer = await target.customer();
      const { body } = await target.call(customer, 'updateData', { 'userData[Order]': '17' });
      const refreshed = await target.call(customer, 'refresh', { transcriptPosition: '2' });
      return firstOf(difference(body, ok), difference(refreshed.body?.messages, [], 'messages'));
    },
  },
  {
    source: '1.2 #11',
    what: 'readReceipt is taken and says nothing',
    async judge(target) {
      const customer = await target.customer();
      const { body } = await target.call(customer, 'readReceipt', { transcriptPosition: '1' });
      const refreshed = await target.call(customer, 'refresh', { transcriptPosition: '2' });
      return firstOf(difference(body, ok), difference(refreshed.body?.messages, [], 'messages'));
    },
  },
  {
    source: '1.2 #6, R3',
    what: 'disconnect ends it; a late refresh still has the rest of the transcript',
    async judge(target) {
      const customer = await target.customer();
      const left = await target.call(customer, 'disconnect');
      const { body } = await target.call(customer, 'refresh', { transcriptPosition: '2' });
      return firstOf(
        difference(left.body, { statusCode: 0, chatEnded: true }),
        difference(body, {
          statusCode: 0,
          chatEnded: true,
          messages: [{ from: fromMira, index: 2, type: 'ParticipantLeft' }],
          nextPosition: 3,
        }),
      );
    },
  },
  takenOut(
    'a customer whom an agent removed is refused, and finds the reason in the transcript after the end',
    { type: 'participant.leave', userId: AGENT, removedBy: AGENT },
    4,
  ),
  takenOut('a chat that an agent ends says so', { type: 'session.end', userId: AGENT }, 4),
  takenOut('a chat that the server ends says so', { type: 'session.end' }, 5),
  {
    source: '4.3, reason 0',
    what: 'who leaves by itself leaves without a reason in the transcript',
    async judge(target) {
      const customer = await target.customer();
      await target.call(customer, 'disconnect');
      const { body } = await target.call(customer, 'refresh', { transcriptPosition: '2' });
      return firstOf(
        difference(body?.messages, [{ type: 'ParticipantLeft' }], 'messages'),
        difference(body?.messages[0]?.eventAttributes, absent, 'eventAttributes'),
      );
    },
  },
  {
    source: '6 #39',
    what: 'after the end a refresh still has the transcript from any position, and nothing else is taken',
    async judge(target) {
      const customer = await target.customer();
      await target.agentJoins(customer);
      await target.agent(customer, { type: 'session.end' });
      const all = await target.until(customer, 'ParticipantLeft');
      const rest = await target.call(customer, 'refresh', { transcriptPosition: '4' });
      const said = await target.call(customer, 'send', { message: 'Hello?' });
      const again = await target.call(customer, 'refresh', { transcriptPosition: '5' });
      return firstOf(
        difference(all.body, { statusCode: 0, chatEnded: true, nextPosition: 5 }),
        difference(rest.body, { statusCode: 0, chatEnded: true, messages: [{ index: 4 }] }),
        difference(said.body, { statusCode: 2, chatEnded: true }, 'send'),
        difference(again.body, { statusCode: 0, chatEnded: true, messages: [], nextPosition: 5 }),
      );
    },
  },
  {
    source: '1.6, R4',
    what: 'a wrong secure key is refused with HTTP 200, status 2 and code 249',
    async judge(target) {
      const customer = { ...(await target.customer()), secureKey: '00000000000000000000' };
      const { status, body } = await target.call(customer, 'refresh');
      return firstOf(
        difference(status, 200, 'HTTP status'),
        difference(body, {
          statusCode: 2,
          chatEnded: true,
          messages: [],
          errors: [{ code: 249, advice: aText }],
        }),
        difference(body?.secureKey, absent, 'secureKey'),
      );
    },
  },
  {
    source: '1.6',
    what: 'an unknown chat is refused with status 2',
    async judge(target) {
      const customer = { ...(await target.customer()), chatId: '00021xxxxxxxxxxx' };
      const { status, body } = await target.call(customer, 'refresh');
      return firstOf(
        difference(status, 200, 'HTTP status'),
        difference(body, { statusCode: 2, chatEnded: true }),
      );
    },
  },
  {
    source: '1.4, R2',
    what: 'an agent joins, writes, types: positions go on without a gap',
    async judge(target) {
      const customer = await target.customer();
      const userId = AGENT;
      await target.agentJoins(customer);
      await target.agent(customer, { type: 'message.send', userId, text: 'Hi Mira' });
      await target.agent(customer, { type: 'typing.start', userId });
      const { body } = await target.until(customer, 'TypingStarted');
      const from = { nickname: 'Jonas', participantId: 2, type: 'Agent' };
      return difference(body?.messages.slice(1), [
        { from, index: 2, type: 'ParticipantJoined' },
        { from, index: 3, type: 'Message', text: 'Hi Mira', messageType: 'text' },
        { from, index: 4, type: 'TypingStarted' },
      ]);
    },
  },
];
