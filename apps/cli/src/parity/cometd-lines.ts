import { aText, difference, is } from './difference';
import { BayeuxCaller } from './bayeux-caller';
import { BayeuxSocket } from './bayeux-socket';
import { firstOf, type ParityLine } from './parity-line';
import type { ParityTarget } from './parity-target';

const longKey = is(
  'a long base64 text',
  (value) => typeof value === 'string' && /^[A-Za-z0-9+/=]{40,}$/.test(value),
);

/** A client with a chat, which listens. */
async function chatting(target: ParityTarget, userData: Record<string, string> = {}) {
  const client = new BayeuxCaller(target);
  const shaken = await client.handshake();
  if (shaken?.successful !== true) throw new Error(`the handshake failed: ${shaken?.error ?? 'no reply'}`);
  client.listen();
  await client.publish({ operation: 'requestChat', nickname: 'Mira', userData });
  const reply = await client.until('reply', ({ chatId }) => chatId !== '');
  return { client, reply, secureKey: reply.secureKey ?? '' };
}

/** One operation, and the event that it becomes. */
function operation(name: string, data: object, event: { type: string; text?: string }): ParityLine {
  return {
    source: `2.2 ${name}`,
    what: `${name} is answered on the channel, and its event comes`,
    async judge(target) {
      const { client, secureKey, reply } = await chatting(target);
      const published = await client.publish({ operation: name, secureKey, ...data });
      const answer = await client.event(event.type);
      const found = answer.messages.find(({ type }) => type === event.type);
      await client.disconnect();
      return firstOf(
        difference(published, { successful: true, channel: client.channel }, 'the acknowledgement'),
        difference(answer, { chatId: reply.chatId, userId: aText, statusCode: 0, monitored: false }),
        difference(found, event, 'the event'),
      );
    },
  };
}

/** One operation that is answered and says nothing in the chat. */
function silentOperation(name: string, data: object): ParityLine {
  return {
    source: `2.2 ${name}`,
    what: `${name} is answered on the channel, and says nothing`,
    async judge(target) {
      const { client, secureKey, reply } = await chatting(target);
      await client.event('ParticipantJoined');
      const before = client.received.length;
      const published = await client.publish({ operation: name, secureKey, ...data });
      const isLater = (answer: unknown) => client.received.findIndex((one) => one === answer) >= before;
      const answer = await client.until('reply', isLater);
      await client.publish({ operation: 'sendMessage', secureKey, message: 'next' });
      const next = await client.event('Message');
      await client.disconnect();
      return firstOf(
        difference(published, { successful: true, channel: client.channel }, 'the acknowledgement'),
        difference(answer, { chatId: reply.chatId, statusCode: 0, chatEnded: false, messages: [] }),
        difference(next.messages[0]?.index, 2, 'index of the next event'),
      );
    },
  };
}

