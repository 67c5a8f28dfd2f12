import assert from 'node:assert/strict';
import type { TriggerJob } from '@flexpush/contracts';
import fc from 'fast-check';
import type { Effect, PositionedEvent } from './effects';
import { packSession, unpackSession } from './packed-session';
import { findParticipant, type Session, type Subscription } from './session';
import { plans, plansWithClient, plansWithTalkativeDevice, play, type Plan, type Step } from './testing/plan';
import { KEY_HASH, SECURE_KEY } from './testing/records';
import { timersOf } from './timers';

/** Per property. */
const RUNS = 250;

/** Checks a property on many random chats; a failure prints the shrunk plan and the seed. */
function forAnyChat(check: (steps: Step[], plan: Plan) => void): void {
  fc.assert(
    fc.property(plans, (plan) => check(play(plan), plan)),
    { numRuns: RUNS },
  );
}

/** As the runtime does it, through the text in Redis. */
function storedAndLoaded(session: Session | undefined): Session | undefined {
  if (!session) return undefined;
  const text = JSON.stringify(packSession(session));
  const loaded = unpackSession(JSON.parse(text), session.sessionId);
  assert(loaded, `not read again: ${text}`);
  return loaded;
}

/** Whatever the order of keys, and without those that are undefined. */
const outcomesOf = (steps: Step[]): unknown =>
  JSON.parse(JSON.stringify(steps.map(({ outcome }) => outcome)));

function subscriptionOf(session: Session | undefined): Subscription | undefined {
  return session && findParticipant(session, 'mira')?.subscription;
}

const eventsOf = ({ outcome }: Step): PositionedEvent[] =>
  outcome.effects.flatMap((effect) => (effect.kind === 'append' ? [effect.event] : []));
const triggersOf = (effects: readonly Effect[]): TriggerJob[] =>
  effects.flatMap((effect) =>
    effect.kind === 'notify' && effect.job.kind === 'trigger' ? [effect.job] : [],
  );
const isCreated = ({ before, outcome }: Step) => before === undefined && outcome.session !== undefined;
const hasChanged = ({ before, outcome }: Step) => before !== outcome.session;
const isTimer = ({ record }: Step, kind: string) => record.type === 'timer.fire' && record.kind === kind;
/** A refresh that was accepted, or refused to one who is out: both come with the right key. */
const isOwnRefresh = ({ record, outcome }: Step) =>
  record.type === 'request.refresh' &&
  record.userId === 'mira' &&
  (outcome.reply?.outcome === 'ok' || outcome.reply?.outcome === 'removed');
const isOwnLeave = ({ record, outcome }: Step) =>
  record.type === 'request.disconnect' && outcome.reply?.outcome === 'ok';

/** The first position that Mira has not retrieved, as her replies tell it. */
function unreadAfter(step: Step, unread: number): number {
  if (isCreated(step)) return 1;
  if (!isOwnRefresh(step) || !hasChanged(step) || step.outcome.reply?.outcome !== 'ok') return unread;
  return step.outcome.reply.nextPosition ?? unread;
}

