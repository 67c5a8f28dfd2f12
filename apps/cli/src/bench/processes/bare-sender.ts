import { createPoster } from './poster';
import { serve } from './serve';
import { triggerBody } from './trigger-body';

export interface BareSenderSettings {
  readonly url: string;
  /** Connections, and POSTs in flight. */
  readonly connections: number;
}

const DEVICES = 2_000;

/** What undici alone does: `Pool.request` in a closed loop, bodies like those of the product, built for each POST. */
serve<BareSenderSettings>(({ url, connections }) => {
  const post = createPoster(url, connections);
  let next = 0;
  return {
    /** POSTs done within so many ms. */
    run: async (durationMs: number) => {
      const endMs = performance.now() + durationMs;
      let posts = 0;
      const worker = async (): Promise<void> => {
        while (performance.now() < endMs) {
          const n = next++;
          await post(triggerBody({ n, attempt: 0, deviceId: `device-${n % DEVICES}` }));
          posts++;
        }
      };
      await Promise.all(Array.from({ length: connections }, worker));
      return posts;
    },
  };
});