export const cometdLines: readonly ParityLine[] = [
  {
    source: '2.1, C1',
    what: 'the handshake gives a client id, and the cookie BAYEUX_BROWSER',
    async judge(target) {
      const client = new BayeuxCaller(target);
      const reply = await client.handshake();
      const [connected] = await client.post({
        channel: '/meta/connect',
        connectionType: 'long-polling',
        advice: { timeout: 0 },
      });
      await client.disconnect();
      return firstOf(
        difference(reply, { channel: '/meta/handshake', successful: true, clientId: aText }),
        difference(connected, { channel: '/meta/connect', successful: true }),
      );
    },
  },
  {
    source: '2.1',
    what: 'an unknown client is told 402 and to handshake',
    async judge(target) {
      const client = new BayeuxCaller(target);
      client.clientId = 'nobody0000000000';
      const [reply] = await client.post({ channel: '/meta/connect', connectionType: 'long-polling' });
      return difference(reply, { successful: false, error: /^402:/, advice: { reconnect: 'handshake' } });
    },
  },
  {
    source: '2.2 requestChat, C2, C3',
    what: 'requestChat is answered on the channel with a key of its own',
    async judge(target) {
      const { client, reply } = await chatting(target);
      const joined = await client.event('ParticipantJoined');
      await client.disconnect();
      return firstOf(
        difference(reply, {
          statusCode: 0,
          chatId: aText,
          userId: aText,
          alias: /^\d+$/,
          secureKey: longKey,
        }),
        difference(
          joined.messages[0],
          { index: 1, type: 'ParticipantJoined', from: { nickname: 'Mira' } },
          'the event',
        ),
        difference(joined.nextPosition, 2, 'nextPosition'),
      );
    },
  },
  operation('sendMessage', { message: 'Grüße' }, { type: 'Message', text: 'Grüße' }),
  operation('startTyping', { message: 'Gr' }, { type: 'TypingStarted', text: 'Gr' }),
  operation('stopTyping', {}, { type: 'TypingStopped' }),
  operation(
    'pushUrl',
    { pushUrl: 'https://example.org/' },
    { type: 'PushUrl', text: 'https://example.org/' },
  ),
  operation('updateNickname', { nickname: 'Mira K.' }, { type: 'NicknameUpdated' }),
  operation('customNotice', { message: 'looks' }, { type: 'CustomNotice', text: 'looks' }),
  silentOperation('updateData', { userData: { Order: '17' } }),
  silentOperation('readReceipt', { transcriptPosition: 1 }),
  operation('disconnect', {}, { type: 'ParticipantLeft' }),
  {
    source: '2.1, websocket',
    what: 'a conversation over WebSocket: handshake, chat, message, leave',
    async judge(target) {
      const client = await BayeuxSocket.open(target);
      try {
        const shaken = await client.post({
          channel: '/meta/handshake',
          version: '1.0',
          minimumVersion: '1.0',
          supportedConnectionTypes: ['websocket'],
        });
        client.connect();
        await client.publish({ operation: 'requestChat', nickname: 'Mira' });
        const { secureKey, chatId } = await client.answer('reply', (answer) => answer.chatId !== '');
        const published = await client.publish({ operation: 'sendMessage', secureKey, message: 'Grüße' });
        const has = (type: string) => (answer: { messages: { type: string }[] }) =>
          answer.messages.some((message) => message.type === type);
        const said = await client.answer('Message', has('Message'));
        await client.publish({ operation: 'disconnect', secureKey });
        const left = await client.answer('ParticipantLeft', has('ParticipantLeft'));
        return firstOf(
          difference(shaken, { successful: true, clientId: aText }, 'the handshake'),
          difference(secureKey, longKey, 'secureKey'),
          difference(published, { successful: true }, 'the acknowledgement'),
          difference(said, { chatId, messages: [{ index: 2, text: 'Grüße' }], nextPosition: 3 }),
          difference(left, { chatId, chatEnded: true }),
        );
      } finally {
        client.close();
      }
    },
  },
  ...['fileGetLimits', 'fileGetsLimits'].map((name): ParityLine => ({
    source: `2.3 ${name}`,
    what: `chat-ntf answers ${name} with the limits`,
    async judge(target) {
      const { client, secureKey } = await chatting(target);
      const { body } = await client.file({ operation: name, secureKey });
      await client.disconnect();
      return difference(body, { statusCode: 0, messages: [{ type: 'Notice', text: 'file-client-cfg-get' }] });
    },
  })),
  {
    source: '2.3 fileUpload, fileDownload, fileDelete',
    what: 'chat-ntf takes a file, gives it back and deletes it',
    async judge(target) {
      const { client, secureKey, reply } = await chatting(target);

      await target.agentJoins(reply);
      await client.until('agent', ({ messages }) => messages.some(({ from }) => from.type === 'Agent'));
      const file = { name: 'bill.txt', content: Buffer.from('1 order') };
      const uploaded = await client.file({ operation: 'fileUpload', secureKey }, file);
      const fileId = uploaded.body?.userData?.['file-id'] ?? '';
      const event = await client.event('FileUploaded');
      const downloaded = await client.file({ operation: 'fileDownload', secureKey, fileId });
      const deleted = await client.file({ operation: 'fileDelete', secureKey, fileId });
      await client.event('FileDeleted');
      await client.disconnect();
      return firstOf(
        difference(uploaded.body, { statusCode: 0, userData: { 'file-id': aText } }),
        difference(event.messages[0]?.userData, { 'file-id': fileId, 'file-name': 'bill.txt' }, 'the event'),
        difference(downloaded.bytes.toString('utf8'), '1 order', 'content'),
        difference(deleted.body, { statusCode: 0 }),
      );
    },
  },
  {
    source: '2.2 requestNotifications',
    what: 'a second client gets all that was said from the position it names',
    async judge(target) {
      const { client, secureKey } = await chatting(target);
      await client.publish({ operation: 'sendMessage', secureKey, message: 'one' });
      await client.event('Message');
      await client.disconnect();
      const back = new BayeuxCaller(target);
      await back.handshake();
      back.listen();
      await back.publish({ operation: 'requestNotifications', secureKey, transcriptPosition: 2 });
      const answer = await back.event('Message');
      await back.disconnect();
      return difference(answer.messages[0], { index: 2, text: 'one' }, 'the event');
    },
  },
  {
    source: '2.6',
    what: 'another device in requestNotifications overrides the first, and pushes stay reliable',
    async judge(target) {
      const { userData } = target.pushData({ GCTI_GMS_PushResend: 'true' });
      const { deviceId } = target.pushData();
      const { client, secureKey } = await chatting(target, userData);
      await client.event('ParticipantJoined');
      await client.publish({
        operation: 'requestNotifications',
        secureKey,
        transcriptPosition: 2,
        userData: { push_notification_deviceid: deviceId, push_notification_type: 'customhttp' },
      });
      await client.disconnect({ ext: { transcriptPosition: '1' } });
      const back = new BayeuxCaller(target);
      await back.handshake();
      await back.publish({ operation: 'sendMessage', secureKey, message: 'from elsewhere' });
      const [push] = await target.pushesOf(deviceId, 1);
      await back.publish({ operation: 'disconnect', secureKey });
      await back.disconnect();
      return difference(push?.body, {
        message: { messages: [{ type: 'PushUrl', text: 'PUSH-NOTIFICATION' }] },
      });
    },
  },
  {
    source: '2.5, C4',
    what: 'in the background its device is pushed to behind the position, and not before',
    async judge(target) {
      const { deviceId, userData } = target.pushData();
      const { client, secureKey } = await chatting(target, userData);
      await client.event('ParticipantJoined');
      const before = await target.pushesAfter(deviceId, 500);
      await client.disconnect({ ext: { transcriptPosition: '1' } });
      const back = new BayeuxCaller(target);
      await back.handshake();
      await back.publish({ operation: 'sendMessage', secureKey, message: 'from elsewhere' });
      const [push] = await target.pushesOf(deviceId, 1);
      await back.disconnect();
      return firstOf(
        difference(before, 0, 'pushes while it was connected'),
        difference(push?.body, {
          message: { messages: [{ index: 2, type: 'Message', text: 'from elsewhere' }] },
        }),
      );
    },
  },
];
