import type { OptionValues, PushJob } from '@flexpush/contracts';
import type { HttpConnection } from './connection';
import type { JobResult } from './delivery-job';
import type { Channel, HttpPost, PostOutcome } from './channel';

/** Where a notification goes and what the provider needs to write it. */
export interface Target {
  kind: 'target';
  /** The unit that has a channel, a gate and a breaker; see `destinationOf`. */
  destination: string;
  connection: HttpConnection;
}

/** Why a notification cannot be sent at all; a word from a small set, because it is a metric's label. */
export interface NoTarget {
  kind: 'no-target';
  reason:
    | 'no-url-configured'
    | 'unknown-provider'
    | 'url-not-usable'
    | 'tls-settings-not-usable'
    | 'headers-not-usable'
    | 'signing-key-not-usable'
    | 'no-credentials-configured'
    | 'credentials-not-usable'
    | 'no-topic-configured'
    | 'address-not-usable';
}

/** What of a job decides on its target. */
export interface Wanted {
  provider: string | undefined;
  debug: boolean;
  /** What `route` said of the job. */
  route?: string;
}

/**
 * One way of delivering, such as customhttp. A new one is one file and one entry in the list given to `Delivery`; its
 * options are entries of the catalogue.
 */
export interface Provider<T extends Target = Target> {
  deviceType: PushJob['deviceType'];
  /** For providers whose destination depends on the device: the part of its id that does. */
  route?(job: PushJob): string;
  /** Pure; its answer is kept until the options change. */
  target(options: OptionValues, wanted: Wanted): T | NoTarget;
  /** `alias` is what pushes show as `app-dbid`. */
  request(job: PushJob, context: { alias: string; target: T }): HttpPost;
  /** For providers that need more than an HTTP channel, or another one; called once per destination. */
  open?(target: T, openHttp: () => Channel): Channel;
  /** What became of the job. Without it, or where it says nothing, any 2xx is delivered and the rest has failed. */
  judge?(outcome: PostOutcome, target: T): JobResult | undefined;
}
