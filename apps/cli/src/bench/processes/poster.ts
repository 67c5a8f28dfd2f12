import { Pool } from 'undici';

/** POSTs as `Pool.request` does it, with so many connections; throws when the answer is not 200. */
export function createPoster(url: string, connections: number): (body: string) => Promise<void> {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1 });
  return async (body) => {
    const answer = await pool.request({
      path: pathname,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    if (answer.statusCode !== 200) throw new Error(`the receiver answered ${answer.statusCode}`);
    await answer.body.dump();
  };
}
