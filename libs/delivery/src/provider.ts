import type { OptionValues, PushJob } from '@flexpush/contracts';

/** Where a notification goes and what the provider needs to write its body. */
export interface Target {
  kind: 'target';
  /** Scheme, host and port: the unit that has a pool, a gate and a breaker. */
  origin: string;
  /** Path and query. */
  path: string;
  /** Names and values in turn, as undici takes them without copying. */
  headers: string[];
  /** The provider's fixed text, for notifications without content. */
  message?: string;
}

/** Why a notification cannot be sent at all; a word from a small set, because it is a metric's label. */
export interface NoTarget {
  kind: 'no-target';
  reason: 'no-url-configured' | 'unknown-provider' | 'url-not-usable';
}

/** One way of delivering, such as customhttp. A new one is one file and one entry in the list given to `Delivery`. */
export interface Provider {
  deviceType: PushJob['deviceType'];
  /** Pure, and asked again whenever the options change. */
  target(options: OptionValues, wanted: { provider: string | undefined; debug: boolean }): Target | NoTarget;
  /** The body of the POST. `alias` is what pushes show as `app-dbid`. */
  body(job: PushJob, context: { alias: string; target: Target }): string;
}
