import { Pool } from 'undici';
import { serve } from './serve';

export interface BareSenderSettings {
  readonly url: string;
  /** Connections, and POSTs in flight. */
  readonly connections: number;
}

/** What undici alone does: `Pool.request` in a closed loop, bodies like those of the product, built for each POST. */
serve<BareSenderSettings>(({ url, connections }) => {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1 });
  let next = 0;
  const post = async (): Promise<void> => {
    const { statusCode, body } = await pool.request({
      path: pathname,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: triggerBody(next++),
    });
    if (statusCode !== 200) throw new Error(`the receiver answered ${statusCode}`);
    await body.dump();
  };
  return {
    /** POSTs done within so many ms. */
    run: async (durationMs: number) => {
      const endMs = performance.now() + durationMs;
      let posts = 0;
      const worker = async (): Promise<void> => {
        while (performance.now() < endMs) {
          await post();
          posts++;
        }
      };
      await Promise.all(Array.from({ length: connections }, worker));
      return posts;
    },
  };
});

/** As a trigger of the product looks on the wire (CONTRACT 3.4). */
function triggerBody(n: number): string {
  return JSON.stringify({
    message: {
      secureKey: 'Q2hhbmdlTWVOb3RSZWFsS2V5QnV0TG9uZ0Jhc2U2NENoYW5nZU1lTm90UmVhbEtleQ==',
      chatId: 'deprecated',
      nextPosition: n,
      messages: [
        {
          from: { nickname: '', participantId: 0, type: 'Client' },
          index: 0,
          text: 'PUSH-NOTIFICATION',
          type: 'PushUrl',
          utcTime: Math.floor(Date.now() / 1000) * 1000,
          userData: { 'notify-attempt': '0', 'notify-position': String(n) },
        },
      ],
      alias: '0',
      chatEnded: false,
      userId: 'deprecated',
      statusCode: 0,
      monitored: false,
    },
    deviceId: `device-${n % 2_000}`,
  });
}
