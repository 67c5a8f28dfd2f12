import { BOUNDS, errorCodes, type RecordOf } from '@flexpush/contracts';
import { ok, type Parsed } from './field-parser';
import type { FormFields } from './form';
import {
  messageField,
  positionField,
  readFields,
  required,
  userDataField,
  type FieldSpec,
  type FieldValues,
} from './operation-fields';

export type RequestRecord = RecordOf<`request.${
  | 'refresh'
  | 'send'
  | 'startTyping'
  | 'stopTyping'
  | 'disconnect'
  | 'pushUrl'
  | 'updateNickname'
  | 'customNotice'
  | 'updateData'
  | 'readReceipt'
  | 'fileLimits'
  | 'fileUpload'
  | 'fileDownload'
  | 'fileDelete'}`>;
/** Who asks, and who waits for the reply. */
export type RequestEnvelope = Pick<RequestRecord, 'v' | 'id' | 'sessionId' | 'userId' | 'keyHash'> & {
  replyTo: string;
};

/** An operation on a chat whose request is a form and whose answer is the record's reply. */
export interface Operation {
  readonly summary: string;
  readonly fields: readonly FieldSpec[];
  parse(envelope: RequestEnvelope, fields: FormFields): Parsed<RequestRecord>;
}

const MESSAGE_TYPE_CHARS_MAX = 32;

/** What a browser would run instead of opening it; it passes over leading controls, and over tabs and line ends anywhere. */
const passedOver = String.raw`[\t\r\n]*`;
const scriptSchemes = ['javascript', 'data', 'vbscript'].map((word) => [...word].join(passedOver));
const SCRIPT_URL = new RegExp(String.raw`^[\u0000-\u0020]*(?:${scriptSchemes.join('|')})${passedOver}:`, 'i');

function operation(
  summary: string,
  specs: readonly FieldSpec[],
  record: (envelope: RequestEnvelope, values: FieldValues, fields: FormFields) => RequestRecord,
): Operation {
  return {
    summary,
    fields: specs,
    parse: (envelope, fields) => {
      const values = readFields(fields, specs);
      return values.kind === 'invalid' ? values : ok(record(envelope, values.value, fields));
    },
  };
}

/** Required fields are there when a record is made. */
const text = (values: FieldValues, name: string) => values.texts[name] ?? '';

function withPosition<R extends { transcriptPosition?: number | undefined }>(
  record: R,
  { transcriptPosition }: FieldValues['positions'],
): R {
  if (transcriptPosition !== undefined) record.transcriptPosition = transcriptPosition;
  return record;
}

