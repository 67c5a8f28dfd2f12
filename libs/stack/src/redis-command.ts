import { StackError } from './errors';
import { LOOPBACK } from './port';
import { exchange } from './probe';

export type RedisReply = string | null | readonly RedisReply[];

/**
 * Sends one command to a Redis server or sentinel on loopback and returns its reply; numbers come as text. The words must
 * be free of blanks. Throws `not-ready` when nobody answers, and what Redis says when it refuses.
 */
export async function redisCommand(port: number, ...words: readonly string[]): Promise<RedisReply> {
  const isWhole = (text: string) => parseReply(text, 0) !== undefined;
  const text = await exchange({ host: LOOPBACK, port }, `${words.join(' ')}\r\n`, isWhole);
  const parsed = text === undefined ? undefined : parseReply(text, 0);
  if (parsed === undefined) throw new StackError('not-ready', `no redis answers on port ${port}`, true);
  if (parsed.isError) throw new StackError('not-ready', `redis on port ${port}: ${String(parsed.reply)}`);
  return parsed.reply;
}

interface Parsed {
  readonly reply: RedisReply;
  readonly isError: boolean;
  /** Where the next reply begins. */
  readonly end: number;
}

/** One reply of the protocol, undefined while it is not whole. Lengths are those of ASCII, which is all we ask for. */
function parseReply(text: string, at: number): Parsed | undefined {
  const lineEnd = text.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const rest = text.slice(at + 1, lineEnd);
  const end = lineEnd + 2;
  const length = Number(rest);
  switch (text[at]) {
    case '$':
      if (length < 0) return { reply: null, isError: false, end };
      if (text.length < end + length + 2) return undefined;
      return { reply: text.slice(end, end + length), isError: false, end: end + length + 2 };
    case '*': {
      if (length < 0) return { reply: null, isError: false, end };
      const items: RedisReply[] = [];
      let next = end;
      for (let n = 0; n < length; n++) {
        const item = parseReply(text, next);
        if (item === undefined) return undefined;
        items.push(item.reply);
        next = item.end;
      }
      return { reply: items, isError: false, end: next };
    }
    default:
      return { reply: rest, isError: text[at] === '-', end };
  }
}
