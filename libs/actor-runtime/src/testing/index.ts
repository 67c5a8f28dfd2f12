/** The ports in memory, for specs and for the simulator; no service imports them. */
export { MemoryLeases } from './memory-leases';
export { MemoryLog } from './memory-log';
export { MemoryLetters, MemoryMeter } from './memory-ports';
export { MemorySnapshots } from './memory-snapshots';
export { MemoryStore, type StoredShard } from './memory-store';
export { VirtualClock } from './virtual-clock';