/** The operations on a chat, by the part of the path behind the chat id (CONTRACT 1.2); files have some more. */
export const operations: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  [
    'send',
    operation(
      'Says a message.',
      [
        required(messageField('The text.')),
        {
          name: 'messageType',
          kind: 'text',
          charsMax: MESSAGE_TYPE_CHARS_MAX,
          meaning: 'Kind of the text; `text` by default.',
        },
        positionField('From there the reply carries the transcript.'),
      ],
      (envelope, { texts, positions }) => {
        const record: RecordOf<'request.send'> = {
          type: 'request.send',
          text: texts['message'] ?? '',
          ...envelope,
        };
        if (texts['messageType'] !== undefined) record.messageType = texts['messageType'];
        return withPosition(record, positions);
      },
    ),
  ],
  [
    'refresh',
    operation(
      'Returns the transcript and confirms pushes.',
      [
        positionField('Index of the first event wanted; all of them by default.'),
        messageField('Typing preview; empty says that the input is empty.'),
      ],
      (envelope, { texts, positions }, fields) => {
        const record: RecordOf<'request.refresh'> = { type: 'request.refresh', ...envelope };
        // An empty preview says that the customer's input is empty; an absent one says nothing.
        if (fields.has('message')) record.preview = texts['message'] ?? '';
        return withPosition(record, positions);
      },
    ),
  ],
  [
    'startTyping',
    operation('Says that the customer types.', [messageField('Preview.')], typing('request.startTyping')),
  ],
  [
    'stopTyping',
    operation(
      'Says that the customer stopped typing.',
      [messageField('Preview.')],
      typing('request.stopTyping'),
    ),
  ],
  [
    'disconnect',
    operation('Leaves the chat.', [], (envelope) => ({ type: 'request.disconnect', ...envelope })),
  ],
  [
    'pushUrl',
    operation(
      'Shows a URL to the others.',
      [
        {
          name: 'pushUrl',
          kind: 'text',
          charsMax: BOUNDS.urlChars,
          isRequired: true,
          refuses: { pattern: SCRIPT_URL, advice: 'may be no script or data' },
          meaning: 'The URL; no script or data.',
        },
      ],
      (envelope, values) => ({ type: 'request.pushUrl', url: text(values, 'pushUrl'), ...envelope }),
    ),
  ],
  [
    'updateNickname',
    operation(
      'Changes how the customer is shown.',
      [
        {
          name: 'nickname',
          kind: 'text',
          charsMax: BOUNDS.nicknameChars,
          isRequired: true,
          missingCode: errorCodes.nicknameMissing,
          refuses: { pattern: /^\s*$/, advice: 'is required', code: errorCodes.nicknameMissing },
          meaning: 'The new nickname.',
        },
      ],
      (envelope, values) => ({
        type: 'request.updateNickname',
        nickname: text(values, 'nickname').trim(),
        ...envelope,
      }),
    ),
  ],
  [
    'customNotice',
    operation(
      'Tells the others something that is no message.',
      [required(messageField('The notice.'))],
      (envelope, values) => ({ type: 'request.customNotice', text: text(values, 'message'), ...envelope }),
    ),
  ],
  [
    'updateData',
    operation(
      'Sets user data of the chat.',
      [required(userDataField('Keys to set; others stay.'))],
      (envelope, { userData }) => ({ type: 'request.updateData', userData, ...envelope }),
    ),
  ],
  [
    'readReceipt',
    operation(
      'Tells agents how far the customer has read.',
      [required(positionField('Index of the last event read.'))],
      (envelope, { positions }) => ({
        type: 'request.readReceipt',
        transcriptPosition: positions['transcriptPosition'] ?? 0,
        ...envelope,
      }),
    ),
  ],
  [
    'file/limits',
    operation('Tells the limits of files.', [], (envelope) => ({ type: 'request.fileLimits', ...envelope })),
  ],
]);

function typing(type: 'request.startTyping' | 'request.stopTyping') {
  return (envelope: RequestEnvelope, { texts }: FieldValues): RequestRecord => ({
    type,
    ...(texts['message'] === undefined ? {} : { text: texts['message'] }),
    ...envelope,
  });
}

/** Operations that carry or name a file; their paths are `file`, `file/{fileId}/download` and `file/{fileId}/delete`. */
export const fileOperations = {
  upload: 'file',
  download: 'file/download',
  delete: 'file/delete',
} as const;

const names = new Set(['requestChat', ...operations.keys(), ...Object.values(fileOperations)]);

/** Of the closed set that metrics have as labels. */
export function isOperation(name: string): boolean {
  return names.has(name);
}

/** Whether a POST on the path behind `/{app}/2/chat/` would reach an operation. */
export function isOperationPath(parts: readonly string[]): boolean {
  if (parts.some((part) => part === '')) return false;
  if (parts.length === 1) return true;
  const [, , ...behind] = parts;
  const namesFile = behind.length === 3;
  const name = namesFile ? `${behind[0]}/${behind[2]}` : behind.join('/');
  const wantsFile = name === fileOperations.download || name === fileOperations.delete;
  return isOperation(name) && name !== 'requestChat' && namesFile === wantsFile;
}
