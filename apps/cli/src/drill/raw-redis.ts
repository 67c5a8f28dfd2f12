import { connect } from 'node:net';

const TIMEOUT_MS = 10_000;

/** Sends one command to a Redis server and resolves with the first line of its answer. Rejects on an error or silence. */
export async function askRedis(at: { host: string; port: number }, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(at.port, at.host);
    let text = '';
    socket.setEncoding('utf8').setTimeout(TIMEOUT_MS);
    socket.on('error', reject);
    socket.on('timeout', () => socket.destroy(new Error(`Redis does not answer ${command}`)));
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\r\n');
      if (end < 0) return;
      socket.destroy();
      const line = text.slice(0, end);
      if (line.startsWith('-')) reject(new Error(`Redis answers ${line.slice(1)}`));
      else resolve(line);
    });
    socket.write(`${command}\r\n`);
  });
}
