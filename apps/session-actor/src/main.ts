import { connectBus } from '@flexpush/nats-bus';
import { runService } from '@flexpush/process';
import { connectRedis } from '@flexpush/redis-store';
import { setFlagsFromString } from 'node:v8';
import { configSchema } from './config';
import { SessionActor } from './session-actor';

/**
 * V8 lets the heap grow to several times of what lives in it before it collects. Cached sessions get old before they are
 * dropped, so here that would be hundreds of megabytes more; at 50 the collecting costs too much.
 */
const HEAP_GROWING_PERCENT = 100;
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);

void runService({
  name: 'session-actor',
  schema: configSchema,
  build: async (context) => {
    const { config, log, nodeId } = context;
    const redis = connectRedis({
      url: config.FLEXPUSH_REDIS_URL,
      onEvent: (event, error) =>
        log[event === 'error' ? 'warn' : 'info']({ event, err: error }, 'redis.status'),
    });
    const bus = await connectBus({
      url: config.FLEXPUSH_NATS_URL,
      name: nodeId,
      onStatus: (status) => log.warn({ status }, 'nats.status'),
    });
    const actor = await SessionActor.create(context, bus, redis);
    return {
      start: () => actor.start(),
      stop: actor.stopSteps(),
      providers: [{ provide: SessionActor, useValue: actor }],
    };
  },
});
