import { sessionIdSchema, userIdSchema, type PlainJob, type TriggerJob } from '@flexpush/contracts';
import { plainBody, triggerBody } from './customhttp-body';

/** The sample of the page, character by character but for the line breaks and blanks between tokens. */
const pageSample = `{
  "message":{
    "secureKey":"G1xBGx9aTUYVBEECD0UZAVwTQEQDFgRZFVJTXEI3QSFFIShAHyVcRUI2GUJXXUEeAikkNSNTJFddQRc=",
    "chatId":"deprecated",
    "nextPosition":17,
    "messages":[
      {
        "from":{
          "nickname":"",
          "participantId":0,
          "type":"Client"
        },
        "index":0,
        "text":"PUSH-NOTIFICATION",
        "type":"PushUrl",
        "utcTime":1568662361000,
        "userData":{
          "notify-attempt":"0",
          "notify-position":"16",
          "secure-key":"c6c9a6d96dc14cef5f94",
          "app-dbid":"131",
          "user-id":"007D5D7FE31F001B",
          "session-id":"00020aEQFW6V0029"
        }
      }
    ],
    "alias":"0",
    "chatEnded":false,
    "userId":"deprecated",
    "statusCode":0,
    "monitored":false
  },
  "deviceId":"a1a23456789123456789"
}`;

const common = {
  id: '00020aEQFW6V0029:007D5D7FE31F001B:1',
  n: 1,
  sessionId: sessionIdSchema.parse('00020aEQFW6V0029'),
  userId: userIdSchema.parse('007D5D7FE31F001B'),
  service: 'chat',
  deviceType: 'customhttp',
  deviceId: 'a1a23456789123456789',
  debug: false,
  obfuscatedKey: 'G1xBGx9aTUYVBEECD0UZAVwTQEQDFgRZFVJTXEI3QSFFIShAHyVcRUI2GUJXXUEeAikkNSNTJFddQRc=',
  chatEnded: false,
  atMs: 1_568_662_361_987,
} as const;

const trigger: TriggerJob = {
  ...common,
  kind: 'trigger',
  attempt: 0,
  position: 16,
  content: ['app-dbid', 'secure-key', 'session-id', 'user-id'],
  secureKey: 'c6c9a6d96dc14cef5f94',
};

interface PushedTrigger {
  message: { nextPosition: number; chatEnded: boolean; messages: { userData: Record<string, string> }[] };
  deviceId: string;
}
const parsed = (body: string) => JSON.parse(body) as PushedTrigger;
const userData = (body: string) => parsed(body).message.messages[0]?.userData;

describe('reliable push', () => {
  it('is the sample of the page, key order included', () => {
    expect(triggerBody(trigger, '131')).toBe(JSON.stringify(JSON.parse(pageSample)));
  });

  it.each([
    { name: 'none', content: [], keys: [] },
    { name: 'the default', content: ['session-id', 'user-id'], keys: ['user-id', 'session-id'] },
    { name: 'the key alone', content: ['secure-key'], keys: ['secure-key'] },
    { name: 'the alias alone', content: ['app-dbid'], keys: ['app-dbid'] },
  ] as const)('carries exactly the wanted content: $name', ({ content, keys }) => {
    const body = triggerBody({ ...trigger, content: [...content] }, '131');
    expect(Object.keys(userData(body) ?? {})).toEqual(['notify-attempt', 'notify-position', ...keys]);
  });

  it('does not carry a secure key that was not asked for, even when the job has it (I10)', () => {
    expect(triggerBody({ ...trigger, content: ['user-id'] }, '131')).not.toContain('c6c9a6d96dc14cef5f94');
  });

  it('tells of a removal with -1 and next position 0, and of the end of the session', () => {
    const body = triggerBody({ ...trigger, position: -1, attempt: 2, chatEnded: true }, '131');
    expect(parsed(body).message).toMatchObject({ nextPosition: 0, chatEnded: true });
    expect(userData(body)).toMatchObject({ 'notify-attempt': '2', 'notify-position': '-1' });
  });

  it('stays JSON whatever the free texts hold', () => {
    const odd = '"}\\ \u2028 \ud800 \n<é>';
    const body = triggerBody({ ...trigger, deviceId: odd, obfuscatedKey: odd, secureKey: odd }, odd);
    expect(parsed(body).deviceId).toBe(odd);
    expect(userData(body)).toMatchObject({ 'secure-key': odd, 'app-dbid': odd });
  });
});

describe('plain push', () => {
  const plain: PlainJob = { ...common, kind: 'plain' };
  const event = {
    from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
    index: 3,
    type: 'Message',
    messageType: 'text',
    text: 'Hello',
    utcTime: 1_790_000_015_000,
  } as const;

  it('carries the event in the shape of a response', () => {
    expect(plainBody({ ...plain, event }, { alias: '204', message: 'not used' })).toBe(
      '{"deviceId":"a1a23456789123456789","message":{"messages":[{"from":{"nickname":"Jonas","participantId":2,"type":"Agent"},"index":3,"type":"Message","messageType":"text","text":"Hello","utcTime":1790000015000}],' +
        '"chatId":"00020aEQFW6V0029","userId":"007D5D7FE31F001B","alias":"204","secureKey":"G1xBGx9aTUYVBEECD0UZAVwTQEQDFgRZFVJTXEI3QSFFIShAHyVcRUI2GUJXXUEeAikkNSNTJFddQRc=","nextPosition":4,"chatEnded":false,"statusCode":0,"monitored":false}}',
    );
  });

  it('leaves the next position out for an event without an index', () => {
    const { index: _index, ...typing } = event;
    const body = plainBody({ ...plain, event: typing }, { alias: '204', message: undefined });
    expect(JSON.parse(body)).not.toHaveProperty('message.nextPosition');
  });

  it('carries the fixed text when the event is not wanted', () => {
    expect(plainBody(plain, { alias: '204', message: 'You have a "new" chat event' })).toBe(
      '{"deviceId":"a1a23456789123456789","message":"You have a \\"new\\" chat event"}',
    );
  });

  it('carries the device id alone when there is no fixed text', () => {
    expect(plainBody(plain, { alias: '204', message: undefined })).toBe(
      '{"deviceId":"a1a23456789123456789"}',
    );
  });
});
