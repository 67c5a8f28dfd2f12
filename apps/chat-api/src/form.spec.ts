import fc from 'fast-check';
import { FORM_FIELDS_MAX, namesForeignCharset, NOT_UTF8, parseUrlEncoded, type Form } from './form';
import { parseMultipart } from './multipart-form';

function fieldsOf(form: Form): [string, string][] | string {
  return form.kind === 'form' ? [...form.fields] : form.reason;
}

/** Text as it can arrive: no half surrogate pairs. */
const text = fc.string({ unit: 'binary', maxLength: 30 }).map((value) => Buffer.from(value).toString());

describe('urlencoded forms', () => {
  it.each([
    { name: 'nothing', body: '', fields: [] },
    {
      name: 'blanks and signs',
      body: 'a=1+2&b=%26%3D%2B',
      fields: [
        ['a', '1 2'],
        ['b', '&=+'],
      ],
    },
    {
      name: 'UTF-8',
      body: 'n=Zo%C3%AB&m=Zoë',
      fields: [
        ['n', 'Zoë'],
        ['m', 'Zoë'],
      ],
    },
    { name: 'UTF-8 beside a stray percent sign', body: 'm=Zoë 100%', fields: [['m', 'Zoë 100%']] },
    { name: 'more than one byte', body: 'm=%C3%ABë%zz', fields: [['m', 'ëë%zz']] },
    {
      name: 'a stray percent sign',
      body: 'm=100%&n=%zz',
      fields: [
        ['m', '100%'],
        ['n', '%zz'],
      ],
    },
    { name: 'a repeated field', body: 'a=1&a=2', fields: [['a', '2']] },
    {
      name: 'no value, no name',
      body: 'a&b=&=c&&',
      fields: [
        ['a', ''],
        ['b', ''],
        ['', 'c'],
      ],
    },
    { name: 'an encoded name', body: 'userData%5Bk%5D=v', fields: [['userData[k]', 'v']] },
    { name: 'more equals signs', body: 'a=b=c', fields: [['a', 'b=c']] },
  ])('reads $name', ({ body, fields }) => {
    expect(fieldsOf(parseUrlEncoded(Buffer.from(body)))).toEqual(fields);
  });

  it.each([
    { name: 'a value', body: 'a=1&n=M%FCller' },
    { name: 'a name', body: 'userData[M%FC]=1' },
    { name: 'a value as it is', body: Buffer.from('n=Müller', 'latin1') },
    { name: 'half a character', body: 'n=%C3' },
    { name: 'half a surrogate pair', body: 'n=%ED%A0%80' },
  ])('refuses what is no UTF-8: $name', ({ body }) => {
    expect(fieldsOf(parseUrlEncoded(Buffer.from(body)))).toBe(NOT_UTF8);
  });

  it('reads what URLSearchParams writes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { maxLength: 10 }), (pairs) => {
        expect(fieldsOf(parseUrlEncoded(Buffer.from(new URLSearchParams(pairs).toString())))).toEqual([
          ...new Map(pairs),
        ]);
      }),
    );
  });

  it('is bounded', () => {
    const body = (count: number) => Buffer.from(Array.from({ length: count }, (_, i) => `f${i}=1`).join('&'));
    expect(parseUrlEncoded(body(FORM_FIELDS_MAX)).kind).toBe('form');
    expect(parseUrlEncoded(body(FORM_FIELDS_MAX + 1)).kind).toBe('malformed');
  });
});

