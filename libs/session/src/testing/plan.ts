import type { ChatEvent, OptionValues } from '@flexpush/contracts';
import fc from 'fast-check';
import type { FoldContext, Outcome } from '../effects';
import type { Session } from '../session';
import { parseTimerMember, timersOf } from '../timers';
import { transition, type FoldInput } from '../transition';
import { deepFreeze } from './deep-freeze';
import * as records from './records';
import { optionsWith, START_MS } from './story';

/** Everybody who may act; the customer is the first. */
const CAST = ['mira', 'jonas', 'ada', 'nobody'] as const;

/** One thing that happens, chosen before it is known what the session will look like then. */
type Happening =
  | { kind: 'record'; record: FoldInput }
  /** The armed timer at `pick` (modulo how many there are) fires, `lateMs` after its due time. */
  | { kind: 'fire'; pick: number; lateMs: number }
  /** As `fire`, but with a score before the armed one, or of a timer that is not armed. */
  | { kind: 'stale'; pick: number; timer: 'early-score' | 'unarmed' }
  /** An earlier input comes once more. */
  | { kind: 'again'; pick: number }
  | { kind: 'options'; values: OptionValues };

export interface PlanStep {
  waitMs: number;
  happening: Happening;
}

export interface Plan {
  /** The chat and its first agent. */
  first: FoldInput[];
  steps: PlanStep[];
}

/** One fold of a played plan. */
export interface Step {
  record: FoldInput;
  context: FoldContext;
  before: Session | undefined;
  outcome: Outcome;
}

const agent = fc.constantFrom(...CAST.slice(1, 3));
const anyone = fc.oneof({ weight: 4, arbitrary: agent }, { weight: 1, arbitrary: fc.constantFrom(...CAST) });
const keyHash = fc.oneof(
  { weight: 5, arbitrary: fc.constant(records.KEY_HASH) },
  { weight: 1, arbitrary: fc.constant(records.WRONG_KEY_HASH) },
);
const position = fc.option(fc.nat(40), { nil: undefined });
const text = fc.constantFrom('', 'a', 'some text');

function recordsOf<T>(arbitrary: fc.Arbitrary<T>, make: (value: T) => FoldInput): fc.Arbitrary<Happening> {
  // Made once, so that playing the plan again gives the same record with the same id.
  return arbitrary.map((value) => ({ kind: 'record', record: deepFreeze(make(value)) }));
}

const publicRecord = fc.oneof(
  { weight: 3, arbitrary: recordsOf(agent, (userId) => records.join({ userId, nickname: userId })) },
  { weight: 1, arbitrary: recordsOf(anyone, (userId) => records.leave({ userId })) },
  { weight: 5, arbitrary: recordsOf(anyone, (userId) => records.message({ userId })) },
  { weight: 1, arbitrary: recordsOf(agent, (userId) => records.typingStart({ userId })) },
  { weight: 1, arbitrary: recordsOf(agent, (userId) => records.typingStop({ userId })) },
  { weight: 1, arbitrary: recordsOf(agent, (userId) => records.notice({ userId })) },
  { weight: 1, arbitrary: recordsOf(agent, (userId) => records.url({ userId })) },
);

const request = fc.oneof(
  {
    weight: 6,
    arbitrary: recordsOf(
      fc.record({ keyHash, transcriptPosition: position, preview: fc.option(text, { nil: undefined }) }),
      (given) => records.refresh(given),
    ),
  },
  {
    weight: 3,
    arbitrary: recordsOf(fc.record({ keyHash, transcriptPosition: position }), (given) =>
      records.send(given),
    ),
  },
  { weight: 1, arbitrary: recordsOf(fc.record({ keyHash, text }), (given) => records.startTyping(given)) },
  { weight: 1, arbitrary: recordsOf(fc.record({ keyHash }), (given) => records.stopTyping(given)) },
  { weight: 1, arbitrary: recordsOf(fc.record({ userId: anyone }), (given) => records.refresh(given)) },
  {
    weight: 2,
    arbitrary: fc.oneof(
      recordsOf(fc.constant({}), () => records.pushUrl()),
      recordsOf(fc.constant({}), () => records.updateNickname()),
      recordsOf(fc.constant({}), () => records.customNotice()),
      recordsOf(fc.constant({}), () => records.updateData()),
      recordsOf(fc.nat(40), (transcriptPosition) => records.readReceipt({ transcriptPosition })),
      recordsOf(fc.constant({}), () => records.fileUpload()),
      recordsOf(fc.constant({}), () => records.fileDownload()),
      recordsOf(fc.constant({}), () => records.fileDelete()),
      recordsOf(fc.constant({}), () => records.agentFile()),
    ),
  },
);

