import { BOUNDS, chatResponseSchema, errorCodes } from '@flexpush/contracts';
import { z } from 'zod';
import { chatRequestFields } from './chat-request';
import { ntfOperations } from './cometd/chat-ntf';
import type { FieldSpec } from './operation-fields';
import { fileOperations, operations } from './operations';

type Json = Record<string, unknown>;

const POSITION_MAX = 9_999_999_999;

/** A text field may be empty where it is not required: it then counts as absent. */
function fieldSchema({ kind, charsMax, isRequired, meaning }: FieldSpec): Json {
  switch (kind) {
    case 'position':
      return { type: 'integer', minimum: 0, maximum: POSITION_MAX, description: meaning };
    case 'userData':
      return {
        type: 'object',
        maxProperties: BOUNDS.userDataKeys,
        ...(isRequired ? { minProperties: 1 } : {}),
        propertyNames: { minLength: 1, maxLength: BOUNDS.userDataKeyChars },
        additionalProperties: { type: 'string', maxLength: BOUNDS.userDataValueChars },
        description: meaning,
      };
    case 'text':
      return {
        type: 'string',
        ...(isRequired ? { minLength: 1 } : {}),
        ...(charsMax === undefined ? {} : { maxLength: charsMax }),
        description: meaning,
      };
    default:
      return kind satisfies never;
  }
}

const credentialFields: readonly FieldSpec[] = [
  { name: 'userId', kind: 'text', isRequired: true, meaning: 'Of the reply to request chat.' },
  { name: 'secureKey', kind: 'text', isRequired: true, meaning: 'Secret of the participant.' },
  { name: 'alias', kind: 'text', meaning: 'Of the newest reply; not judged.' },
];

function formSchema(fields: readonly FieldSpec[], more: Json = {}): Json {
  const needed = [
    ...fields.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    ...Object.keys(more),
  ];
  return {
    type: 'object',
    properties: { ...Object.fromEntries(fields.map((spec) => [spec.name, fieldSchema(spec)])), ...more },
    ...(needed.length > 0 ? { required: needed } : {}),
  };
}

/** `userData[KEY]=VALUE` is the style `deepObject`. */
function urlEncoded(fields: readonly FieldSpec[]): Json {
  const hasUserData = fields.some(({ kind }) => kind === 'userData');
  return {
    schema: formSchema(fields),
    ...(hasUserData ? { encoding: { userData: { style: 'deepObject', explode: true } } } : {}),
  };
}

const reply = (description: string): Json => ({
  description,
  content: { 'application/json': { schema: { $ref: '#/components/schemas/ChatResponse' } } },
});

const failures = {
  '400': { $ref: '#/components/responses/Invalid' },
  '404': { $ref: '#/components/responses/NotFound' },
  '405': { $ref: '#/components/responses/NotPost' },
  '408': { $ref: '#/components/responses/TooSlow' },
  '413': { $ref: '#/components/responses/TooLarge' },
  '415': { $ref: '#/components/responses/UnsupportedMediaType' },
  '503': { $ref: '#/components/responses/Unavailable' },
};

const FORM = 'application/x-www-form-urlencoded';
const OK = 'Done, or refused by the session: see statusCode.';

interface PathOperation {
  id: string;
  summary: string;
  content: Json;
  parameters?: string[];
  ok?: Json;
}

function path({ id, summary, content, parameters = [], ok = reply(OK) }: PathOperation): Json {
  return {
    post: {
      operationId: id,
      summary,
      parameters: ['serviceName', ...parameters, 'idempotencyKey'].map((name) => ({
        $ref: `#/components/parameters/${name}`,
      })),
      requestBody: { required: true, content },
      responses: { '200': ok, ...failures },
    },
  };
}

const download: Json = {
  description: 'The content of the file; with JSON, why there is none: see statusCode.',
  headers: {
    'Content-Disposition': { schema: { type: 'string' }, description: 'The name of the file.' },
  },
  content: {
    'application/octet-stream': {},
    'application/json': { schema: { $ref: '#/components/schemas/ChatResponse' } },
  },
};

const userDataOfFile: FieldSpec = {
  name: 'userData',
  kind: 'userData',
  meaning: 'What else there is to say of the file, file-description for one.',
};

const file: Json = {
  description: 'The content, with a file name.',
  contentMediaType: 'application/octet-stream',
};

/** The same sentence in the documentation of REST and of CometD. */
export function uploadOrder(credentials: string): string {
  return `${credentials} may stand before or behind the file; before it they let it be stored as it comes, behind it they make it wait at the server, where there is room for few.`;
}

