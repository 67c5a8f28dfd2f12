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

/** What a bench reads of a resend-timer. Throws when it does not answer. */
export async function readTimerCounters(url: string): Promise<{ shardsOwned: number; fired: number }> {
  const { body } = await request(`${url}/metrics`);
  const text = await body.text();
  return {
    shardsOwned: valueOf(text, 'flexpush_timer_shards_owned'),
    fired: valueOf(text, 'flexpush_timer_appended_total'),
  };
}

/** 0 for a metric that has not been counted yet. */
function valueOf(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}
