// Writes docs/openapi.json and docs/asyncapi.json from the schemas and tables of the code; with --check it only says
// whether they are up to date. Both are validated against the official schemas of their formats first.
// Run it by `npm run api-docs`: the sources are loaded as they are, under the condition @flexpush/source.
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeOrCheck } from './written-page.mjs';

const require = createRequire(import.meta.url);
require('./register-sources.cjs');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { openApiDocument } = require(join(root, 'apps', 'chat-api', 'src', 'openapi.ts'));
const { asyncApiDocument } = require('./asyncapi.ts');
const { format, resolveConfig } = require('prettier');

async function openApiProblems(document) {
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  return valid ? [] : [errors].flat();
}

function asyncApiProblems(document) {
  const schema = require('@asyncapi/specs/schemas/3.0.0-without-$id.json');
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  const isValid = ajv.compile(schema);
  return isValid(document) ? [] : isValid.errors;
}

const documents = [
  { file: 'openapi.json', document: openApiDocument('genesys'), problems: openApiProblems },
  { file: 'asyncapi.json', document: asyncApiDocument(), problems: asyncApiProblems },
];

for (const { file, document, problems } of documents) {
  const path = join(root, 'docs', file);
  const shown = relative(process.cwd(), path);
  const found = await problems(document);
  for (const problem of found.slice(0, 20)) process.stdout.write(`${shown}: ${JSON.stringify(problem)}\n`);
  if (found.length > 0) process.exitCode = 1;
  const text = await format(JSON.stringify(document), { ...(await resolveConfig(path)), filepath: path });
  writeOrCheck(path, text, 'npm run api-docs');
}
