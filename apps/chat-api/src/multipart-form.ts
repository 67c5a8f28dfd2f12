import { isUtf8 } from 'node:buffer';
import { FORM_FIELDS_MAX, NOT_UTF8, TOO_MANY_FIELDS, type Form } from './form';

const BOUNDARY_PATTERN = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i;
const CRLF = '\r\n';
const HEADERS_END = '\r\n\r\n';

/**
 * Reads `multipart/form-data` (RFC 7578) that is wholly in memory, so that the body limit bounds it like any other
 * form. The platform's own reader refuses boundaries under 27 characters, and the streaming plug-in hooks itself into
 * every request, refreshes included. Files have an operation of their own; here they are refused.
 */
export function parseMultipart(body: Buffer, contentType: string): Form {
  const boundary = BOUNDARY_PATTERN.exec(contentType);
  const delimiter = `--${boundary?.[1] ?? boundary?.[2] ?? ''}`;
  if (delimiter === '--') return malformed('the multipart form names no boundary');
  const fields = new Map<string, string>();
  let at = startOf(body, delimiter);
  for (let count = 0; at >= 0; count++) {
    at += delimiter.length;
    if (startsWith(body, '--', at)) return { kind: 'form', encoding: 'multipart', fields };
    if (count >= FORM_FIELDS_MAX) return malformed(TOO_MANY_FIELDS);
    const headersEnd = body.indexOf(HEADERS_END, at);
    const contentEnd = headersEnd < 0 ? -1 : body.indexOf(CRLF + delimiter, headersEnd + CRLF.length);
    if (contentEnd < 0 || !startsWith(body, CRLF, at)) break;
    if (!isUtf8(body.subarray(at, headersEnd))) return malformed(NOT_UTF8);
    const part = readHeaders(body.toString('utf8', at + CRLF.length, headersEnd));
    if (part === undefined) return malformed('a part of the multipart form has no name');
    if (part.isFile) return malformed('files are not accepted by this operation');
    // With nothing between them, the line end that closes the headers is the one that opens the delimiter.
    const contentStart = Math.min(headersEnd + HEADERS_END.length, contentEnd);
    if (!isUtf8(body.subarray(contentStart, contentEnd))) return malformed(NOT_UTF8);
    fields.set(part.name, body.toString('utf8', contentStart, contentEnd));
    at = contentEnd + CRLF.length;
  }
  return malformed('the multipart form cannot be read');
}

function malformed(reason: string): Form {
  return { kind: 'malformed', encoding: 'multipart', reason };
}

/** The first delimiter begins a line; what stands before it means nothing. */
function startOf(body: Buffer, delimiter: string): number {
  if (startsWith(body, delimiter, 0)) return 0;
  const lineEnd = body.indexOf(CRLF + delimiter);
  return lineEnd < 0 ? -1 : lineEnd + CRLF.length;
}

function startsWith(body: Buffer, text: string, at: number): boolean {
  return body.toString('latin1', at, at + text.length) === text;
}

const DISPOSITION_PATTERN = /^content-disposition:\s*form-data\s*;(.*)$/im;
const NAME_PATTERN = /(?:^|[;\s])name=(?:"([^"]*)"|([^\s;"]+))/i;
const FILENAME_PATTERN = /(?:^|[;\s])filename\*?=/i;

function readHeaders(headers: string): { name: string; isFile: boolean } | undefined {
  const parameters = DISPOSITION_PATTERN.exec(headers)?.[1];
  const match = parameters === undefined ? null : NAME_PATTERN.exec(parameters);
  const name = match?.[1] ?? match?.[2];
  if (parameters === undefined || name === undefined) return undefined;
  return { name: unescapeName(name), isFile: FILENAME_PATTERN.test(parameters.replace(NAME_PATTERN, '')) };
}

/** Browsers escape just these three characters in a name. */
function unescapeName(name: string): string {
  return name.replace(/%22/g, '"').replace(/%0D/gi, '\r').replace(/%0A/gi, '\n');
}
