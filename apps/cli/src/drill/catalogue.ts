import type { Drill } from './drill';
import { actorDrills } from './drills-actor';

/** Every drill, in the order of `flexpush drill list`. */
export const catalogue: readonly Drill[] = [...actorDrills];

export function findDrill(name: string): Drill {
  const drill = catalogue.find((candidate) => candidate.name === name);
  if (!drill) throw new Error(`there is no drill "${name}"; see "flexpush drill list"`);
  return drill;
}
