import { runService, systemClock } from '@flexpush/process';
import { configSchema } from './config';
import { NatsEdge } from './nats-edge';
import { Registry } from './registry';
import { RegistryController } from './registry.controller';

void runService({
  name: 'gms-registry',
  schema: configSchema,
  build: async ({ config, log, operations, nodeId, incarnation }) => {
    const edge: NatsEdge = new NatsEdge({
      url: config.FLEXPUSH_NATS_URL,
      name: nodeId,
      log,
      onReconnect: () => registry.publisher.reconnected(),
    });
    const registryId = `${nodeId}:${incarnation}`;
    const registry = new Registry({ registryId, config, clock: systemClock, bus: edge, log, operations });
    operations.addCheck('nats', () => edge.connected() || 'not connected');
    return {
      controllers: [RegistryController],
      providers: [{ provide: Registry, useValue: registry }],
      configure: (app) => edge.attach(app),
      // Not awaited: while NATS is away the process serves /readyz and can be stopped. A failure ends the process.
      start: () => void edge.listen().then(() => registry.publisher.start()),
      stop: [
        { name: 'stop publishing views', run: () => registry.publisher.stop() },
        { name: 'close nats', run: () => edge.close() },
      ],
    };
  },
});
