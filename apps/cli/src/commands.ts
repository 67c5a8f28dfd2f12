import type { Command } from 'commander';
import { registerUp } from './up';

/** Every command registers itself here; the order is that of `flexpush --help`. */
export const commands: readonly ((program: Command) => void)[] = [registerUp];
