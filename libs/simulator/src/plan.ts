import { Random } from './random';

/** What one chat does in a run. */
export interface ChatPlan {
  /**
   * `refreshing` answers triggers, `silent` never does before the end, `plain` has pushes with the event in them, `comet`
   * has them too, while its CometD client is away.
   */
  kind: 'refreshing' | 'silent' | 'plain' | 'comet';
  /** The customer's server: one that works, or one that faults may break. */
  receiver: 'well' | 'sick';
  createAtMs: number;
  /** How long after a trigger the customer refreshes; taken in turn. */
  refreshAfterMs: number[];
  says: { atMs: number; who: 'agent' | 'customer' }[];
  /** When a CometD client goes to the background, and for how long; the last time it may stay there. */
  goesAway: { atMs: number; forMs: number }[];
}

export const faultKinds = [
  'crash',
  'leave',
  'freeze',
  'zombie',
  'cut',
  'double-owner',
  'bad-network',
  'redis-down',
  'redis-failover',
  'redis-wipe',
  'power-cut',
  'nats-down',
  'receiver',
  'clock-step',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** One thing that goes wrong. Times are ms since the start of the run. */
export type Fault = { atMs: number } & (
  | { kind: 'crash' | 'leave'; host: string; awayMs: number }
  | { kind: 'freeze'; host: string; forMs: number }
  /**
   * An owner freezes between a commit and its effects; when it wakes it hears late of what has happened. The GMS nodes,
   * which could have remembered, are restarted meanwhile.
   */
  | { kind: 'zombie'; host: string; forMs: number; gmsAwayMs: number }
  | { kind: 'cut'; host: string; from: ('nats' | 'redis')[]; forMs: number }
  /** Its peers do not hear it and it hears of its deposition late, while it reaches all servers: two owners at once. */
  | { kind: 'double-owner'; host: string; forMs: number }
  | { kind: 'bad-network'; lost: number; twice: number; late: number; forMs: number }
  | { kind: 'redis-down' | 'nats-down'; forMs: number }
  /** The replica that takes over lacks the last writes. */
  | { kind: 'redis-failover'; lackMs: number }
  /** With its memory Redis loses everything. `gmsAwayMs`: the GMS nodes lose theirs too. */
  | { kind: 'redis-wipe'; gmsAwayMs?: number }
  /** The log loses its last records, and the session-actors die. */
  | { kind: 'power-cut'; lostMs: number; forMs: number }
  | { kind: 'receiver'; does: 'refuse' | 'fail' | 'hang'; forMs: number }
  | { kind: 'clock-step'; host: string; byMs: number }
);

/** A run as data: the same plan gives the same run. */
export interface Plan {
  seed: number;
  chats: ChatPlan[];
  faults: Fault[];
}

export const actorHosts = ['actor-1', 'actor-2', 'actor-3'] as const;
export const gmsHosts = ['gms-1', 'gms-2'] as const;
export const timerHosts = ['timer-1', 'timer-2'] as const;
export const registryHosts = ['registry-1', 'registry-2'] as const;
export const chatHosts = ['chat-1', 'chat-2'] as const;
export const allHosts: readonly string[] = [
  ...actorHosts,
  ...gmsHosts,
  ...timerHosts,
  ...registryHosts,
  ...chatHosts,
];

/** Events and faults come until then; from then on everything heals. */
export const HEAL_AT_MS = 20_000;
const START_MS = 2_000;

/** The plan of a seed. `kinds` are the faults to choose from. */
export function planOf(seed: number, kinds: readonly FaultKind[] = faultKinds): Plan {
  const random = new Random(seed);
  const chats = Array.from({ length: random.between(3, 6) }, () => chatPlan(random));
  const count = kinds.length === 0 ? 0 : random.between(1, 6);
  const faults = Array.from({ length: count }, () => fault(random, random.pick(kinds)));
  return { seed, chats, faults: withoutDoubleLoss(faults).sort((a, b) => a.atMs - b.atMs) };
}

/** Who loses the end of the log and what Redis made of it loses it for good; nothing else is promised. */
function withoutDoubleLoss(faults: readonly Fault[]): Fault[] {
  const losesLog = faults.some(({ kind }) => kind === 'power-cut');
  return faults.filter(({ kind }) => !losesLog || (kind !== 'redis-wipe' && kind !== 'redis-failover'));
}

function chatPlan(random: Random): ChatPlan {
  const kind = random.pick(['refreshing', 'refreshing', 'silent', 'plain', 'comet', 'comet'] as const);
  const createAtMs = START_MS + random.between(0, 3_000);
  const says: ChatPlan['says'] = [];
  for (let atMs = createAtMs + random.between(50, 2_000); atMs < HEAL_AT_MS; atMs += pause(random))
    says.push({ atMs, who: random.chance(0.8) ? 'agent' : 'customer' });
  return {
    kind,
    // What a broken server is sent without schedule is lost by contract, so plain pushes go to one that works.
    receiver: kind !== 'plain' && kind !== 'comet' && random.chance(0.3) ? 'sick' : 'well',
    createAtMs,
    refreshAfterMs: Array.from({ length: 5 }, () => random.between(0, 2_500)),
    says,
    goesAway: kind === 'comet' ? absences(random) : [],
  };
}

function absences(random: Random): ChatPlan['goesAway'] {
  const count = random.between(0, 3);
  return Array.from({ length: count }, () => ({
    atMs: START_MS + random.between(3_000, HEAL_AT_MS),
    forMs: random.chance(0.2) ? 600_000 : random.between(50, 5_000),
  }));
}

/** Bursts and silences. */
function pause(random: Random): number {
  return random.chance(0.3) ? random.between(1, 50) : random.between(300, 5_000);
}

function fault(random: Random, kind: FaultKind): Fault {
  const atMs = START_MS + random.between(0, HEAL_AT_MS - START_MS - 3_000);
  const forMs = random.between(200, 9_000);
  switch (kind) {
    case 'crash':
    case 'leave':
      return { atMs, kind, host: someHost(random), awayMs: random.between(100, 4_000) };
    case 'freeze':
      return { atMs, kind, host: someHost(random), forMs };
    case 'cut':
      return {
        atMs,
        kind,
        host: someHost(random),
        from: random.pick([['nats'], ['redis'], ['nats', 'redis']] as ('nats' | 'redis')[][]),
        forMs,
      };
    case 'zombie':
      return {
        // Early, so that it wakes before everything heals.
        atMs: START_MS + random.between(0, 6_000),
        kind,
        host: random.pick(actorHosts),
        forMs: random.between(7_000, 11_000),
        gmsAwayMs: random.between(100, 1_500),
      };
    case 'double-owner':
      return { atMs, kind, host: random.pick(actorHosts), forMs };
    case 'bad-network':
      return {
        atMs,
        kind,
        lost: random.pick([0, 0.05, 0.3]),
        twice: random.pick([0, 0.1]),
        late: random.pick([0, 0.1]),
        forMs,
      };
    case 'redis-down':
    case 'nats-down':
      return { atMs, kind, forMs: random.between(100, 5_000) };
    case 'redis-failover':
      return { atMs, kind, lackMs: random.between(0, 2_000) };
    case 'redis-wipe':
      return { atMs, kind, ...(random.chance(0.5) ? { gmsAwayMs: random.between(100, 1_500) } : {}) };
    case 'power-cut':
      return { atMs, kind, lostMs: random.between(10, 2_000), forMs: random.between(100, 2_000) };
    case 'receiver':
      return { atMs, kind, does: random.pick(['refuse', 'fail', 'hang'] as const), forMs };
    case 'clock-step':
      return { atMs, kind, host: random.pick([...allHosts, 'nats']), byMs: random.pick([-5_000, 5_000]) };
    default:
      return kind satisfies never;
  }
}

/** Owners are what most of this is about. */
function someHost(random: Random): string {
  return random.chance(0.5) ? random.pick(actorHosts) : random.pick(allHosts);
}
