import { Webhook } from 'standardwebhooks';
import { webhookId, webhookSigner } from './webhook-signature';

const key = (letter: string) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`;
const body = '{"deviceId":"dev-7","message":"é"}';

function headersOf(list: string[]): Record<string, string> {
  return Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? '']] : [])));
}

it('signs so that the library verifies it, with either key during a rotation', () => {
  const headers = headersOf(webhookSigner([key('b'), key('a')])?.sign('s:U:1', body, Date.now()) ?? []);
  expect(new Webhook(key('a')).verify(body, headers)).toEqual(JSON.parse(body));
  expect(new Webhook(key('b')).verify(body, headers)).toEqual(JSON.parse(body));
  expect(() => new Webhook(key('c')).verify(body, headers)).toThrow('No matching signature');
  expect(() => new Webhook(key('a')).verify(`${body} `, headers)).toThrow('No matching signature');
});

it('the id is that of the notification, whenever it is signed, and shows neither session nor user', () => {
  const signer = webhookSigner([key('a')]);
  const [first, again, resend] = [
    signer?.sign('00021bBKRTX9M01C:00A1653C92D4000F:4', body, 1_000_000),
    signer?.sign('00021bBKRTX9M01C:00A1653C92D4000F:4', body, 9_000_000),
    signer?.sign('00021bBKRTX9M01C:00A1653C92D4000F:5', body, 1_000_000),
  ].map((list) => headersOf(list ?? []));
  expect(first?.['webhook-id']).toMatch(/^msg_[A-Za-z0-9_-]{22}$/);
  expect(again?.['webhook-id']).toBe(first?.['webhook-id']);
  expect(again?.['webhook-timestamp']).toBe('9000');
  expect(resend?.['webhook-id']).not.toBe(first?.['webhook-id']);
  expect(webhookId('00021bBKRTX9M01C:00A1653C92D4000F:4')).not.toMatch(/00021b|00A165/);
});

it('says when a key cannot be read', () => {
  expect(webhookSigner(['whsec_'])).toBeUndefined();
  expect(webhookSigner([key('a'), 'whsec_!!'])).toBeUndefined();
});
