import { checkPushes } from './check-pushes';
import type { ChatHistory, History, Refresh, Said, SeenEvent } from './history';
import type { Terms, Violation } from './terms';

/** Proves a history, or says what is wrong with it. */
export function check(history: History, terms: Terms): Violation[] {
  return [...history.chats.values()].flatMap((chat) => [
    ...checkTranscript(chat, terms),
    ...checkPushes(chat, terms),
  ]);
}

/** I1, I2, I8: what was acknowledged is there once, in order, for good, without gaps. */
function checkTranscript(chat: ChatHistory, terms: Terms): Violation[] {
  const violations: Violation[] = [];
  const wrong = (rule: string, atMs: number, what: string) =>
    violations.push({ rule, chatId: chat.chatId, atMs, what });
  for (const { text, startedAtMs, acknowledgedAtMs } of chat.said)
    if (acknowledgedAtMs === undefined) wrong('I6', startedAtMs, `"${text}" is never acknowledged`);
  const final = chat.refreshes.find(({ isFinal }) => isFinal);
  if (!final) {
    wrong('I6', lastSeenAtMs(chat), 'the last refresh is never answered');
    return violations;
  }
  for (const refresh of chat.refreshes) {
    const gap = gapIn(refresh);
    if (gap !== undefined) wrong('I1', refresh.answeredAtMs, gap);
    const change = changeIn(refresh, final);
    if (change !== undefined) wrong('I8', refresh.answeredAtMs, change);
  }
  const texts = final.events.flatMap(({ type, text }) =>
    type === 'Message' && text !== undefined ? [text] : [],
  );
  for (const one of chat.said) {
    const { type, text, acknowledgedAtMs } = one;
    const times = type === 'Message' ? texts.filter((one) => one === text).length : joinsIn(final);
    if (times === 0 && acknowledgedAtMs !== undefined && !mayBeLost(one, terms))
      wrong('I2', acknowledgedAtMs, `"${text || 'join'}" was acknowledged and is not in the transcript`);
    if (times > 1) wrong('I1', final.answeredAtMs, `"${text || 'join'}" is in the transcript ${times} times`);
  }
  for (const who of ['agent', 'customer'] as const) {
    const said = chat.said.filter((one) => one.who === who && one.type === 'Message').map(({ text }) => text);
    const seen = texts.filter((text) => said.includes(text));
    const inOrder = said.filter((text) => seen.includes(text));
    if (seen.join() !== inOrder.join())
      wrong('I1', final.answeredAtMs, `the ${who}'s messages are in another order`);
  }
  return violations;
}

/** Only what the log alone acknowledged, that is, the agent's: a customer is answered when its record is folded. */
function mayBeLost({ who, acknowledgedAtMs = 0, startedAtMs }: Said, { lostFromLog }: Terms): boolean {
  return (
    who === 'agent' &&
    lostFromLog.some(({ fromMs, toMs }) => acknowledgedAtMs >= fromMs && startedAtMs <= toMs)
  );
}

function lastSeenAtMs({ said, posts, refreshes }: ChatHistory): number {
  const times = [...said, ...refreshes].map(({ startedAtMs }) => startedAtMs);
  return Math.max(0, ...times, ...posts.map(({ atMs }) => atMs));
}

function joinsIn({ events }: Refresh): number {
  // The customer's own join, and the agent's.
  return events.filter(({ type }) => type === 'ParticipantJoined').length - 1;
}

function gapIn({ from, events, nextPosition }: Refresh): string | undefined {
  let expected = Math.max(1, from);
  for (const { index } of events) {
    if (index !== expected) return `a refresh from ${from} has ${index} where ${expected} should be`;
    expected++;
  }
  return expected === Math.max(nextPosition, Math.max(1, from))
    ? undefined
    : `a refresh from ${from} with ${events.length} events says next ${nextPosition}`;
}

/** What a refresh has shown stays as it was. */
function changeIn(refresh: Refresh, final: Refresh): string | undefined {
  for (const event of refresh.events) {
    const last = final.events[event.index - 1];
    if (!last || !isSame(last, event))
      return `event ${event.index} was "${event.text ?? event.type}" and is "${last?.text ?? last?.type ?? 'gone'}" in the end`;
  }
  return undefined;
}

function isSame(a: SeenEvent, b: SeenEvent): boolean {
  return a.index === b.index && a.type === b.type && a.text === b.text && a.utcTime === b.utcTime;
}
