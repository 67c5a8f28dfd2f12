import type { Duplex } from 'node:stream';

/**
 * Sends what one turn of the event loop writes to a socket in one system call. Many shards commit in the same turn, and
 * a call for each of them costs more than the commands themselves.
 */
export function coalesceWrites(socket: Duplex): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let isCorked = false;
  const uncork = () => {
    isCorked = false;
    socket.uncork();
  };
  socket.write = ((...args: unknown[]) => {
    if (!isCorked && socket.writable) {
      isCorked = true;
      socket.cork();
      setImmediate(uncork);
    }
    return write(...args);
  }) as typeof socket.write;
}
