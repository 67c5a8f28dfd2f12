import type { Stack } from '@flexpush/stack';
import { request } from 'undici';
import { until } from './wait';

/** What a bench reads of a session-actor. */
export interface Counters {
  readonly recordsFolded: number;
  readonly logWaiting: number;
  readonly unsettled: number;
}

const LOOK_MS = 50;
const QUIET_LOOKS = 4;
/** A million chats that were opened need some minutes. */
const QUIET_MAX_MS = 1_800_000;

/** Resolves when everything in the log is folded and nothing is on its way, as often as it is looked at. */
export async function untilQuiet(stack: Stack): Promise<void> {
  const actors = stack.servicesOf('session-actor');
  let quiet = 0;
  const isQuiet = async (): Promise<boolean> => {
    const counters = await Promise.all(actors.map(({ url }) => readCounters(url)));
    const isIdle = counters.every(({ logWaiting, unsettled }) => logWaiting === 0 && unsettled === 0);
    quiet = isIdle ? quiet + 1 : 0;
    return quiet >= QUIET_LOOKS;
  };
  await until(isQuiet, 'it does not become quiet', { lookMs: LOOK_MS, maxMs: QUIET_MAX_MS });
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
