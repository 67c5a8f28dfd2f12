import { shardOf } from '@flexpush/contracts';
import { check } from './check';
import { Cluster } from './cluster';
import { DEAD_TIMEOUT_MS } from './gms-host';
import type { History } from './history';
import { LATE_DELAY_MAX_MS } from './network';
import { notePost, People, type PushBody } from './people';
import { HEAL_AT_MS, type Fault, type Plan } from './plan';
import type { Switch } from './switches';
import type { Terms, Violation } from './terms';
import { RESEND_ATTEMPTS_MAX, RESEND_DELAY_MS, SHARDS, World } from './world';

/** After so long everything is as if nothing had happened: takeovers, visibility times, breakers. */
const RECOVERY_MS = 8_000;
const PROBE_MS = 2_500;
const LATE_MS = 1_500;
/** For answers to the last refreshes. */
const LAST_ANSWERS_MS = 15_000;

export interface Run {
  plan: Plan;
  history: History;
  violations: Violation[];
  /** How much virtual time has passed. */
  lastedMs: number;
}

/** Runs a plan: a whole cluster in virtual time. Nothing but the plan decides how it goes. */
export async function simulate(plan: Plan, off: ReadonlySet<Switch> = new Set()): Promise<Run> {
  const world = new World(plan.seed, off);
  const cluster = new Cluster(world, plan.faults);
  const history: History = { chats: new Map() };
  const people = plan.chats.map((chat, i) => new People(world, cluster, chatIdOf(i), chat, i));
  const byChat = new Map(people.map((one) => [one.chatId, one]));
  for (const { chat } of people) history.chats.set(chat.chatId, chat);
  world.receivers.onPost = (body, taken) => {
    const { deviceId } = body as PushBody;
    const kind = notePost(history, body as PushBody, { atMs: world.nowMs(), taken });
    // Who answers with an error has not understood, and does not act.
    if (taken) byChat.get(deviceId)?.receive(kind === 'trigger');
  };
  cluster.start();
  for (const one of people) one.start();
  for (const fault of plan.faults) world.time.after(fault.atMs, () => cluster.strike(fault));
  await world.time.advance(HEAL_AT_MS);
  cluster.heal();
  const clocksApartMs = clocksApart(plan.faults);
  await world.time.advance(RECOVERY_MS + clocksApartMs);
  // One message finds out that a receiver is well again (an open breaker fails what comes while it probes).
  for (const one of people) one.say('agent');
  await world.time.advance(PROBE_MS);
  const lastSaidAtMs = world.nowMs();
  for (const one of people) one.say('agent');
  await world.time.advance((RESEND_ATTEMPTS_MAX + 1) * (RESEND_DELAY_MS + clocksApartMs) + LATE_MS);
  let unread = people.length;
  for (const one of people) {
    one.rest();
    void one.readAll().then(() => unread--);
  }
  for (let waitedMs = 0; unread > 0 && waitedMs < LAST_ANSWERS_MS; waitedMs += 500)
    await world.time.advance(500);
  const terms: Terms = {
    resendDelayMs: RESEND_DELAY_MS,
    attemptsMax: RESEND_ATTEMPTS_MAX,
    onItsWayMs: DEAD_TIMEOUT_MS + LATE_DELAY_MAX_MS + 500,
    clocksApartMs,
    lateMs: LATE_MS,
    lostFromLog: world.lostFromLog,
    lastSaidAtMs,
  };
  return { plan, history, violations: check(history, terms), lastedMs: world.nowMs() };
}

/** The `i`-th chat; they spread over the shards. */
function chatIdOf(i: number): string {
  for (let n = 0; ; n++) {
    const chatId = `chat-${i}-${n}`;
    if (shardOf(chatId, SHARDS) === i % SHARDS) return chatId;
  }
}

/** The widest that clocks are apart in the course of a run; those who are not stepped are right. */
function clocksApart(faults: readonly Fault[]): number {
  const byHost = new Map<string, { now: number; low: number; high: number }>();
  for (const fault of faults) {
    if (fault.kind !== 'clock-step') continue;
    const skew = byHost.get(fault.host) ?? { now: 0, low: 0, high: 0 };
    skew.now += fault.byMs;
    skew.low = Math.min(skew.low, skew.now);
    skew.high = Math.max(skew.high, skew.now);
    byHost.set(fault.host, skew);
  }
  const skews = [...byHost.values()];
  return Math.max(0, ...skews.map(({ high }) => high)) - Math.min(0, ...skews.map(({ low }) => low));
}
