import { join } from 'node:path';

/** Root of the checkout. `src` and `dist` lie equally deep, so this holds for both. */
export const repositoryRoot = join(__dirname, '..', '..', '..');

/** Where the state of `flexpush up` lies unless told otherwise. */
export const defaultStackDir = join(repositoryRoot, '.flexpush');