describe('any chat', () => {
  it('I1: gives every event the next position, without gap or repeat', () => {
    forAnyChat((steps) => {
      let next = 1;
      for (const step of steps) {
        if (isCreated(step)) next = 1;
        for (const event of eventsOf(step)) assert.equal(event.index, next++);
        if (step.outcome.session) assert.equal(step.outcome.session.nextPosition, next);
        const { page } = step.outcome.reply ?? {};
        if (page) assert(page.first >= 1 && page.last < next && page.first <= page.last + 1);
      }
    });
  });

  it('I4: ends a schedule only by the refresh or the leave of its owner, or by the limit', () => {
    forAnyChat((steps) => {
      for (const step of steps) {
        const before = subscriptionOf(step.before)?.schedule;
        const after = subscriptionOf(step.outcome.session)?.schedule;
        if (before && !after) {
          const isPurge = isTimer(step, 'purge') && step.outcome.session === undefined;
          // A purge waits for schedules that are armed.
          assert(isOwnRefresh(step) || isOwnLeave(step) || (isPurge && before.status === 'exhausted'));
        }
        if (before?.status === 'armed' && after?.status === 'exhausted') {
          const isLimit = after.attempt >= step.context.options.resendAttemptMax;
          assert(isLimit);
          // Either its own resend was the last, or a fresh trigger began under a limit of none.
          assert(isTimer(step, 'resend') || after.attempt === 0);
        }
      }
    });
  });

  it('I5: has one schedule at the earliest unretrieved position, its attempts in order and not early', () => {
    forAnyChat((steps) => {
      let unread = 1;
      let lastN = 0;
      let attempt = -1;
      let notBeforeMs = 0;
      for (const step of steps) {
        const { options, atMs } = step.context;
        if (isCreated(step)) [lastN, attempt] = [0, -1];
        const unreadNow = unreadAfter(step, unread);
        for (const effect of step.outcome.effects) {
          if (effect.kind === 'withdraw') attempt = -1;
          for (const job of triggersOf([effect])) {
            assert.equal(job.n, ++lastN);
            if (job.attempt > 0) {
              assert(attempt >= 0, 'a resend without a first trigger');
              assert(isTimer(step, 'resend'));
              assert.equal(job.attempt, attempt + 1);
              assert(job.attempt <= options.resendAttemptMax);
              assert(atMs >= notBeforeMs, 'a resend before its time');
              notBeforeMs += options.resendDelayMs;
            } else notBeforeMs = atMs + options.resendDelayMs;
            attempt = job.attempt;
            // A preview that the refresh itself carries is pushed from where the client stood before.
            assert([-1, unread, unreadNow].includes(job.position));
          }
        }
        unread = unreadNow;
        const resends = step.outcome.session
          ? [...timersOf(step.outcome.session).keys()].filter((member) => member.startsWith('resend:'))
          : [];
        assert(resends.length <= 1);
        const schedule = subscriptionOf(step.outcome.session)?.schedule;
        if (schedule) assert.deepEqual([schedule.attempt, schedule.n], [attempt, lastN]);
      }
    });
  });

  it('I5: pushes nothing after a confirm until there is something new', () => {
    forAnyChat((steps) => {
      let isConfirmed = false;
      for (const step of steps) {
        for (const effect of step.outcome.effects) {
          if (effect.kind === 'withdraw') isConfirmed = true;
          for (const job of triggersOf([effect])) {
            const isNews = eventsOf(step).length > 0 || (isTimer(step, 'ping') && job.attempt === 0);
            assert(isNews || !isConfirmed);
            isConfirmed = false;
          }
        }
      }
    });
  });

  it('I4: a refresh ends the schedule, and takes back what was pushed', () => {
    forAnyChat((steps) => {
      for (const step of steps) {
        if (!isOwnRefresh(step) || !hasChanged(step)) continue;
        // No page of these chats is full, so the refresh has brought everything.
        assert.equal(subscriptionOf(step.outcome.session)?.schedule, undefined);
        const wasPushed = subscriptionOf(step.before)?.schedule !== undefined;
        const withdrawals = step.outcome.effects.filter(({ kind }) => kind === 'withdraw');
        if (wasPushed) assert.equal(withdrawals.length, 1);
        assert(triggersOf(step.outcome.effects.slice(-1)).length === 0, 'pushed behind the confirmation');
      }
    });
  });

  it('I5: a removed participant is told -1, and is told nothing else', () => {
    forAnyChat((steps) => {
      for (const step of steps) {
        if (subscriptionOf(step.before)?.status !== 'removed') continue;
        for (const job of triggersOf(step.outcome.effects)) assert.equal(job.position, -1);
        assert(!step.outcome.effects.some((e) => e.kind === 'notify' && e.job.kind === 'plain'));
      }
    });
  });

  it('I5: does not burn its attempts in a burst, however late the fires come', () => {
    forAnyChat((steps) => {
      for (const step of steps) {
        const schedule = subscriptionOf(step.outcome.session)?.schedule;
        if (!isTimer(step, 'resend') || !hasChanged(step) || schedule?.status !== 'armed') continue;
        const { atMs, options } = step.context;
        assert(schedule.dueAtMs - atMs >= options.resendDelayMs / 2);
      }
    });
  });

  it('announces each event at once to whom it concerns, and no other (CONTRACT 6 #7, #34, #35)', () => {
    forAnyChat((steps) => {
      for (const step of steps) {
        const before = subscriptionOf(step.before) ?? subscriptionOf(step.outcome.session);
        if (before?.status === 'removed') continue;
        const { effects } = step.outcome;
        effects.forEach((effect, i) => {
          if (effect.kind !== 'append') return;
          const next = effects[i + 1];
          const job = next?.kind === 'notify' ? next.job : undefined;
          const isAnnounced = job?.kind === 'plain' || (job?.attempt === 0 && job.position !== -1);
          assert.equal(isAnnounced, before !== undefined && isPushable(step, effect.event));
        });
      }
    });
  });

  it('I6: strands nobody: unretrieved content has an armed timer or an exhausted schedule', () => {
    forAnyChat((steps) => {
      let unread = 1;
      let pushable: number[] = [];
      for (const step of steps) {
        if (isCreated(step)) pushable = [];
        unread = unreadAfter(step, unread);
        const subscription = subscriptionOf(step.outcome.session);
        for (const event of eventsOf(step)) if (isPushable(step, event)) pushable.push(event.index);
        pushable = pushable.filter((index) => index >= unread);
        if (!step.outcome.session || !subscription?.resend || subscription.status !== 'open') continue;
        if (pushable.length === 0) continue;
        assert(subscription.schedule, 'nothing announces it');
        const isArmed = timersOf(step.outcome.session).has('resend:chat-1:mira');
        assert.equal(isArmed, subscription.schedule.status === 'armed');
      }
    });
  });

  it('I6: an open registration always has its place on the ladder armed', () => {
    forAnyChat((steps) => {
      for (const { outcome } of steps) {
        if (!outcome.session || subscriptionOf(outcome.session)?.status !== 'open') continue;
        const ladder = [...timersOf(outcome.session)].filter(([member]) =>
          /^(ping|disconnect):/.test(member),
        );
        assert.equal(ladder.length, 1);
        assert(Number.isFinite(ladder[0]?.[1]));
      }
    });
  });

  it('I10: shows the secure key only in pushes whose flex-push-content asks for it', () => {
    forAnyChat((steps) => {
      for (const { outcome, context } of steps) {
        for (const effect of outcome.effects) {
          const isAsked =
            effect.kind === 'notify' &&
            effect.job.kind === 'trigger' &&
            context.options.pushContent.includes('secure-key');
          const shown = JSON.stringify(effect);
          assert.equal(shown.includes(SECURE_KEY), isAsked);
          assert(!shown.includes(KEY_HASH));
        }
        const said = JSON.stringify([outcome.reply, outcome.refusal]);
        assert(!said.includes(SECURE_KEY) && !said.includes(KEY_HASH));
      }
    });
  });

  it('is refused nothing that had an effect, and keeps what was refused unchanged', () => {
    forAnyChat((steps) => {
      for (const { outcome, before } of steps) {
        if (outcome.refusal === undefined) continue;
        assert.equal(outcome.effects.length, 0);
        assert.equal(outcome.session, before);
      }
    });
  });

  it('is the same when every record comes twice (I1: once in effect)', () => {
    forAnyChat((once, plan) => {
      const twice = play(plan, { times: 2 });
      const effects = (steps: Step[]) => steps.flatMap(({ outcome }) => outcome.effects);
      assert.equal(JSON.stringify(effects(twice)), JSON.stringify(effects(once)));
      assert.deepEqual(twice.at(-1)?.outcome.session, once.at(-1)?.outcome.session);
    });
  });

  it('goes on alike when it is stored and loaded between any two records (I8)', () => {
    forAnyChat((steps, plan) =>
      assert.deepEqual(outcomesOf(play(plan, { between: storedAndLoaded })), outcomesOf(steps)),
    );
  });
});

