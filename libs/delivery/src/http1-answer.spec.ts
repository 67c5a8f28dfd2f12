import fc from 'fast-check';
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { AnswerReader } from './answer';
import type { PostOutcome } from './channel';
import { Http1Answer, type Reading } from './http1-answer';

interface Read {
  reading: Reading | 'cut';
  outcome: PostOutcome | undefined;
  keepsConnection: boolean;
}

/** Reads the parts of an answer, and then the end of the connection. */
function read(parts: readonly string[], parser = new Http1Answer()): Read {
  let outcome: PostOutcome | undefined;
  const reader = new AnswerReader(true, (what) => (outcome = what));
  const end = (reading: Read['reading']): Read => {
    if (reading === 'ended') reader.end({ kind: 'answered', status: 0 });
    return { reading, outcome, keepsConnection: reading === 'ended' && parser.keepsConnection };
  };
  parser.begin();
  for (const [n, part] of parts.entries()) {
    const reading = parser.take(part, reader);
    if (reading === 'ended' && n < parts.length - 1) throw new Error('parts are left over');
    if (reading !== 'unfinished') return end(reading);
  }
  return end(parser.endsByClose ? 'ended' : 'cut');
}

const lines = (...all: string[]) => all.join('\r\n');

/** What a server may say, and the body that it means. */
const answers: { name: string; text: string; status: number; body?: string; keeps?: false }[] = [
  {
    name: 'a length',
    text: lines('HTTP/1.1 200 OK', 'Content-Length: 2', '', 'ok'),
    status: 200,
    body: 'ok',
  },
  { name: 'no body', text: lines('HTTP/1.1 200 OK', 'content-length:0', '', ''), status: 200 },
  { name: 'no reason', text: lines('HTTP/1.1 202', 'content-length: 0', '', ''), status: 202 },
  { name: 'an empty reason', text: lines('HTTP/1.1 202 ', 'content-length: 0', '', ''), status: 202 },
  { name: '204', text: lines('HTTP/1.1 204 No Content', 'date: x', '', ''), status: 204 },
  { name: '304', text: lines('HTTP/1.1 304 Not Modified', 'etag: "x"', '', ''), status: 304 },
  {
    name: 'chunks with extensions and a trailer',
    text: lines(
      'HTTP/1.1 200 OK',
      'Transfer-Encoding: Chunked',
      '',
      '2;a=b',
      'ok',
      '0A',
      '0123456789',
      '0',
      'x: y',
      '',
      '',
    ),
    status: 200,
    body: 'ok0123456789',
  },
  {
    name: 'no chunk',
    text: lines('HTTP/1.1 500 Oh', 'transfer-encoding: chunked', '', '0', '', ''),
    status: 500,
  },
  {
    name: 'another coding before the chunks',
    text: lines(
      'HTTP/1.1 200 OK',
      'transfer-encoding: gzip',
      'transfer-encoding: chunked',
      '',
      '1',
      'x',
      '0',
      '',
      '',
    ),
    status: 200,
    body: 'x',
  },
  {
    name: 'the end of the connection',
    text: lines('HTTP/1.1 200 OK', '', 'all of it'),
    status: 200,
    body: 'all of it',
    keeps: false,
  },
  {
    name: 'close',
    text: lines('HTTP/1.1 200 OK', 'Connection: Close', 'content-length: 0', '', ''),
    status: 200,
    keeps: false,
  },
  {
    name: 'close among others',
    text: lines('HTTP/1.1 200 OK', 'connection: x, close', 'content-length: 0', '', ''),
    status: 200,
    keeps: false,
  },
  { name: '1.0', text: lines('HTTP/1.0 200 OK', 'content-length: 0', '', ''), status: 200, keeps: false },
  {
    name: '1.0 that stays',
    text: lines('HTTP/1.0 200 OK', 'connection: keep-alive', 'content-length: 0', '', ''),
    status: 200,
  },
  {
    name: 'informational answers before it',
    text: lines(
      'HTTP/1.1 100 Continue',
      '',
      'HTTP/1.1 103 Early Hints',
      'link: x',
      '',
      'HTTP/1.1 201 Made',
      'content-length: 1',
      '',
      'x',
    ),
    status: 201,
    body: 'x',
  },
];

