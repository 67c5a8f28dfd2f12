import { runService } from '@flexpush/process';
import { configSchema } from './config';
import { TimerService } from './timer-service';

void runService({
  name: 'resend-timer',
  schema: configSchema,
  build: async (context) => {
    const service = new TimerService(context);
    return {
      // Not awaited: while a store is away the process serves /readyz and can be stopped. A failure ends the process.
      start: () => void service.start(),
      stop: [
        { name: 'finish claims', run: () => service.finishClaims() },
        { name: 'close connections', run: () => service.close() },
      ],
    };
  },
});