/** As `forAnyChat`, with a CometD client that comes and goes. */
function forAnyClient(check: (steps: Step[], plan: Plan) => void, some = plansWithClient): void {
  fc.assert(
    fc.property(some, (plan) => check(play(plan), plan)),
    { numRuns: RUNS },
  );
}

const plainEvents = (effects: readonly Effect[], type: string) =>
  effects.flatMap((effect) =>
    effect.kind === 'notify' && effect.job.kind === 'plain' && effect.job.deviceType === type
      ? [effect.job.event?.index]
      : [],
  );

describe('any chat with a CometD client', () => {
  it('sends each event to the connected client, all of them and in order, and to nobody else (CONTRACT 2.5)', () => {
    forAnyClient((steps) => {
      for (const step of steps) {
        const before = subscriptionOf(step.before);
        const isConnected = before?.address !== undefined && before.status === 'open';
        const isMove = ['request.follow', 'request.away', 'push.gone'].includes(step.record.type);
        if (isMove || step.record.type === 'session.create') continue;
        const sent = plainEvents(step.outcome.effects, 'comet').filter((index) => index !== undefined);
        assert.deepEqual(sent, isConnected ? eventsOf(step).map(({ index }) => index) : []);
        const toDevice = step.outcome.effects.filter(
          (e) => e.kind === 'notify' && e.job.deviceType !== 'comet',
        );
        if (isConnected && !step.context.options.pushToActiveClient) assert.equal(toDevice.length, 0);
      }
    });
  });

  it('loses no event over any coming and going: what the client has not read goes to its device', () => {
    forAnyClient((steps) => {
      const had = new Set<number>();
      const byClient = new Set<number>();
      const said = new Map<number, PositionedEvent>();
      for (const step of steps) {
        const { record, outcome } = step;
        const { effects, reply } = outcome;
        // Another chat, with another device.
        if (isCreated(step) && step !== steps[0]) return;
        const isGoing = record.type === 'request.away' || record.type === 'push.gone';
        const wasAt = subscriptionOf(step.before)?.address;
        if (isGoing && wasAt !== undefined && subscriptionOf(outcome.session)?.address === undefined) {
          // What it read for itself by replies it has; what was sent to it behind its last word it may not have.
          const last =
            record.type === 'push.gone' ? (record.position ?? 1_000) - 1 : record.transcriptPosition;
          for (const index of byClient) {
            const event = said.get(index);
            if (last !== undefined && index > last && event && isPushable(step, event)) had.delete(index);
          }
          byClient.clear();
        }
        if (reply?.outcome === 'ok' && reply.page)
          for (let index = reply.page.first; index <= reply.page.last; index++) had.add(index);
        for (const type of ['comet', 'customhttp'])
          for (const index of plainEvents(effects, type)) {
            if (index === undefined) continue;
            had.add(index);
            if (type === 'comet') byClient.add(index);
          }
        // What nobody is told of by the options, or after its own leave, or without a device, is read when it returns.
        for (const event of eventsOf(step)) {
          said.set(event.index, event);
          const told = subscriptionOf(step.before) ?? subscriptionOf(outcome.session);
          if (!told || told.status !== 'open' || !isPushable(step, event)) had.add(event.index);
        }
        const end = findParticipant(outcome.session ?? ({ participants: [] } as never), 'mira')?.lastPosition;
        for (let index = 1; index < (outcome.session?.nextPosition ?? 1); index++)
          assert(had.has(index) || (end !== undefined && index > end), `event ${index} reached nobody`);
      }
    }, plansWithTalkativeDevice);
  });

  it('I6: a reliable registration whose client is away has a schedule for what was not read', () => {
    forAnyClient((steps) => {
      for (const { record, outcome, context } of steps) {
        const subscription = subscriptionOf(outcome.session);
        if (record.type !== 'request.away' || outcome.effects.length === 0 || !subscription?.resend) continue;
        if (context.options.resendAttemptMax > 0) assert.equal(subscription.schedule?.attempt, 0);
        const [trigger] = triggersOf(outcome.effects);
        const isRemoved = subscription.status === 'removed';
        assert.equal(trigger?.position, isRemoved ? -1 : (record.transcriptPosition ?? -2) + 1);
      }
    });
  });

  it('has one place on the ladder while it is in the chat, and goes on alike when stored and loaded (I8)', () => {
    forAnyClient((steps, plan) => {
      for (const { outcome } of steps) {
        const mira = outcome.session && findParticipant(outcome.session, 'mira');
        if (!outcome.session || mira?.status !== 'in') continue;
        const ladder = [...timersOf(outcome.session).keys()].filter((m) => /^(ping|disconnect):/.test(m));
        assert.equal(ladder.length, 1);
      }
      assert.deepEqual(outcomesOf(play(plan, { between: storedAndLoaded })), outcomesOf(steps));
    });
  });
});

/** An independent reading of who is pushed what (CONTRACT 6 #34, #35). */
function isPushable({ record, context, before, outcome }: Step, event: PositionedEvent): boolean {
  const kinds: Record<string, string> = {
    Message: 'message',
    ParticipantJoined: 'join',
    ParticipantLeft: 'leave',
    PushUrl: 'url',
    CustomNotice: 'notice',
    FileUploaded: 'file',
    FileDeleted: 'file',
    TypingStarted: 'typing',
    TypingStopped: 'typing',
  };
  if (context.options.filteredEvents.includes(kinds[event.type] ?? '')) return false;
  const isHers = event.from.participantId === 1;
  const isHerDoing =
    !['timer.fire', 'session.end', 'participant.leave'].includes(record.type) &&
    outcome.reply?.outcome !== 'bad-key';
  const subscription =
    subscriptionOf(before) ?? (record.type === 'session.create' ? record.subscription : undefined);
  return !(isHers && isHerDoing) || subscription?.notifyRequestor === true;
}