const address = fc.constantFrom('chat-api-1/client-1', 'chat-api-2/client-2');

/** A CometD client comes, goes, and is found gone; so is the device. */
const connection = fc.oneof(
  {
    weight: 2,
    arbitrary: recordsOf(fc.record({ keyHash, address, transcriptPosition: position }), (given) =>
      records.follow(given),
    ),
  },
  {
    weight: 2,
    arbitrary: recordsOf(
      fc.record({ address, transcriptPosition: fc.option(fc.nat(12), { nil: undefined }) }),
      (given) => records.away(given),
    ),
  },
  {
    weight: 1,
    arbitrary: recordsOf(fc.record({ deviceId: address, position }), (given) => records.gone(given)),
  },
);
const deviceGone = recordsOf(fc.constant({}), () => records.gone({ deviceId: 'dev-7f31c2' }));

const ending = fc.oneof(
  recordsOf(fc.constant({}), () => records.end()),
  recordsOf(fc.record({ keyHash }), (given) => records.disconnect(given)),
);

const optionValues: fc.Arbitrary<OptionValues> = fc.oneof(
  fc.constantFrom('1', '5', '15', '400').map((value) => ({ 'settings/flex-push-resend-delay': value })),
  fc.constantFrom('0', '1', '2', '10').map((value) => ({ 'settings/flex-push-resend-attempts': value })),
  fc.constantFrom('', 'secure-key', 'session-id').map((value) => ({ 'settings/flex-push-content': value })),
  fc.constantFrom('1', '60', '300').map((value) => ({ 'settings/flex-push-timeout': value })),
  fc.constantFrom('1', '45').map((value) => ({ 'settings/flex-disconnect-timeout': value })),
  fc.constantFrom('true', 'false').map((value) => ({ 'settings/flex-push-enabled': value })),
  fc.constantFrom('true', 'false').map((value) => ({ 'settings/flex-push-on-join': value })),
  fc.constantFrom('true', 'false').map((value) => ({ 'inactivity-control/enabled': value })),
  fc.constantFrom('0', '60').map((value) => ({ 'inactivity-control/timeout-alert2': value })),
  fc.constantFrom('true', 'false').map((value) => ({ 'settings/remove-on-bad-secure-key': value })),
  fc.constantFrom('true', 'false').map((value) => ({ 'chat/push_notification_to_active_client': value })),
  fc.constantFrom('', 'typing', 'message, leave').map((value) => ({ 'chat/filtering_chat_events': value })),
);

const lateMs = fc.oneof(
  { weight: 4, arbitrary: fc.nat(400) },
  { weight: 1, arbitrary: fc.nat(20_000) },
  { weight: 1, arbitrary: fc.nat(3_600_000) },
);

const usual = fc.oneof(
  { weight: 16, arbitrary: publicRecord },
  { weight: 12, arbitrary: request },
  { weight: 1, arbitrary: ending },
  { weight: 20, arbitrary: fc.record({ kind: fc.constant('fire' as const), pick: fc.nat(3), lateMs }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('stale' as const),
      pick: fc.nat(3),
      timer: fc.constantFrom('early-score' as const, 'unarmed' as const),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('again' as const), pick: fc.nat(60) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('options' as const), values: optionValues }) },
  { weight: 1, arbitrary: recordsOf(fc.constant({}), () => records.create()) },
);

const waitMs = fc.oneof(
  { weight: 12, arbitrary: fc.nat(2_000) },
  { weight: 1, arbitrary: fc.nat(30_000) },
  { weight: 1, arbitrary: fc.nat(700_000) },
);

const firstRecords = fc
  .record({
    resend: fc.oneof(
      { weight: 4, arbitrary: fc.constant(true) },
      { weight: 1, arbitrary: fc.constant(false) },
    ),
    notifyRequestor: fc.boolean(),
    includePayload: fc.option(fc.boolean(), { nil: undefined }),
  })
  .map((given) => {
    return [deepFreeze(records.createWith(given)), deepFreeze(records.join())];
  });

