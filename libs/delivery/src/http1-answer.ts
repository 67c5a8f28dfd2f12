import type { AnswerReader } from './answer';

/** Characters of heads (those of informational answers included) and of trailers, as Node's and undici's limit. */
const HEAD_CHARS_MAX = 16_384;
/** Characters of the line before a chunk, whose extensions nobody needs. */
const CHUNK_LINE_CHARS_MAX = 1_024;
const BREAK = '\r\n';
const HEAD_END = '\r\n\r\n';
const VERSION = 'HTTP/1.';

export type Reading = 'unfinished' | 'ended' | 'malformed' | 'too-long';

type Part =
  'head' | 'sized' | 'chunk-line' | 'chunk' | 'chunk-end' | 'trailer' | 'until-close' | 'ended' | 'malformed';

/**
 * Reads the answers of one HTTP/1 connection (RFC 9112), one after the other. Bytes come as text (latin1), because almost
 * every answer is one short piece. It is strict where a lenient reader could take bytes for another answer than the
 * server meant: lines end with CR LF, fields are not folded, lengths do not contradict each other.
 */
export class Http1Answer {
  private part: Part = 'head';
  /** The beginning of a head or a line that is not whole yet. */
  private held = '';
  private headChars = 0;
  private remaining = 0;
  private persists = false;
  private hintMs: number | undefined;

  /** Whether the connection may carry another POST after the answer that has ended. */
  get keepsConnection(): boolean {
    return this.persists;
  }

  /** How long the server keeps an idle connection, if it says so (`Keep-Alive: timeout`). */
  get idleHintMs(): number | undefined {
    return this.hintMs;
  }

  /** The next answer begins. */
  begin(): void {
    this.part = 'head';
    this.held = '';
    this.headChars = 0;
  }

  /** Reads on. The status is told to the reader as soon as the head is whole, and the body as it comes. */
  take(text: string, reader: AnswerReader): Reading {
    const all = this.held === '' ? text : this.held + text;
    this.held = '';
    for (let at = 0; ;) {
      switch (this.part) {
        case 'head': {
          // Some servers end the body before with a break that they have not counted.
          for (; all.startsWith(BREAK, at); at += BREAK.length) this.headChars += BREAK.length;
          const end = all.indexOf(HEAD_END, at);
          if (end < 0) return this.holdHead(all.slice(at));
          this.headChars += end - at;
          this.part =
            this.headChars > HEAD_CHARS_MAX ? 'malformed' : this.readHead(all.slice(at, end), reader);
          at = end + HEAD_END.length;
          break;
        }
        case 'sized':
        case 'chunk': {
          const end = Math.min(all.length, at + this.remaining);
          if (end > at && reader.take(all.slice(at, end)) === 'too-long') return 'too-long';
          this.remaining -= end - at;
          at = end;
          if (this.remaining > 0) return 'unfinished';
          this.part = this.part === 'sized' ? 'ended' : 'chunk-end';
          break;
        }
        case 'chunk-end': {
          if (all.length - at < BREAK.length) return this.hold(all.slice(at), BREAK.length);
          this.part = all.startsWith(BREAK, at) ? 'chunk-line' : 'malformed';
          at += BREAK.length;
          break;
        }
        case 'chunk-line': {
          const end = all.indexOf(BREAK, at);
          if (end < 0) return this.hold(all.slice(at), CHUNK_LINE_CHARS_MAX);
          const size = chunkSizeOf(all.slice(at, end));
          this.remaining = size ?? 0;
          this.part = size === undefined ? 'malformed' : size === 0 ? 'trailer' : 'chunk';
          at = end + BREAK.length;
          break;
        }
        case 'trailer': {
          const end = all.indexOf(BREAK, at);
          if (end < 0) return this.hold(all.slice(at), HEAD_CHARS_MAX - this.headChars);
          this.headChars += end - at + BREAK.length;
          if (end === at) this.part = 'ended';
          else if (this.headChars > HEAD_CHARS_MAX) this.part = 'malformed';
          at = end + BREAK.length;
          break;
        }
        case 'until-close':
          if (at === all.length) return 'unfinished';
          return reader.take(all.slice(at)) === 'too-long' ? 'too-long' : 'unfinished';
        case 'ended':
          // Nobody has asked for what stands behind it.
          if (at < all.length) this.persists = false;
          return 'ended';
        case 'malformed':
          return 'malformed';
        default:
          return this.part satisfies never;
      }
    }
  }

