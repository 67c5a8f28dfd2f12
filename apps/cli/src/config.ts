/** True when the stream is a terminal and the user has not asked for plain text. */
export function wantsColour(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
}

/** Stack traces instead of one clear line. */
export function wantsDebug(): boolean {
  return (process.env['FLEXPUSH_DEBUG'] ?? '') !== '';
}
