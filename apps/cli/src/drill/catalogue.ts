import type { Drill } from './drill';
import { stormDrill } from './drill-storm';
import { actorDrills } from './drills-actor';
import { deliveryDrills } from './drills-delivery';
import { serverDrills } from './drills-server';

/** Every drill, in the order of `flexpush drill list`. */
export const catalogue: readonly Drill[] = [...actorDrills, ...deliveryDrills, ...serverDrills, stormDrill];

export function findDrill(name: string): Drill {
  const drill = catalogue.find((candidate) => candidate.name === name);
  if (!drill) throw new Error(`there is no drill "${name}"; see "flexpush drill list"`);
  return drill;
}
