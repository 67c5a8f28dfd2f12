import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SPOOL_MEMORY_BYTES_MAX, SpoolRoom, type UploadSpool } from './upload-spool';

const MIB = 2 ** 20;
const PART_BYTES = MIB / 4;

let folder: string;
let failures: unknown[];
let room: SpoolRoom;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spool-spec-'));
  failures = [];
  room = roomIn(folder, 16 * MIB);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function roomIn(where: string, diskBytesMax: number): SpoolRoom {
  return new SpoolRoom({ folder: where, diskBytesMax, onFailed: (error) => failures.push(error) });
}

/** Writes so much, and returns what was said to the last part. */
async function fill(spool: UploadSpool, content: Buffer): Promise<string> {
  for (let at = 0; at < content.length; at += PART_BYTES) {
    const written = await spool.write(content.subarray(at, at + PART_BYTES));
    if (written !== 'taken') return written;
  }
  return 'taken';
}

async function contentOf(spool: UploadSpool): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of spool.read()) parts.push(part);
  return Buffer.concat(parts);
}

const taken = () => [room.memory.taken, room.disk.taken];

describe('a file that waits for its credentials', () => {
  it.each([
    { name: 'nothing', bytes: 0, memory: 0, disk: 0 },
    { name: 'as much as memory takes', bytes: 2 * MIB, memory: 2 * MIB, disk: 0 },
    { name: 'a byte more', bytes: 2 * MIB + 1, memory: 0, disk: 2 * MIB + 1 },
    { name: 'as much as one address may have', bytes: 8 * MIB, memory: 0, disk: 8 * MIB },
  ])('$name comes back as it was, and leaves nothing', async ({ bytes, memory, disk }) => {
    const content = randomBytes(bytes);
    const spool = room.open('a');
    expect(await fill(spool, content)).toBe('taken');
    expect(taken()).toEqual([memory, disk]);
    // Not even a name, for who is killed cannot delete it.
    expect(await readdir(folder)).toEqual([]);
    expect((await contentOf(spool)).equals(content)).toBe(true);
    await spool.close();
    expect(taken()).toEqual([0, 0]);
  });

  it('goes to disk when memory is taken by others', async () => {
    const others = Array.from({ length: 4 }, () => room.open('a'));
    for (const other of others) await fill(other, randomBytes(SPOOL_MEMORY_BYTES_MAX));
    const spool = room.open('a');
    const content = randomBytes(MIB);
    expect(await fill(spool, content)).toBe('taken');
    expect(room.disk.taken).toBe(MIB);
    expect((await contentOf(spool)).equals(content)).toBe(true);
    await Promise.all([...others, spool].map((one) => one.close()));
    expect(taken()).toEqual([0, 0]);
  });

  it('is refused where it can never wait, and where others have the room', async () => {
    const large = room.open('a');
    expect(await fill(large, randomBytes(9 * MIB))).toBe('too-large');
    await large.close();
    const spools = ['a', 'b'].map((peer) => room.open(peer));
    for (const spool of spools) expect(await fill(spool, randomBytes(6 * MIB))).toBe('taken');
    const second = room.open('a');
    expect(await fill(second, randomBytes(3 * MIB))).toBe('full');
    const third = room.open('c');
    expect(await fill(third, randomBytes(6 * MIB))).toBe('full');
    for (const spool of [...spools, second, third]) await spool.close();
    expect(taken()).toEqual([0, 0]);
    const after = room.open('a');
    expect(await fill(after, randomBytes(8 * MIB))).toBe('taken');
    await after.close();
    expect(failures).toEqual([]);
  });

  it('that is closed while it is written gives everything back', async () => {
    for (let round = 0; round < 20; round++) {
      const spool = room.open('a');
      await fill(spool, randomBytes(2 * MIB));
      const writing = spool.write(randomBytes(MIB));
      await spool.close();
      await writing;
      expect(taken()).toEqual([0, 0]);
      expect(await spool.write(randomBytes(1))).toBe('failed');
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('hears when the disk fails, and so does the operator', async () => {
    room = roomIn(join(folder, 'none'), 16 * MIB);
    const spool = room.open('a');
    expect(await fill(spool, randomBytes(3 * MIB))).toBe('failed');
    expect(failures).toMatchObject([{ code: 'ENOENT' }]);
    await spool.close();
    expect(taken()).toEqual([0, 0]);
    expect(await fill(room.open('a'), randomBytes(MIB))).toBe('taken');
  });

  it('stays within memory where there may be none on disk', async () => {
    room = roomIn(folder, 0);
    expect(await fill(room.open('a'), randomBytes(2 * MIB))).toBe('taken');
    expect(await fill(room.open('b'), randomBytes(3 * MIB))).toBe('too-large');
  });
});

it('what a killed process has left is deleted, and nothing else', async () => {
  await writeFile(join(folder, 'flexpush-upload-1'), 'x');
  await writeFile(join(folder, 'another'), 'x');
  await room.clear();
  expect(await readdir(folder)).toEqual(['another']);
  await roomIn(join(folder, 'none'), 1).clear();
  expect(failures).toMatchObject([{ code: 'ENOENT' }]);
});