function chatPaths(base: string): Record<string, Json> {
  const session = `${base}/{chatId}`;
  const credentials = { [FORM]: urlEncoded(credentialFields) };
  const onFile = (operation: 'download' | 'delete', summary: string, ok?: Json) =>
    path({
      id: fileOperations[operation],
      summary,
      content: credentials,
      parameters: ['chatId', 'fileId'],
      ...(ok ? { ok } : {}),
    });
  const paths: Record<string, Json> = {
    [base]: path({
      id: 'requestChat',
      summary: 'Starts a chat.',
      content: {
        [FORM]: urlEncoded(chatRequestFields),
        'multipart/form-data': urlEncoded(chatRequestFields),
      },
    }),
  };
  for (const [name, { summary, fields }] of operations)
    paths[`${session}/${name}`] = path({
      id: name,
      summary,
      content: { [FORM]: urlEncoded([...credentialFields, ...fields]) },
      parameters: ['chatId'],
    });
  paths[`${session}/file`] = path({
    id: fileOperations.upload,
    summary: `Uploads a file. ${uploadOrder('userId and secureKey')}`,
    content: {
      'multipart/form-data': {
        schema: formSchema([...credentialFields, userDataOfFile], {
          file,
        }),
      },
    },
    parameters: ['chatId'],
  });
  paths[`${session}/file/{fileId}/download`] = onFile('download', 'Downloads a file.', download);
  paths[`${session}/file/{fileId}/delete`] = onFile('delete', 'Deletes an own file.');
  return paths;
}

const ntfFields: readonly FieldSpec[] = [
  {
    name: 'secureKey',
    kind: 'text',
    isRequired: true,
    meaning: 'The long key of CometD; it stands for chat and participant.',
  },
  { name: 'fileId', kind: 'text', meaning: 'Of fileDownload and fileDelete.' },
  userDataOfFile,
];

/** File operations of CometD clients (CONTRACT 2.3): one path for all of them. */
function ntfPath(): Json {
  const schema = formSchema(ntfFields, {
    operation: { type: 'string', enum: [...ntfOperations.keys()] },
  });
  const withFile = formSchema(ntfFields, { operation: { type: 'string', const: 'fileUpload' }, file });
  return {
    post: {
      operationId: 'chatNtf',
      summary: `File operations of a connected CometD client. ${uploadOrder('operation and secureKey')}`,
      parameters: [
        {
          name: 'BAYEUX_BROWSER',
          in: 'cookie',
          required: true,
          schema: { type: 'string' },
          description: 'Of the handshake.',
        },
      ],
      requestBody: {
        required: true,
        content: {
          [FORM]: { schema },
          'multipart/form-data': { schema: { anyOf: [schema, withFile] } },
        },
      },
      responses: { '200': download, ...failures },
    },
  };
}

const inPath = (name: string, description: string): Json => ({
  name,
  in: 'path',
  required: true,
  schema: { type: 'string' },
  description,
});

/** The Chat API as an OpenAPI 3.1 document, made of what the code checks requests by and what it answers with. */
export function openApiDocument(appName: string): Json {
  const { $schema: _dialect, ...response } = z.toJSONSchema(chatResponseSchema, { io: 'output' }) as Json;
  return {
    openapi: '3.1.1',
    info: {
      title: 'flexpush Chat API Version 2',
      version: '2',
      description:
        'Every operation is a POST of a form, and every answer is JSON of one shape, except the content of a file.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths: {
      ...chatPaths(`/${appName}/2/chat/{serviceName}`),
      [`/${appName}/2/chat-ntf`]: ntfPath(),
    },
    components: {
      schemas: { ChatResponse: response },
      parameters: {
        serviceName: inPath('serviceName', 'Chat service; options of section chat.<service> are its own.'),
        chatId: inPath('chatId', 'Of the reply to request chat.'),
        fileId: inPath('fileId', 'Of the reply to the upload, or of a FileUploaded event.'),
        idempotencyKey: {
          name: 'Idempotency-Key',
          in: 'header',
          schema: { type: 'string', minLength: 16, maxLength: 64 },
          description: 'Random, for this request only; a repeat with it is the same request.',
        },
      },
      responses: {
        Invalid: reply(`The request is wrong; code is one of ${Object.values(errorCodes).join(', ')}.`),
        NotFound: reply('There is no such path.'),
        NotPost: reply('Not a POST.'),
        TooSlow: reply('The request did not come in time; it may be repeated.'),
        TooLarge: reply('The body is too large; the advice is the limit.'),
        UnsupportedMediaType: reply('Not the form that the operation takes.'),
        Unavailable: reply('Cannot be taken now; may be repeated after Retry-After.'),
      },
    },
  };
}
