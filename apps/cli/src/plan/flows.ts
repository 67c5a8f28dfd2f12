import { findOption } from '@flexpush/contracts';

/** What a cluster is planned for. */
export interface Demand {
  /** Open chats. */
  readonly sessions: number;
  /** Events published by agents' programs, joins and ends included. */
  readonly eventsPerS: number;
  /** Resends for each first push. */
  readonly resendRatio: number;
  /** Part of the chats whose customer has reliable pushes; the others poll. */
  readonly subscriptionsShare: number;
  /** Refreshes that an event causes, beside polling. */
  readonly refreshesPerEvent: number;
  /** How often a customer without pushes polls. */
  readonly pollS: number;
  /** An event as JSON. */
  readonly eventBytes: number;
  /** In the transcript of an open chat. */
  readonly eventsPerChat: number;
  readonly retentionHours: number;
  /** Copies of each stream; 1 survives the loss of no server. */
  readonly replicas: number;
  /** Part of a core, or of whatever is scarce, that is used when nothing is broken. */
  readonly targetUtilisation: number;
  /** How long the customer's server takes for a push. */
  readonly receiverMs: number;
  /** Undefined: as many as the plan advises. */
  readonly shards?: number | undefined;
}

/** What happens per second: an `event` is published, a `fire` is a timer that fires and only arms itself anew. */
export const flowNames = ['event', 'push', 'resend', 'refresh', 'fire'] as const;
export type Flow = (typeof flowNames)[number];
export type Flows = Readonly<Record<Flow, number>>;

function secondsOf(option: string): number {
  const value = Number(findOption('settings', option)?.default);
  if (!(value > 0)) throw new Error(`option ${option} has no default`);
  return value;
}

/**
 * The inactivity ladder's timer of a customer with pushes fires once per `flex-push-timeout` whatever it does, and pings it
 * when it made no request meanwhile; that of a customer who polls fires once per `flex-disconnect-timeout`. Events are
 * taken to come to all chats alike and independent of each other.
 */
export function flowsOf(demand: Demand): Flows {
  const { sessions, eventsPerS, subscriptionsShare, resendRatio } = demand;
  const pushTimeoutS = secondsOf('flex-push-timeout');
  const subscribed = sessions * subscriptionsShare;
  const polling = sessions - subscribed;
  // Refreshes that follow the events of one chat, within the time after which it is pinged.
  const followed = subscriptionsShare === 0 ? 0 : Math.min(1, demand.refreshesPerEvent / subscriptionsShare);
  const expected = sessions === 0 ? 0 : (pushTimeoutS * eventsPerS * followed) / sessions;
  const pings = (subscribed / pushTimeoutS) * Math.exp(-expected);
  const push = eventsPerS * subscriptionsShare + pings;
  return {
    event: eventsPerS,
    push,
    resend: push * resendRatio,
    refresh: eventsPerS * demand.refreshesPerEvent + pings + polling / demand.pollS,
    fire: subscribed / pushTimeoutS + polling / secondsOf('flex-disconnect-timeout'),
  };
}

/** What the log stores. Each is taken for a message: records are packed only under load, which is not counted on. */
export function recordsPerS({ event, refresh, fire, resend }: Flows): number {
  return event + refresh + fire + resend;
}
