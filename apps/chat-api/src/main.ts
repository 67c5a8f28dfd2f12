import { runService } from '@flexpush/process';
import { buildChatApi } from './chat-api';
import { configSchema } from './config';

void runService({ name: 'chat-api', schema: configSchema, build: buildChatApi });