const lenient = answers.find(({ name }) => name === 'no body') as (typeof answers)[number];
answers.push(
  { ...lenient, name: 'a break before it', text: `\r\n${lenient.text}` },
  {
    name: 'a long chunk size',
    text: lines('HTTP/1.1 200 OK', 'transfer-encoding: gzip,\tchunked', '', '0000000001', 'x', '0', '', ''),
    status: 200,
    body: 'x',
  },
);

const malformed: { name: string; text: string }[] = [
  { name: 'another protocol', text: '220 mail.example.org ESMTP\r\n' },
  { name: 'HTTP/2', text: lines('HTTP/2 200', 'content-length: 0', '', '') },
  { name: 'a status of two digits', text: lines('HTTP/1.1 20 OK', 'content-length: 0', '', '') },
  { name: 'a status of four digits', text: lines('HTTP/1.1 2000 OK', 'content-length: 0', '', '') },
  { name: 'breaks without end', text: '\r\n'.repeat(9_000) },
  { name: 'line feeds alone', text: 'HTTP/1.1 200 OK\ncontent-length: 0\n\n' },
  {
    name: 'a line feed inside',
    text: lines('HTTP/1.1 200 OK', 'a: b\ncontent-length: 5', 'content-length: 0', '', ''),
  },
  {
    name: 'a carriage return inside',
    text: lines('HTTP/1.1 200 OK', 'a: b\rc: d', 'content-length: 0', '', ''),
  },
  { name: 'a NUL', text: lines('HTTP/1.1 200 OK', 'a: \0', 'content-length: 0', '', '') },
  { name: 'a field without a colon', text: lines('HTTP/1.1 200 OK', 'rubbish', 'content-length: 0', '', '') },
  { name: 'a field without a name', text: lines('HTTP/1.1 200 OK', ': x', 'content-length: 0', '', '') },
  { name: 'a blank before the colon', text: lines('HTTP/1.1 200 OK', 'content-length : 0', '', '') },
  { name: 'a folded line', text: lines('HTTP/1.1 200 OK', 'a: b', ' c: d', 'content-length: 0', '', '') },
  { name: 'two lengths', text: lines('HTTP/1.1 200 OK', 'content-length: 5', 'content-length: 6', '', '') },
  { name: 'a list of lengths', text: lines('HTTP/1.1 200 OK', 'content-length: 5, 5', '', '') },
  { name: 'a negative length', text: lines('HTTP/1.1 200 OK', 'content-length: -1', '', '') },
  { name: 'a length that is none', text: lines('HTTP/1.1 200 OK', 'content-length: 0x10', '', '') },
  {
    name: 'length and chunks',
    text: lines('HTTP/1.1 200 OK', 'content-length: 5', 'transfer-encoding: chunked', '', '0', '', ''),
  },
  {
    name: 'a chunk without a size',
    text: lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked', '', 'x', ''),
  },
  {
    name: 'a chunk that is longer than it says',
    text: lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked', '', '1', 'xy', '0', '', ''),
  },
  { name: 'a head without end', text: `HTTP/1.1 200 OK\r\n${'x-more: y\r\n'.repeat(2_000)}` },
  {
    name: 'informational answers without end',
    text: lines('HTTP/1.1 103 Early Hints', `x: ${'y'.repeat(5_000)}`, '', '').repeat(4),
  },
  {
    name: 'a chunk line without end',
    text: lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked', '', `1;${'x'.repeat(2_000)}`),
  },
  {
    name: 'a trailer without end',
    text: `${lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked', '', '0', '')}${'x: y\r\n'.repeat(4_000)}`,
  },
  { name: 'another protocol from here on', text: lines('HTTP/1.1 101 Switching', 'upgrade: x', '', '') },
];

