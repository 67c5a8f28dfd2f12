import type { OptionValues } from '@flexpush/contracts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOCALIZATION_BYTES_MAX, LocalizationFile } from './localization-file';

const text = (body: string) => JSON.stringify({ de: { default: { body } } });
let folder: string;
let path: string;
let used: OptionValues[];
let warned: string[];
let file: LocalizationFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flexpush-localization-'));
  path = join(folder, 'texts.json');
  used = [];
  warned = [];
  file = new LocalizationFile(
    { warn: (_fields, fact) => void warned.push(fact) },
    (values) => void used.push(values),
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

const values = (more: OptionValues = {}): OptionValues => ({
  'push/localizationFileLocation': path,
  ...more,
});

it('puts the content of the file where delivery looks for texts', async () => {
  writeFileSync(path, text('Neues'));
  file.apply(values());
  expect(used).toEqual([values()]);
  await file.settled();
  expect(used.at(-1)).toEqual(values({ 'push/localization': text('Neues') }));
});

it('L1: a change of options holds at once, with what was read last; the file is read again', async () => {
  writeFileSync(path, text('alt'));
  file.apply(values());
  await file.settled();
  writeFileSync(path, text('neu'));
  file.apply(values({ 'push/fcm.title': 'x' }));
  expect(used.at(-1)).toEqual(values({ 'push/fcm.title': 'x', 'push/localization': text('alt') }));
  await file.settled();
  expect(used.at(-1)).toEqual(values({ 'push/fcm.title': 'x', 'push/localization': text('neu') }));
});

it('the option goes before the file, and without a file nothing is read', async () => {
  writeFileSync(path, text('file'));
  for (const given of [values({ 'push/localization': text('option') }), {}]) {
    file.apply(given);
    await file.settled();
    expect(used.at(-1)).toEqual(given);
  }
  expect(warned).toEqual([]);
});

it('a slow read of an older change does not undo a newer one', async () => {
  writeFileSync(path, text('file'));
  file.apply(values());
  const older = file.settled();
  file.apply({});
  await older;
  expect(used.at(-1)).toEqual({});
});

it.each([
  { name: 'no file', write: () => undefined },
  { name: 'a file that is not of the form', write: () => writeFileSync(path, '{"de":1}') },
  {
    name: 'a file that is too large',
    write: () => writeFileSync(path, ' '.repeat(LOCALIZATION_BYTES_MAX + 1)),
  },
])('L2: $name is told, and the last content stays', async ({ write }) => {
  writeFileSync(path, text('gut'));
  file.apply(values());
  await file.settled();
  rmSync(path);
  write();
  file.apply(values());
  await file.settled();
  expect(warned).toEqual(['localization.not-read']);
  expect(used.at(-1)).toEqual(values({ 'push/localization': text('gut') }));
});

it('a folder is no file', async () => {
  file.apply(values({ 'push/localizationFileLocation': folder }));
  await file.settled();
  expect(warned).toEqual(['localization.not-read']);
});
