/** True when the stream is a terminal and the user has not asked for plain text. */
export function wantsColour(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
}

/** Stack traces instead of one clear line. */
export function wantsDebug(): boolean {
  return (process.env['FLEXPUSH_DEBUG'] ?? '') !== '';
}

/** The NATS server that commands talk to, if the environment names one. */
export function natsUrlFromEnvironment(): string | undefined {
  return process.env['FLEXPUSH_NATS_URL'] || undefined;
}

/** The Redis that commands look into, if the environment names one. */
export function redisUrlFromEnvironment(): string | undefined {
  return process.env['FLEXPUSH_REDIS_URL'] || undefined;
}

/** True under `npm start`, `npm run` and `npx`. */
export function isUnderNpm(): boolean {
  return process.env['npm_lifecycle_event'] !== undefined || process.env['npm_command'] !== undefined;
}
