import type { ChatHistory } from './history';
import type { Fault } from './plan';
import type { Run } from './simulation';

/** A run as lines, in the order of time: what went wrong with the system, and what each chat in question saw of it. */
export function narrate({ plan, history, violations }: Run): string[] {
  const chatIds = new Set(violations.map(({ chatId }) => chatId));
  const moments = [
    ...plan.faults.map((fault): [number, string] => [fault.atMs, `!! ${describeFault(fault)}`]),
    ...[...chatIds].flatMap((chatId) => momentsOf(history.chats.get(chatId))),
    ...violations.map(({ atMs, rule, chatId, what }): [number, string] => [
      atMs,
      `## ${rule} ${chatId}: ${what}`,
    ]),
  ];
  return moments
    .sort((a, b) => a[0] - b[0])
    .map(([atMs, text]) => `${(atMs / 1000).toFixed(3).padStart(8)} s  ${text}`);
}

function describeFault({ atMs: _atMs, kind, ...more }: Fault): string {
  return `${kind} ${Object.entries(more)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ')}`;
}

function momentsOf(chat: ChatHistory | undefined): [number, string][] {
  if (!chat) return [];
  const { chatId, said, posts, refreshes, shown } = chat;
  return [
    ...said.map((one): [number, string] => [
      one.startedAtMs,
      `${chatId}  ${one.who} ${one.text === '' ? 'joins' : `says "${one.text}"`}, ${after(one.startedAtMs, one.acknowledgedAtMs)}`,
    ]),
    ...posts.map((post): [number, string] => [
      post.atMs,
      `${chatId}  push: ${post.kind === 'trigger' ? `attempt ${post.attempt} at position ${post.position}` : `event ${post.index}`}${post.taken ? '' : ', not taken'}`,
    ]),
    ...shown.map(({ atMs, index }): [number, string] => [
      atMs,
      `${chatId}  the CometD client is shown event ${index}`,
    ]),
    ...refreshes.map((one): [number, string] => [
      one.startedAtMs,
      `${chatId}  refresh from ${one.from} to ${one.nextPosition - 1}, ${after(one.startedAtMs, one.answeredAtMs)}`,
    ]),
  ];
}

function after(startedAtMs: number, endedAtMs: number | undefined): string {
  return endedAtMs === undefined
    ? 'never acknowledged'
    : `acknowledged after ${Math.round(endedAtMs - startedAtMs)} ms`;
}
