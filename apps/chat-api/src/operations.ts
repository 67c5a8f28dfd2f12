import type { RecordOf } from '@flexpush/contracts';
import { boundedField, invalid, ok, positionField, textField, type Parsed } from './field-parser';
import type { FormFields } from './form';

export type RequestRecord = RecordOf<
  'request.refresh' | 'request.send' | 'request.startTyping' | 'request.stopTyping' | 'request.disconnect'
>;
/** Who asks, and who waits for the reply. */
export type RequestEnvelope = Pick<RequestRecord, 'v' | 'id' | 'sessionId' | 'userId' | 'keyHash'> & {
  replyTo: string;
};

type ParseOperation = (envelope: RequestEnvelope, fields: FormFields) => Parsed<RequestRecord>;

const MESSAGE_TYPE_CHARS_MAX = 32;

/**
 * The operations on a session, by the last part of the path: fields of the form -> record. This is the place for
 * the other operations of CONTRACT 1.2.
 */
export const operations: ReadonlyMap<string, ParseOperation> = new Map<string, ParseOperation>([
  ['send', parseSend],
  ['refresh', parseRefresh],
  ['startTyping', (envelope, fields) => parseTyping(envelope, fields, 'request.startTyping')],
  ['stopTyping', (envelope, fields) => parseTyping(envelope, fields, 'request.stopTyping')],
  ['disconnect', (envelope) => ok({ ...envelope, type: 'request.disconnect' })],
]);

function parseSend(envelope: RequestEnvelope, fields: FormFields): Parsed<RequestRecord> {
  const text = textField(fields, 'message');
  if (text.kind === 'invalid') return text;
  if (text.value === undefined) return invalid('message is required');
  const messageType = boundedField(fields, 'messageType', MESSAGE_TYPE_CHARS_MAX);
  if (messageType.kind === 'invalid') return messageType;
  const position = positionField(fields);
  if (position.kind === 'invalid') return position;
  return ok({
    ...envelope,
    type: 'request.send',
    text: text.value,
    ...(messageType.value === undefined ? {} : { messageType: messageType.value }),
    ...(position.value === undefined ? {} : { transcriptPosition: position.value }),
  });
}

/** An empty preview says that the customer's input is empty; an absent one says nothing. */
function parseRefresh(envelope: RequestEnvelope, fields: FormFields): Parsed<RequestRecord> {
  const position = positionField(fields);
  if (position.kind === 'invalid') return position;
  const preview = textField(fields, 'message');
  if (preview.kind === 'invalid') return preview;
  return ok({
    ...envelope,
    type: 'request.refresh',
    ...(position.value === undefined ? {} : { transcriptPosition: position.value }),
    ...(fields.has('message') ? { preview: preview.value ?? '' } : {}),
  });
}

function parseTyping(
  envelope: RequestEnvelope,
  fields: FormFields,
  type: 'request.startTyping' | 'request.stopTyping',
): Parsed<RequestRecord> {
  const text = textField(fields, 'message');
  if (text.kind === 'invalid') return text;
  return ok({ ...envelope, type, ...(text.value === undefined ? {} : { text: text.value }) });
}
