import { transition } from '@flexpush/session';

/** What can be switched off, to see that the checker finds what it is there for. No service has such switches. */
export const switches = [
  'checkpoint-comparison',
  'commit-before-effect',
  'barrier',
  'term-check',
  'outbox-redispatch',
  'confirm-check',
  'replay',
] as const;
export type Switch = (typeof switches)[number];

/** The fold without its look whether a resend is still wanted: a schedule that a refresh has ended goes on. */
export const foldWithoutConfirmCheck: typeof transition = (session, record, context) => {
  if (record.type !== 'timer.fire' || record.kind !== 'resend' || !session)
    return transition(session, record, context);
  const participants = session.participants.map((participant) => {
    const { subscription } = participant;
    if (participant.userId !== record.userId || !subscription || subscription.schedule) return participant;
    const schedule = { n: subscription.lastN, attempt: 0, status: 'armed' as const, dueAtMs: record.scoreMs };
    return { ...participant, subscription: { ...subscription, schedule } };
  });
  return transition({ ...session, participants }, record, context);
};

/** A register of terms that obeys everyone. */
export const anyTerm = {
  note: ({ term }: { term: number }) => term,
  isDeposed: () => false,
};
