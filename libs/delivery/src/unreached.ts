import type { Unreached } from './channel';

const timeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'EXCHANGE_TIMEOUT',
  'ETIMEDOUT',
]);

/** The outcome of a POST that has no answer. */
export function unreached(error: Error): Unreached {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return { kind: 'unreached', cause: timeoutCodes.has(code) ? 'timeout' : 'connection', code };
}
