import type { Command } from 'commander';
import { registerBench } from './bench/bench-command';
import { registerDemo } from './demo/demo-command';
import { registerDoctor } from './doctor/doctor-command';
import { registerDrill } from './drill/drill-command';
import { registerNodes } from './nodes-command';
import { registerOptions } from './options-command';
import { registerParity } from './parity/parity-command';
import { registerPlan } from './plan/plan-command';
import { registerPublish } from './publish-command';
import { registerSimulate } from './simulate/simulate-command';
import { registerUp } from './up';

/** Every command registers itself here; the order is that of `flexpush --help`. */
export const commands: readonly ((program: Command) => void)[] = [
  registerUp,
  registerDemo,
  registerPublish,
  registerOptions,
  registerNodes,
  registerBench,
  registerDrill,
  registerParity,
  registerDoctor,
  registerPlan,
  registerSimulate,
];
