// Writes docs/options.md from the option catalogue; with --check it only says whether the file is up to date.
// The sources are loaded as they are, so no build is needed and a stale build cannot speak.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeOrCheck } from './written-page.mjs';

const require = createRequire(import.meta.url);
require('./register-sources.cjs');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { describeRange, optionCatalogue } = require(join(root, 'libs', 'contracts', 'src', 'options.ts'));
const file = join(root, 'docs', 'options.md');

/** What every section is for, in the order in which they are shown. */
const sections = [
  ['settings', 'Chat Server settings'],
  ['inactivity-control', 'Inactivity of ordinary chats'],
  ['client-file-transfer', 'Files'],
  ['chat', 'Chat services'],
  ['push', 'Delivery'],
  ['gms', 'HTTP client of the GMS nodes'],
];

/** Whose value is in force after a change, and from when. */
const effects = {
  fold: 'the fold, through an `options.changed` record in the log of every shard',
  delivery: 'the GMS nodes, from the option bucket',
  'chat-api': 'chat-api, from the option bucket',
};

function code(text) {
  return `\`${text}\``;
}

/** A bar would end the cell. */
function cell(text) {
  return text.replaceAll('|', '\\|');
}

function sectionNames(spec) {
  return spec.sections
    .map((name) => code(name.replace('chat.*', 'chat.<service>').replace('provider.*', 'provider.<name>')))
    .join(', ');
}

function row(spec) {
  const cells = [
    code(spec.name),
    sectionNames(spec),
    spec.default === undefined ? 'not set' : code(spec.default),
    describeRange(spec.type),
    spec.since,
    // Outside of code, `chat.<service>` would be taken for a tag.
    spec.meaning.replaceAll('<', '&lt;'),
    spec.readBy.join(', ') || 'nobody',
  ];
  return `| ${cells.map(cell).join(' | ')} |`;
}

/** `chat.*` belongs to `chat`. */
function chapterOf(spec) {
  return spec.sections[0].split('.')[0];
}

function chapter([section, title]) {
  const specs = optionCatalogue.filter((spec) => chapterOf(spec) === section);
  return [
    `## ${title}: section ${code(section)}`,
    '',
    '| option | sections | default | range | since | meaning | read by |',
    '|---|---|---|---|---|---|---|',
    ...specs.map(row),
    '',
  ];
}

function render() {
  const known = new Set(sections.map(([section]) => section));
  const unknown = optionCatalogue.filter((spec) => !known.has(chapterOf(spec)));
  if (unknown.length > 0)
    throw new Error(`give section ${unknown[0].sections[0]} a title in tools/options-doc.mjs`);
  return [
    '# Options',
    '',
    '<!-- Written by tools/options-doc.mjs from libs/contracts/src/options.ts. Do not edit by hand. -->',
    '',
    'Options are kept in the NATS key-value bucket `flexpush-option`, one entry `<section>/<name>` for each that is set.',
    'They change while everything runs, and a change takes effect at once:',
    '',
    '```sh',
    'npx flexpush options list',
    'npx flexpush options show flex-push-resend-delay',
    'npx flexpush options get settings flex-push-resend-delay',
    'npx flexpush options set settings flex-push-resend-delay 30',
    'npx flexpush options unset settings flex-push-resend-delay',
    '```',
    '',
    'A value that is not valid is refused with its range, and the present value stays. A bad value that got into the',
    'bucket past this check leaves the last good one in force; the services report it (`option.bad`, `option.not-valid`).',
    'Where an option may stand in several sections, the more special one wins: `chat.<service>` over `chat`,',
    '`push.provider.<name>` over `push`; `get` and `unset` say which value holds. In a terminal the list is cut to its width;',
    '`show` and `--json` have all. What nobody reads is accepted because configurations have it.',
    '',
    'A configuration of the original is taken over with `npx flexpush options import <file>`, which says line by line',
    'what it took, what is out of range, what means nothing here and why, and what it does not know.',
    '',
    'The column "read by" says where a value is used:',
    '',
    ...Object.entries(effects).map(([reader, meaning]) => `- ${code(reader)}: ${meaning}.`),
    '- nobody: it is accepted because configurations have it, and changes nothing.',
    '',
    ...sections.flatMap(chapter),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

writeOrCheck(file, render(), 'node tools/options-doc.mjs');