describe('multipart forms', () => {
  const TYPE = 'multipart/form-data; boundary=b';
  const part = (headers: string, content: string) => `--b\r\n${headers}\r\n\r\n${content}\r\n`;
  const named = (name: string) => `Content-Disposition: form-data; name="${name}"`;
  const read = (body: string, type = TYPE) => fieldsOf(parseMultipart(Buffer.from(body), type));

  it.each([
    {
      name: 'fields',
      body: `${part(named('a'), '1')}${part(named('a'), '2')}${part(named('b'), '')}--b--`,
      fields: [
        ['a', '2'],
        ['b', ''],
      ],
    },
    { name: 'no fields', body: '--b--\r\n', fields: [] },
    {
      name: 'a preamble and an epilogue',
      body: `hello\r\n${part(named('a'), '1')}--b--\r\nbye`,
      fields: [['a', '1']],
    },
    {
      name: 'other headers in other case',
      body: `${part(`content-type: text/plain\r\ncontent-disposition: form-data; name=a`, 'é')}--b--`,
      fields: [['a', 'é']],
    },
    {
      name: 'lines and what looks like a delimiter',
      body: `${part(named('a'), '1\r\n\r\n-b\r\n --b')}--b--`,
      fields: [['a', '1\r\n\r\n-b\r\n --b']],
    },
    { name: 'an escaped name', body: `${part(named('a%22b'), '1')}--b--`, fields: [['a"b', '1']] },
    {
      name: 'content without its own line end',
      body: `--b\r\n${named('a')}\r\n\r\n--b--`,
      fields: [['a', '']],
    },
  ])('reads $name', ({ body, fields }) => {
    expect(read(body)).toEqual(fields);
  });

  it.each([
    { name: 'a file', body: `${part(`${named('a')}; filename="x.txt"`, '1')}--b--` },
    { name: 'a file with an encoded name', body: `${part(`${named('a')}; filename*=UTF-8''x`, '1')}--b--` },
    { name: 'a part without a name', body: `${part('Content-Disposition: form-data', '1')}--b--` },
    { name: 'a part without headers', body: '--b\r\n\r\n\r\n1\r\n--b--' },
    { name: 'an end too early', body: part(named('a'), '1') },
    { name: 'another boundary', body: '--c--' },
    { name: 'nothing', body: '' },
    { name: 'too many fields', body: `${part(named('a'), '1').repeat(FORM_FIELDS_MAX + 1)}--b--` },
  ])('refuses $name', ({ body }) => {
    expect(parseMultipart(Buffer.from(body), TYPE).kind).toBe('malformed');
  });

  it('needs a boundary, quoted or not', () => {
    expect(read('--b--', 'multipart/form-data')).toContain('boundary');
    expect(read('--a b--', 'multipart/form-data; charset=utf-8; boundary="a b"')).toEqual([]);
  });

  it('a name that speaks of a file name is no file', () => {
    expect(read(`${part(named('x; filename=y'), '1')}--b--`)).toEqual([['x; filename=y', '1']]);
  });

  it('reads what FormData writes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(text, text), { maxLength: 6 }), async (pairs) => {
        const form = new FormData();
        for (const [name, value] of pairs) form.append(name, value);
        const request = new Response(form);
        const body = Buffer.from(await request.arrayBuffer());
        const read = parseMultipart(body, request.headers.get('content-type') ?? '');
        // Line ends are normalized by the writer.
        const lines = (value: string) => value.replace(/\r\n|\r|\n/g, '\r\n');
        expect(fieldsOf(read)).toEqual([...new Map(pairs.map(([n, v]) => [lines(n), lines(v)]))]);
      }),
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (bytes, type) => {
        parseMultipart(Buffer.from(bytes), type);
        parseMultipart(Buffer.from(bytes), TYPE);
        parseMultipart(Buffer.concat([Buffer.from('--b\r\n'), Buffer.from(bytes)]), TYPE);
      }),
    );
  });
});

describe('multipart texts that are no UTF-8', () => {
  it.each([
    { name: 'a value', headers: 'Content-Disposition: form-data; name="a"', content: 'Müller' },
    { name: 'a name', headers: 'Content-Disposition: form-data; name="ü"', content: 'a' },
  ])('are refused: $name', ({ headers, content }) => {
    const body = (encoding: 'latin1' | 'utf8') =>
      Buffer.from(`--b\r\n${headers}\r\n\r\n${content}\r\n--b--\r\n`, encoding);
    const type = 'multipart/form-data; boundary=b';
    expect(fieldsOf(parseMultipart(body('latin1'), type))).toBe(NOT_UTF8);
    expect(parseMultipart(body('utf8'), type).kind).toBe('form');
  });
});

describe('a charset', () => {
  it.each([
    ['application/x-www-form-urlencoded', false],
    ['application/x-www-form-urlencoded; charset=UTF-8', false],
    ['application/x-www-form-urlencoded;charset="utf8"', false],
    ['application/x-www-form-urlencoded; charset=us-ascii', false],
    ['application/x-www-form-urlencoded; charset=ISO-8859-1', true],
    ['application/x-www-form-urlencoded ; x=y ; CharSet = "windows-1252"', true],
    ['multipart/form-data; charset=utf-16; boundary=b', true],
    ['application/json; charset=', true],
  ])('of %s is foreign: %s', (type, isForeign) => {
    expect(namesForeignCharset(type)).toBe(isForeign);
  });
});
