import type { ChatHistory, Post, Said } from './history';
import type { Terms, Violation } from './terms';

type Trigger = Extract<Post, { kind: 'trigger' }>;
type Wrong = (rule: string, atMs: number, what: string) => void;

/** I3-I7, I8: what was pushed, by what was said and refreshed. */
export function checkPushes(chat: ChatHistory, terms: Terms): Violation[] {
  const violations: Violation[] = [];
  const wrong: Wrong = (rule, atMs, what) => violations.push({ rule, chatId: chat.chatId, atMs, what });
  if (chat.kind === 'plain') checkPlain(chat, wrong);
  else if (chat.kind === 'comet') checkClient(chat, wrong);
  else {
    const triggers = chat.posts.filter((post) => post.kind === 'trigger');
    checkTriggers(chat, triggers, { terms, wrong });
    if (chat.kind === 'refreshing') checkTold(chat, wrong);
    else checkLastSchedule(chat, triggers, { terms, wrong });
  }
  return violations;
}

/** I2, I7: each event that others caused arrives, the first time in the order of the transcript. */
function checkPlain(chat: ChatHistory, wrong: Wrong): void {
  const events = chat.posts.filter((post) => post.kind === 'event');
  const arrived = new Set<number>();
  let highest = 0;
  for (const { index, atMs } of events) {
    if (!arrived.has(index) && index < highest)
      wrong('I7', atMs, `event ${index} arrives for the first time behind ${highest}`);
    arrived.add(index);
    highest = Math.max(highest, index);
  }
  const final = chat.refreshes.find(({ isFinal }) => isFinal);
  const texts = new Set(chat.said.filter(({ who }) => who === 'agent').map(({ text }) => text));
  for (const { index, type, text } of final?.events ?? [])
    if (type === 'Message' && texts.has(text ?? '') && !arrived.has(index))
      wrong('I6', final?.answeredAtMs ?? 0, `event ${index} was never pushed`);
}

/**
 * I1, I6, I8: what a CometD client was shown is the transcript, and every message reached the client or, while that was
 * away, the device.
 */
function checkClient(chat: ChatHistory, wrong: Wrong): void {
  const final = chat.refreshes.find(({ isFinal }) => isFinal);
  if (!final) return;
  for (const { index, text, type, atMs } of chat.shown) {
    const last = final.events[index - 1];
    if (last?.text !== text || last?.type !== type)
      wrong('I8', atMs, `event ${index} was shown as "${text ?? type}" and is "${last?.text ?? 'gone'}"`);
  }
  const reached = new Set([
    ...chat.shown.map(({ index }) => index),
    ...chat.posts.flatMap((post) => (post.kind === 'event' && post.taken ? [post.index] : [])),
  ]);
  for (const { index, type } of final.events)
    if (type === 'Message' && !reached.has(index))
      wrong('I6', final.answeredAtMs, `event ${index} reached neither the client nor the device`);
}

function checkTriggers(
  chat: ChatHistory,
  triggers: readonly Trigger[],
  with_: { terms: Terms; wrong: Wrong },
): void {
  const { terms, wrong } = with_;
  triggers.forEach((trigger, i) => {
    const { attempt, position, atMs } = trigger;
    const shown = `attempt ${attempt} at position ${position}`;
    if (attempt > terms.attemptsMax) wrong('I5', atMs, `${shown} is beyond the limit`);
    const confirm = chat.refreshes.find(
      (one) => one.nextPosition > position && one.answeredAtMs + terms.onItsWayMs < atMs,
    );
    if (confirm)
      wrong('I5', atMs, `${shown} comes ${Math.round(atMs - confirm.answeredAtMs)} ms after its confirm`);
    if (!existsBy(chat, position, atMs)) wrong('I5', atMs, `${shown} comes before there is such an event`);
    const earliest = earliestAt(chat, trigger, terms);
    if (atMs < earliest) wrong('I5', atMs, `${shown} comes ${Math.round(earliest - atMs)} ms early`);
    const before = triggers[i - 1];
    if (before && attempt < before.attempt && !isRestart(chat, before, trigger, terms))
      wrong('I8', atMs, `${shown} follows attempt ${before.attempt} and nothing has happened between`);
  });
}

