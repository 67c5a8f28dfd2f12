/** The bounds of a delivery (I9). The caller gives all of them, so that defaults stand only in its configuration. */
export interface DeliveryBounds {
  /** Jobs that wait; a dispatch that would pass it is answered `busy`. */
  queueMax: number;
  /** POSTs in flight to one destination, and connections of its pool. */
  connectionsMax: number;
  /** Destinations with a pool; the longest idle one goes first. */
  destinationsMax: number;
  /** A job is started only while it is younger than this. */
  deadTimeoutMs: number;
  /** Results that are remembered for repeated ids. */
  rememberedMax: number;
  /** Consecutive connection failures and time-outs that open a destination's breaker. */
  breakerFailuresMax: number;
  /** How long an open breaker refuses before it lets one probe through. */
  breakerProbeAfterMs: number;
}

/**
 * POSTs in flight of the whole node. Up to here a destination may use all of its connections; beyond it only the sure
 * ones, which no other destination can take. So hundreds of destinations that hang leave the next one its share, and
 * the node has at most FLIGHTS_SHARED_MAX + destinationsMax * FLIGHTS_SURE sockets.
 */
export const FLIGHTS_SHARED_MAX = 4_096;
export const FLIGHTS_SURE = 8;
/** How long results and withdrawals are remembered. */
export const REMEMBERED_AGE_MS = 600_000;
/** A destination that had nothing to do for this long loses its pool. */
export const DESTINATION_IDLE_MS = 60_000;
/** Failed triggers are logged at most once per destination and this long, with a count. */
export const FAILURE_LOG_INTERVAL_MS = 1_000;
/**
 * An idle connection is used again for this long only. Web servers close theirs after a few seconds (2 to 5 by default
 * in many), and a POST that crosses such a close on the wire is lost: it may not be repeated.
 */
export const CONNECTION_IDLE_MAX_MS = 1_000;
/** Bytes of an answer that are read; the rest is not waited for, because only the status matters. */
export const ANSWER_BYTES_MAX = 65_536;
/** Bytes of an answer that are kept for providers that judge by it. */
export const ANSWER_KEPT_BYTES = 4_096;
/** Access tokens that are kept, one per service account and way to it. */
export const TOKEN_SOURCES_MAX = 64;
/** For a chat-api to take a notification for one of its CometD clients. */
export const COMET_TIMEOUT_MS = 2_000;
