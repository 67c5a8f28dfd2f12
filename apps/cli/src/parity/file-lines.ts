import { absent, aText, difference } from './difference';
import { firstOf, type ParityLine } from './parity-line';
import type { Customer, HttpAnswer, ParityTarget } from './parity-target';

/** A chat with an agent, without whom no file is taken. */
async function chat(target: ParityTarget): Promise<Customer> {
  const customer = await target.customer();

  await target.agentJoins(customer);
  await target.until(customer, 'ParticipantJoined');
  return customer;
}

function upload(
  target: ParityTarget,
  { chatId, ...creds }: Customer,
  file: { name: string; content: Buffer },
): Promise<HttpAnswer> {
  const fields = { ...creds, 'userData[file-description]': 'the bill' };
  return target.multipart(`${target.servicePath}/${chatId}/file`, fields, { file });
}

/** As the target tells them. */
async function limitsOf(target: ParityTarget, customer: Customer): Promise<Record<string, string>> {
  const { body } = await target.call(customer, 'file/limits');
  return body?.messages[0]?.userData ?? {};
}

const small = { name: 'bill.txt', content: Buffer.from('1 order, ✓\n') };

export const fileLines: readonly ParityLine[] = [
  {
    source: '1.5, R6',
    what: 'file/limits answers a notice without an index',
    async judge(target) {
      const { body } = await target.call(await target.customer(), 'file/limits');
      const digits = /^\d+$/;
      return firstOf(
        difference(body, {
          statusCode: 0,
          messages: [{ type: 'Notice', text: 'file-client-cfg-get', index: absent }],
        }),
        difference(body?.messages[0]?.userData, {
          'upload-max-files': digits,
          'upload-max-file-size': digits,
          'upload-max-total-size': digits,
          'upload-file-types': aText,
          'upload-need-agent': /^(true|false)$/,
          'used-upload-max-files': '0',
          'used-upload-max-total-size': '0',
          'download-attempts': digits,
          'used-download-attempts': '0',
          'delete-file': aText,
        }),
      );
    },
  },
  {
    source: '1.2 #13, R7, 1.4',
    what: 'an upload answers its file-id, and everybody sees it',
    async judge(target) {
      const customer = await chat(target);
      const { body } = await upload(target, customer, small);
      const refreshed = await target.until(customer, 'FileUploaded');
      const event = refreshed.body?.messages.find(({ type }) => type === 'FileUploaded');
      return firstOf(
        difference(body, { statusCode: 0, userData: { 'file-id': aText } }),
        difference(event?.userData, {
          'file-id': body?.userData?.['file-id'],
          'file-name': small.name,
          'file-size': String(small.content.length),
          'file-description': 'the bill',
        }),
      );
    },
  },
  {
    source: '1.2 #14',
    what: 'a download answers the bytes of the upload',
    async judge(target) {
      const customer = await chat(target);
      const { body } = await upload(target, customer, small);
      const answer = await target.call(customer, `file/${body?.userData?.['file-id'] ?? ''}/download`);
      return firstOf(
        difference(answer.status, 200, 'HTTP status'),
        difference(answer.bytes.toString('utf8'), small.content.toString('utf8'), 'content'),
      );
    },
  },
  {
    source: '1.2 #15, 1.4',
    what: 'a deleted file is said to be, and is gone',
    async judge(target) {
      const customer = await chat(target);
      const { body } = await upload(target, customer, small);
      const fileId = body?.userData?.['file-id'] ?? '';
      const deleted = await target.call(customer, `file/${fileId}/delete`);
      const refreshed = await target.until(customer, 'FileDeleted');
      const event = refreshed.body?.messages.find(({ type }) => type === 'FileDeleted');
      const again = await target.call(customer, `file/${fileId}/download`);
      return firstOf(
        difference(deleted.body, { statusCode: 0 }),
        difference(event?.userData, { 'file-id': fileId }),
        again.bytes.equals(small.content) ? 'the file can still be downloaded' : undefined,
      );
    },
  },
  {
    source: '1.6',
    what: 'a type that is not allowed is refused with 203',
    async judge(target) {
      const customer = await chat(target);
      if ((await limitsOf(target, customer))['upload-file-types'] === '*') return undefined;
      const { body } = await upload(target, customer, { name: 'run.flexpush', content: small.content });
      return difference(body?.errors, [{ code: 203, advice: aText }], 'errors');
    },
  },
  {
    source: '1.6',
    what: 'a file beyond the size is refused with 202 and the limit',
    async judge(target) {
      const customer = await chat(target);
      const limit = (await limitsOf(target, customer))['upload-max-file-size'] ?? '0';
      if (Number(limit) > 16_777_216) return undefined;
      const { body } = await upload(target, customer, {
        ...small,
        content: Buffer.alloc(Number(limit) + 1, 'x'),
      });
      return difference(body?.errors, [{ code: 202, advice: limit }], 'errors');
    },
  },
  {
    source: '1.6',
    what: 'one file too many is refused with 201 and the limit',
    async judge(target) {
      const customer = await chat(target);
      const limit = (await limitsOf(target, customer))['upload-max-files'] ?? '0';
      if (Number(limit) > 20) return undefined;
      for (let i = 0; i < Number(limit); i++) await upload(target, customer, small);
      const { body } = await upload(target, customer, small);
      return difference(body?.errors, [{ code: 201, advice: limit }], 'errors');
    },
  },
];
