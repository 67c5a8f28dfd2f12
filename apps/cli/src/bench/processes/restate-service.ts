import * as restate from '@restatedev/restate-sdk';
import type { ObjectContext } from '@restatedev/restate-sdk';
import { createPoster } from './poster';
import { serve } from './serve';
import { triggerBody } from './trigger-body';

export interface RestateServiceSettings {
  readonly port: number;
  readonly connections: number;
}

interface SessionState {
  readonly url: string;
  n: number;
  confirmed: number;
  readonly texts: string[];
}

const RESEND_DELAY_MS = 10_000;
const ATTEMPTS_MAX = 3;
/** So that the state has the size of a session of the product. */
const TEXTS_KEPT = 8;

/**
 * The same job as a virtual object of Restate: state, a POST, and a delayed message to itself that POSTs again unless a
 * confirm came first.
 */
serve<RestateServiceSettings>(async ({ port, connections }) => {
  if (!('withResolvers' in Promise)) Object.assign(Promise, { withResolvers });
  const posters = new Map<string, (body: string) => Promise<void>>();
  const posterTo = (url: string): ((body: string) => Promise<void>) => {
    const poster = posters.get(url) ?? createPoster(url, connections);
    posters.set(url, poster);
    return poster;
  };
  const stateOf = async (ctx: ObjectContext): Promise<SessionState> => {
    const state = await ctx.get<SessionState>('state');
    if (!state) throw new restate.TerminalError('no such chat');
    return state;
  };
  const tell = async (ctx: ObjectContext, state: SessionState, attempt: number): Promise<void> => {
    const { url, n } = state;
    const body = triggerBody({ n, attempt, deviceId: `device-of-${ctx.key}`, sessionId: ctx.key });
    await ctx.run('post', () => posterTo(url)(body));
    if (attempt + 1 >= ATTEMPTS_MAX) return;
    ctx.genericSend({
      service: 'Session',
      method: 'resend',
      key: ctx.key,
      parameter: { n, attempt: attempt + 1 },
      inputSerde: restate.serde.json,
      delay: RESEND_DELAY_MS,
    });
  };
  const session = restate.object({
    name: 'Session',
    handlers: {
      open: (ctx: ObjectContext, { url }: { url: string }) =>
        Promise.resolve(ctx.set('state', { url, n: 0, confirmed: 0, texts: [] } satisfies SessionState)),
      event: async (ctx: ObjectContext, { text }: { text: string }) => {
        const state = await stateOf(ctx);
        state.n++;
        state.texts.push(text);
        if (state.texts.length > TEXTS_KEPT) state.texts.shift();
        ctx.set('state', state);
        await tell(ctx, state, 0);
      },
      confirm: async (ctx: ObjectContext) => {
        const state = await stateOf(ctx);
        ctx.set('state', { ...state, confirmed: state.n });
        return state.n;
      },
      resend: async (ctx: ObjectContext, { n, attempt }: { n: number; attempt: number }) => {
        const state = await stateOf(ctx);
        if (state.confirmed < n && state.n === n) await tell(ctx, state, attempt);
      },
    },
  });
  await restate.serve({ services: [session], port, logger: () => undefined });
  return {};
});

/** As Node has it from 22 on; the SDK needs it. */
function withResolvers(): object {
  let settle = {};
  const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
  return { promise, ...settle };
}