/** The event at a position, as the last transcript has it, was being said by then. */
function existsBy(chat: ChatHistory, position: number, atMs: number): boolean {
  const event = chat.refreshes.find(({ isFinal }) => isFinal)?.events[position - 1];
  // Without a last transcript nothing can be said; that is a violation of its own.
  if (!chat.refreshes.some(({ isFinal }) => isFinal)) return true;
  if (!event) return false;
  const said = chat.said.find(({ text }) => text !== '' && text === event.text);
  return said === undefined || said.startedAtMs <= atMs;
}

/** Attempt k never comes before k delays after the last event that was there for certain when it left (I5). */
function earliestAt(chat: ChatHistory, { attempt, atMs }: Trigger, terms: Terms): number {
  const certain = visible(chat).findLast(
    (one) => (one.acknowledgedAtMs ?? Infinity) <= atMs - terms.onItsWayMs,
  );
  return (certain?.startedAtMs ?? 0) + attempt * terms.resendDelayMs - terms.clocksApartMs;
}

/** What may begin a schedule anew: an event, or a refresh, which may also end one. */
function isRestart(chat: ChatHistory, before: Trigger, now: Trigger, terms: Terms): boolean {
  const fromMs = before.atMs - terms.onItsWayMs;
  const meets = (startMs: number, endMs: number) => startMs <= now.atMs && endMs >= fromMs;
  return (
    visible(chat).some((one) => meets(one.startedAtMs, one.acknowledgedAtMs ?? Infinity)) ||
    chat.refreshes.some((one) => meets(one.startedAtMs, one.answeredAtMs))
  );
}

function visible(chat: ChatHistory): Said[] {
  return chat.said.filter(({ who }) => who === 'agent');
}

/** I6: who refreshes on every trigger has read everything without being asked to. */
function checkTold(chat: ChatHistory, wrong: Wrong): void {
  const read = Math.max(
    1,
    ...chat.refreshes.filter(({ isFinal }) => !isFinal).map((one) => one.nextPosition),
  );
  const final = chat.refreshes.find(({ isFinal }) => isFinal);
  const texts = new Set(visible(chat).map(({ text }) => text));
  const missed = final?.events.find(({ index, text }) => index >= read && texts.has(text ?? ''));
  if (missed) wrong('I6', final?.answeredAtMs ?? 0, `nobody was told of event ${missed.index}`);
}

/** I4, I5, I6: when all is well again, whoever stays silent gets every attempt of the schedule, each at its time. */
function checkLastSchedule(
  chat: ChatHistory,
  triggers: readonly Trigger[],
  { terms, wrong }: { terms: Terms; wrong: Wrong },
): void {
  const last = visible(chat).at(-1);
  if (last?.acknowledgedAtMs === undefined || last.startedAtMs < terms.lastSaidAtMs) return;
  const first = triggers.findLastIndex(({ attempt, atMs }) => attempt === 0 && atMs >= last.startedAtMs);
  if (first < 0) {
    wrong('I6', last.acknowledgedAtMs, 'the last message causes no trigger');
    return;
  }
  const schedule = triggers.slice(first);
  const attempts = schedule.map(({ attempt }) => attempt).join(' ');
  const expected = Array.from({ length: terms.attemptsMax + 1 }, (_, attempt) => attempt).join(' ');
  if (attempts !== expected)
    wrong('I4', last.acknowledgedAtMs, `the last schedule has attempts ${attempts} instead of ${expected}`);
  schedule.forEach(({ attempt, atMs }, k) => {
    const before =
      k === 0 ? (last.acknowledgedAtMs as number) : (schedule[k - 1] as Trigger).atMs + terms.resendDelayMs;
    const lateMs = atMs - before - terms.clocksApartMs;
    if (lateMs > terms.lateMs)
      wrong('I6', atMs, `attempt ${attempt} of the last schedule is ${Math.round(lateMs)} ms late`);
  });
}