  /** The server has closed: whether that is how this answer ends. */
  get endsByClose(): boolean {
    return this.part === 'until-close';
  }

  private hold(rest: string, charsMax: number): Reading {
    if (rest.length > charsMax) return 'malformed';
    this.held = rest;
    return 'unfinished';
  }

  /** What cannot become a head is not waited for. */
  private holdHead(rest: string): Reading {
    const begins =
      rest.length < VERSION.length ? VERSION.startsWith(rest) || rest === '\r' : rest.startsWith(VERSION);
    if (!begins || hasStrayBreak(rest.endsWith('\r') ? rest.slice(0, -1) : rest)) return 'malformed';
    return this.hold(rest, HEAD_CHARS_MAX - this.headChars);
  }

  /** Reads a whole head without the empty line at its end, and says how it goes on. */
  private readHead(head: string, reader: AnswerReader): Part {
    const line = statusLinePattern.exec(head);
    if (line === null || hasStrayBreak(head)) return 'malformed';
    const status = Number(line[2]);
    const fields = readFields(head, line[0].length + BREAK.length);
    if (fields === undefined || status === 101) return 'malformed';
    // Informational answers come before the real one.
    if (status < 200) return 'head';
    const { length, coding, connection } = fields;
    if (length !== undefined && coding !== undefined) return 'malformed';
    reader.status = status;
    this.hintMs = fields.idleHintMs;
    this.persists = line[1] === '1' ? !hasToken(connection, 'close') : hasToken(connection, 'keep-alive');
    if (status === 204 || status === 304) return 'ended';
    if (coding !== undefined && isChunked(coding)) return 'chunk-line';
    if (length !== undefined) {
      this.remaining = length;
      return 'sized';
    }
    this.persists = false;
    return 'until-close';
  }
}

/** Version, status, and a reason that nobody reads. */
const statusLinePattern = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?(?=\r\n|$)/;

interface Fields {
  length: number | undefined;
  coding: string | undefined;
  connection: string | undefined;
  idleHintMs: number | undefined;
}

/** The fields of a head that decide on what follows. Undefined: they cannot be read, or contradict each other. */
function readFields(head: string, from: number): Fields | undefined {
  const fields: Fields = {
    length: undefined,
    coding: undefined,
    connection: undefined,
    idleHintMs: undefined,
  };
  for (let at = from; at < head.length;) {
    const lineEnd = head.indexOf(BREAK, at);
    const end = lineEnd < 0 ? head.length : lineEnd;
    const colon = head.indexOf(':', at);
    // A blank before the colon, or at the beginning (a folded line), could be read in two ways.
    if (colon <= at || colon >= end || isBlank(head, at) || isBlank(head, colon - 1)) return undefined;
    const length = colon - at;
    // content-length, transfer-encoding, connection, keep-alive
    if (length === 14 || length === 17 || length === 10) {
      const name = head.slice(at, colon).toLowerCase();
      if (!noteField(fields, name, head.slice(colon + 1, end).trim())) return undefined;
    }
    at = end + BREAK.length;
  }
  return fields;
}

function noteField(fields: Fields, name: string, value: string): boolean {
  switch (name) {
    case 'content-length': {
      if (!/^\d{1,15}$/.test(value)) return false;
      const length = Number(value);
      if (fields.length !== undefined && fields.length !== length) return false;
      fields.length = length;
      return true;
    }
    case 'transfer-encoding':
      fields.coding = joined(fields.coding, value);
      return true;
    case 'connection':
      fields.connection = joined(fields.connection, value);
      return true;
    case 'keep-alive': {
      const seconds = /(?:^|[,; ])timeout=(\d{1,9})/i.exec(value)?.[1];
      if (seconds !== undefined) fields.idleHintMs = Number(seconds) * 1_000;
      return true;
    }
    default:
      return true;
  }
}

function joined(before: string | undefined, value: string): string {
  const lower = value.toLowerCase();
  return before === undefined ? lower : `${before},${lower}`;
}

function hasToken(list: string | undefined, token: string): boolean {
  return list !== undefined && list.split(',').some((one) => one.trim() === token);
}

function isChunked(coding: string): boolean {
  return /(?:^|[\t ,])chunked$/.test(coding);
}

function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 0x20 || code === 0x09;
}

/** A CR or LF that is not half of a CR LF, or a NUL. */
function hasStrayBreak(text: string): boolean {
  return /\0|\r(?!\n)|(?<!\r)\n/.test(text);
}

function chunkSizeOf(line: string): number | undefined {
  const digits = /^0*([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}
