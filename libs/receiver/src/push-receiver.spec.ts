import { Webhook } from 'standardwebhooks';
import { createPushReceiver } from './push-receiver';

const key = (letter: string) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`;

/** The samples of docs/push-providers.md. */
const bodies = {
  text: '{"deviceId":"dev-7f31c2","message":"You have a new chat event"}',
  bare: '{"deviceId":"dev-7f31c2"}',
  event:
    '{"deviceId":"dev-7f31c2","message":{"messages":[{"from":{"nickname":"Jonas","participantId":2,"type":"Agent"},"index":3,"type":"Message","messageType":"text","text":"Hello","utcTime":1790000015000}],"chatId":"00021bBKRTX9M01C","userId":"00A1653C92D4000F","alias":"204","secureKey":"Q2hhbmdl","nextPosition":4,"chatEnded":false,"statusCode":0,"monitored":false}}',
  trigger:
    '{"message":{"secureKey":"Q2hhbmdl","chatId":"deprecated","nextPosition":4,"messages":[{"from":{"nickname":"","participantId":0,"type":"Client"},"index":0,"text":"PUSH-NOTIFICATION","type":"PushUrl","utcTime":1790000045000,"userData":{"notify-attempt":"2","notify-position":"3","secure-key":"5be07d19c2f8a4360e77","app-dbid":"204","user-id":"00A1653C92D4000F","session-id":"00021bBKRTX9M01C"}}],"alias":"0","chatEnded":false,"userId":"deprecated","statusCode":0,"monitored":false},"deviceId":"dev-7f31c2"}',
  removed:
    '{"message":{"secureKey":"Q2hhbmdl","chatId":"deprecated","nextPosition":0,"messages":[{"from":{"nickname":"","participantId":0,"type":"Client"},"index":0,"text":"PUSH-NOTIFICATION","type":"PushUrl","utcTime":1790000201000,"userData":{"notify-attempt":"0","notify-position":"-1","session-id":"00021bBKRTX9M01C","user-id":"00A1653C92D4000F"}}],"alias":"0","chatEnded":true,"userId":"deprecated","statusCode":0,"monitored":false},"deviceId":"dev-7f31c2"}',
};

function signed(
  body: string,
  { id = 'msg_1', letter = 'a', atMs = Date.now() } = {},
): Record<string, string> {
  const at = new Date(atMs);
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(atMs / 1_000)),
    'webhook-signature': new Webhook(key(letter)).sign(id, at, body),
  };
}

describe('what it reads', () => {
  const open = createPushReceiver({ signingKeys: [] });
  it.each<{ name: keyof typeof bodies; push: unknown }>([
    { name: 'text', push: { kind: 'text', deviceId: 'dev-7f31c2', text: 'You have a new chat event' } },
    { name: 'bare', push: { kind: 'text', deviceId: 'dev-7f31c2' } },
    {
      name: 'event',
      push: {
        kind: 'events',
        deviceId: 'dev-7f31c2',
        sessionId: '00021bBKRTX9M01C',
        userId: '00A1653C92D4000F',
        alias: '204',
        chatEnded: false,
        events: [
          {
            from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
            index: 3,
            type: 'Message',
            messageType: 'text',
            text: 'Hello',
            utcTime: 1_790_000_015_000,
          },
        ],
      },
    },
    {
      name: 'trigger',
      push: {
        kind: 'trigger',
        deviceId: 'dev-7f31c2',
        position: 3,
        attempt: 2,
        chatEnded: false,
        sessionId: '00021bBKRTX9M01C',
        userId: '00A1653C92D4000F',
        secureKey: '5be07d19c2f8a4360e77',
        alias: '204',
      },
    },
    {
      name: 'removed',
      push: {
        kind: 'trigger',
        deviceId: 'dev-7f31c2',
        position: -1,
        attempt: 0,
        chatEnded: true,
        sessionId: '00021bBKRTX9M01C',
        userId: '00A1653C92D4000F',
      },
    },
  ])('$name', ({ name, push }) => {
    expect(open.receive({}, bodies[name])).toEqual({ kind: 'push', push, id: undefined });
    expect(open.receive({}, Buffer.from(bodies[name]))).toMatchObject({ kind: 'push' });
  });

  it.each([
    ['', 'not-json'],
    ['nonsense', 'not-json'],
    ['null', 'not-a-push'],
    ['[]', 'not-a-push'],
    ['{"deviceId":7}', 'not-a-push'],
    ['{"deviceId":"d","message":7}', 'not-a-push'],
    ['{"deviceId":"d","message":{"messages":[{"type":"Message"}]}}', 'not-a-push'],
    ['{"deviceId":"d","message":{"chatId":"s","userId":"u","messages":[{"index":1}]}}', 'not-a-push'],
    [bodies.trigger.replace('"notify-position":"3"', '"notify-position":"-2"'), 'not-a-push'],
    [bodies.trigger.replace('"notify-attempt":"2"', '"notify-attempt":"x"'), 'not-a-push'],
    ['{"deviceId":"d","message":{"__proto__":{"messages":[]}}}', 'not-a-push'],
  ])('refuses %j as %s', (body, reason) => {
    expect(open.receive({}, body)).toEqual({ kind: 'refused', status: 400, reason });
  });
});

describe('verification', () => {
  const receiver = () => createPushReceiver({ signingKeys: [key('a'), key('b')] });

  it('takes what either key has signed', () => {
    for (const letter of ['a', 'b'])
      expect(receiver().receive(signed(bodies.text, { letter }), bodies.text)).toMatchObject({
        kind: 'push',
        id: 'msg_1',
      });
  });

  it.each<{ name: string; headers: Record<string, string | string[]>; reason: string }>([
    { name: 'no signature', headers: {}, reason: 'not-signed' },
    { name: 'two ids', headers: { ...signed(bodies.text), 'webhook-id': ['a', 'b'] }, reason: 'not-signed' },
    { name: 'another key', headers: signed(bodies.text, { letter: 'c' }), reason: 'signature-wrong' },
    { name: 'another body', headers: signed(bodies.bare), reason: 'signature-wrong' },
    {
      name: 'another id',
      headers: { ...signed(bodies.text), 'webhook-id': 'msg_2' },
      reason: 'signature-wrong',
    },
    {
      name: 'an old one',
      headers: signed(bodies.text, { atMs: Date.now() - 301_000 }),
      reason: 'signature-wrong',
    },
    {
      name: 'one of the future',
      headers: signed(bodies.text, { atMs: Date.now() + 302_000 }),
      reason: 'signature-wrong',
    },
    {
      name: 'nonsense',
      headers: { ...signed(bodies.text), 'webhook-signature': 'v1' },
      reason: 'signature-wrong',
    },
    {
      name: 'no time',
      headers: { ...signed(bodies.text), 'webhook-timestamp': 'x' },
      reason: 'signature-wrong',
    },
    { name: 'a dot in the id', headers: signed(bodies.text, { id: 'a.1' }), reason: 'signature-wrong' },
  ])('refuses $name', ({ headers, reason }) => {
    expect(receiver().receive(headers, bodies.text)).toEqual({ kind: 'refused', status: 401, reason });
  });

  it('does not start with a key that it cannot read', () => {
    expect(() => createPushReceiver({ signingKeys: ['whsec_'] })).toThrow();
  });
});

describe('repeats', () => {
  it('are dropped, whatever their time stamp, until the id is forgotten', () => {
    const receiver = createPushReceiver({ signingKeys: [key('a')] });
    const take = (atMs: number) => receiver.receive(signed(bodies.text, { atMs }), bodies.text).kind;
    const now = Date.now();
    expect([take(now), take(now), take(now + 5_000)]).toEqual(['push', 'repeated', 'repeated']);
    receiver.forget('msg_1');
    expect(take(now)).toBe('push');
  });

  it('a body that was refused does not use its id up', () => {
    const receiver = createPushReceiver({ signingKeys: [key('a')] });
    expect(receiver.receive(signed('nonsense'), 'nonsense').kind).toBe('refused');
    expect(receiver.receive(signed(bodies.text), bodies.text).kind).toBe('push');
  });

  it('the memory is bounded by count and by age', () => {
    let nowMs = 0;
    const receiver = createPushReceiver({ signingKeys: [key('a')], repeatsMax: 2, nowMs: () => nowMs });
    const take = (id: string) => receiver.receive(signed(bodies.text, { id }), bodies.text).kind;
    expect(['a', 'b', 'c', 'c', 'b', 'a'].map(take)).toEqual([
      'push',
      'push',
      'push',
      'repeated',
      'repeated',
      'push',
    ]);
    nowMs += 900_001;
    expect(['c', 'a'].map(take)).toEqual(['push', 'push']);
  });
});