const stepsOf = (happening: fc.Arbitrary<Happening>) =>
  fc.array(fc.record({ waitMs, happening }), { minLength: 5, maxLength: 60, size: 'max' });

/** Chats of some dozen records, in which everything can happen at any time; the customer's client polls or is pushed to. */
export const plans: fc.Arbitrary<Plan> = fc.record({ first: firstRecords, steps: stepsOf(usual) });

const stepsWithClient = stepsOf(
  fc.oneof({ weight: 8, arbitrary: usual }, { weight: 4, arbitrary: connection }),
);

/** As `plans`, but a CometD client comes and goes as well, and the device may be found gone. */
export const plansWithClient: fc.Arbitrary<Plan> = fc.record({
  first: firstRecords,
  steps: fc
    .tuple(stepsWithClient, stepsOf(deviceGone))
    .map(([steps, ends]) => [...steps, ...ends.slice(0, 1), ...steps.slice(0, 5)]),
});

/** As `plansWithClient`, with a device that is pushed every event with what it says. */
export const plansWithTalkativeDevice: fc.Arbitrary<Plan> = fc.record({
  first: fc.constant([
    deepFreeze(records.createWith({ resend: false, notifyRequestor: true, includePayload: true })),
    deepFreeze(records.join()),
  ]),
  steps: stepsWithClient,
});

export interface PlayOptions {
  /** Feeds every input that many times. */
  times?: number;
  /** What becomes of the session between two records, as storing and loading it. */
  between?: (session: Session | undefined) => Session | undefined;
}

/** Plays a plan from its first record. Inputs are frozen to the leaves: a fold that writes to one throws. */
export function play(plan: Plan, o: PlayOptions = {}): Step[] {
  const steps: Step[] = [];
  let session: Session | undefined;
  let values: OptionValues = {};
  let options = deepFreeze(optionsWith(values));
  let atMs = START_MS;
  const said: ChatEvent[] = [];
  const transcript = (first: number) => said.slice(first - 1);
  const feed = (record: FoldInput) => {
    for (let count = 0; count < (o.times ?? 1); count++) {
      const context = Object.freeze({ atMs, options, transcript });
      const before = deepFreeze(o.between ? o.between(session) : session);
      const outcome = transition(before, record, context);
      steps.push({ record, context, before, outcome });
      if (before === undefined) said.length = 0;
      for (const effect of outcome.effects) if (effect.kind === 'append') said.push(effect.event);
      session = outcome.session;
    }
  };
  for (const record of plan.first) feed(record);
  for (const { waitMs, happening } of plan.steps) {
    atMs += waitMs;
    if (happening.kind === 'options') {
      values = { ...values, ...happening.values };
      options = deepFreeze(optionsWith(values));
    } else {
      const record = inputOf(happening, session, steps, o.times ?? 1);
      if (!record) continue;
      // A timer is claimed at its score or later, and so is one that does not match.
      if (record.type === 'timer.fire')
        atMs = Math.max(atMs, record.scoreMs + (happening.kind === 'fire' ? happening.lateMs : 0));
      feed(record);
    }
  }
  return steps;
}

function inputOf(
  happening: Exclude<Happening, { kind: 'options' }>,
  session: Session | undefined,
  steps: readonly Step[],
  times: number,
): FoldInput | undefined {
  if (happening.kind === 'record') return happening.record;
  if (happening.kind === 'again') return steps[(happening.pick * times) % steps.length]?.record;
  const armed = session ? [...timersOf(session)] : [];
  const [member, dueAtMs] = armed[happening.pick % armed.length] ?? [];
  const name = member === undefined ? undefined : parseTimerMember(member);
  if (!name || dueAtMs === undefined) return undefined;
  if (happening.kind === 'fire') return { type: 'timer.fire', ...name, scoreMs: dueAtMs };
  return happening.timer === 'early-score'
    ? { type: 'timer.fire', ...name, scoreMs: dueAtMs - 1 }
    : { type: 'timer.fire', ...name, userId: 'nobody', scoreMs: dueAtMs };
}
