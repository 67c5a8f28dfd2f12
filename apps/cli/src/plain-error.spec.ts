import { temporaryFolder } from '@flexpush/testkit';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { readInput } from './input-file';
import { plainMessage } from './plain-error';
import { natsUrlOf } from './target';

const folder = temporaryFolder('errors');
const file = join(folder, 'file');
writeFileSync(file, 'text');
afterAll(() => rmSync(folder, { recursive: true }));

function errorOf(task: () => unknown): unknown {
  try {
    task();
  } catch (error) {
    return error;
  }
  throw new Error('it did not throw');
}

it.each([
  {
    name: 'a file that is not there',
    task: () => readInput(join(folder, 'none')),
    says: `there is no ${join(folder, 'none')}; check the path`,
  },
  {
    name: 'a folder as a file',
    task: () => readInput(folder),
    says: `${folder} is a folder; name a file in it`,
  },
  {
    name: 'a file as a folder',
    task: () => readInput(join(file, 'x')),
    says: `a part of ${join(file, 'x')} is a file and no folder; name another path`,
  },
  {
    name: 'a folder that is a file',
    task: () => mkdirSync(file),
    says: `${file} is there already and is no folder; name another path`,
  },
  {
    name: 'a report into a folder that is not there',
    task: () => appendFileSync(join(folder, 'none', 'report.html'), ''),
    says: `there is no ${join(folder, 'none', 'report.html')}; check the path`,
  },
  {
    name: 'a --dir that is a file',
    task: () => natsUrlOf({ dir: file }),
    says: `a part of ${join(file, 'run.json')} is a file and no folder; name another path`,
  },
])('$name is told in one sentence', ({ task, says }) => {
  expect(plainMessage(errorOf(task))).toBe(says);
});

it('a file that may not be read is told, and what to do', () => {
  chmodSync(file, 0o000);
  const isRoot = process.getuid?.() === 0;
  // Root reads everything; then the error is made by hand.
  const error = isRoot
    ? Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES', path: file })
    : errorOf(() => readFileSync(file));
  chmodSync(file, 0o600);
  expect(plainMessage(error)).toBe(
    `${file} may not be used by this user; change its permissions, or name another path`,
  );
});

it('a run.json that is broken is told, and what to do', () => {
  writeFileSync(join(folder, 'run.json'), '{"nats":');
  expect(plainMessage(errorOf(() => natsUrlOf({ dir: folder })))).toBe(
    `run.json in ${folder} is not what "flexpush up" writes; name another folder with --dir, or a system with --nats <url>`,
  );
});

it('a server that is not there is told with its address', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const error = await new Promise((resolve) => connect(port, '127.0.0.1').once('error', resolve));
  expect(plainMessage(error)).toBe(
    `nothing answers at 127.0.0.1:${port}; is it running, and is the address right?`,
  );
  expect(plainMessage(new AggregateError([error]))).toBe(plainMessage(error));
});

it.each([
  [new Error('said well already'), 'said well already'],
  [new TypeError(), 'TypeError'],
  ['text', 'text'],
])('%p stands on its own', (error, says) => {
  expect(plainMessage(error)).toBe(says);
});
