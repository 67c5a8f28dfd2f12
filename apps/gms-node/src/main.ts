import { runService } from '@flexpush/process';
import { configSchema } from './config';
import { buildGmsNode } from './service';

void runService({ name: 'gms-node', schema: configSchema, build: buildGmsNode });
