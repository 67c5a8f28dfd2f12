import { request } from 'undici';

/** What a bench reads of a session-actor. */
export interface Counters {
  readonly recordsFolded: number;
  readonly logWaiting: number;
  readonly unsettled: number;
}

/** Throws when it does not answer. */
export async function readCounters(url: string): Promise<Counters> {
  const { body } = await request(`${url}/metrics`);
  const text = await body.text();
  return {
    recordsFolded: valueOf(text, 'flexpush_actor_records_folded_total'),
    logWaiting: valueOf(text, 'flexpush_actor_log_waiting'),
    unsettled: valueOf(text, 'flexpush_actor_unsettled'),
  };
}

/** Shards whose timers this resend-timer claims. */
export async function readShardsClaimed(url: string): Promise<number> {
  const { body } = await request(`${url}/metrics`);
  return valueOf(await body.text(), 'flexpush_timer_shards_owned');
}

/** 0 for a metric that has not been counted yet. */
function valueOf(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}