it.each(answers)('reads an answer with $name', ({ text, status, body = '', keeps = true }) => {
  expect(read([text])).toEqual({
    reading: 'ended',
    outcome: { kind: 'answered', status, answer: body },
    keepsConnection: keeps,
  });
});

it.each(malformed)('refuses $name', ({ text }) => {
  expect(read([text]).reading).toBe('malformed');
});

it('reads the same however it is cut', () => {
  const texts = [...answers, ...malformed].map(({ text }) => text).filter((text) => text.length < 1_000);
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.array(fc.nat(200), { maxLength: 12 }), (text, cuts) => {
      const at = [0, ...cuts.map((cut) => cut % (text.length + 1)), text.length].sort((a, b) => a - b);
      const parts = at.slice(1).map((to, n) => text.slice(at[n], to));
      expect(read(parts.filter((part) => part !== ''))).toEqual(read([text]));
    }),
    { numRuns: 3_000 },
  );
  for (const text of texts) expect(read([...text])).toEqual(read([text]));
});

it('one answer follows another on a connection, whatever there was before', () => {
  const parser = new Http1Answer();
  for (const { text, status, keeps } of answers) {
    const before = read(['HTTP/1.1 200 OK\r\nkeep-alive: timeout=7\r\nx'], parser);
    expect(before.reading).toBe('cut');
    expect(read([text], parser)).toMatchObject({ outcome: { status }, keepsConnection: keeps ?? true });
    expect(parser.idleHintMs).toBeUndefined();
  }
});

it('what stands behind an answer costs the connection, but not the answer', () => {
  const parser = new Http1Answer();
  const reader = new AnswerReader(false, () => undefined);
  parser.begin();
  expect(parser.take('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500', reader)).toBe('ended');
  expect([reader.status, parser.keepsConnection]).toEqual([200, false]);
});

it.each([
  ['timeout=5', 5_000],
  ['timeout=5, max=100', 5_000],
  ['max=100, Timeout=72', 72_000],
  ['max=100', undefined],
])('knows how long the server keeps an idle connection: %s', (value, hintMs) => {
  const parser = new Http1Answer();
  read([lines('HTTP/1.1 200 OK', `Keep-Alive: ${value}`, 'content-length: 0', '', '')], parser);
  expect(parser.idleHintMs).toBe(hintMs);
});

it('reads no more of a body than anybody needs', () => {
  const head = lines('HTTP/1.1 200 OK', 'content-length: 100000', '', '');
  expect(read([head, 'x'.repeat(65_536)]).reading).toBe('cut');
  expect(read([head, 'x'.repeat(65_537)]).reading).toBe('too-long');
});

let close: () => void = () => undefined;
afterEach(() => close());

/** Node's own parser is the judge of what can be read; it is asked over a real connection. */
it('agrees with the parser of Node, but where it is stricter on purpose', async () => {
  const stricter = new Set(['another protocol from here on', 'informational answers without end']);
  for (const name of ['a chunk line without end', 'a trailer without end']) stricter.add(name);
  let text = '';
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(text, 'latin1'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  close = () => server.close();
  const { port } = server.address() as AddressInfo;
  const nodeReads = () =>
    new Promise<string>((resolve) => {
      const asked = request({ port, host: '127.0.0.1', method: 'POST', agent: false }, (response) => {
        let body = '';
        response.setEncoding('latin1').on('data', (part: string) => (body += part));
        response.on('end', () => resolve(`${response.statusCode} ${body}`));
        response.on('error', () => resolve('malformed'));
      });
      asked.on('error', () => resolve('malformed'));
      asked.end();
    });
  for (const { name, text: its } of [...answers, ...malformed]) {
    if (stricter.has(name)) continue;
    text = its;
    const { reading, outcome } = read([its]);
    const ours =
      reading === 'ended' && outcome?.kind === 'answered'
        ? `${outcome.status} ${outcome.answer}`
        : 'malformed';
    expect(`${name}: ${ours}`).toBe(`${name}: ${await nodeReads()}`);
  }
});
