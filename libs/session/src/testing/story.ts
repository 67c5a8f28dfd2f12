import {
  sessionOptions,
  type OptionValues,
  type PushJob,
  type SessionOptions,
  type TriggerJob,
} from '@flexpush/contracts';
import type { Effect, Outcome, PositionedEvent, Reply } from '../effects';
import { findParticipant, type Participant, type Session, type Subscription } from '../session';
import { parseTimerMember, timerMember, timersOf, type TimerKind } from '../timers';
import { transition, type FoldInput } from '../transition';
import { SERVICE, timerFire } from './records';

/** When every story begins, epoch ms. */
export const START_MS = 1_790_000_000_000;

/** Registrations are honoured, else most stories would be about chats without push. */
const STORY_VALUES: OptionValues = {
  'settings/flex-push-on-join': 'true',
  'push/pushEnabled': 'comet, customhttp, fcm, ios',
};

export function optionsWith(values: OptionValues = {}): SessionOptions {
  return sessionOptions({ ...STORY_VALUES, ...values }, SERVICE);
}

/** An effect in one line, for expectations that a reader can follow. */
function describeEffect(effect: Effect): string {
  switch (effect.kind) {
    case 'append': {
      const { index, type, from, text } = effect.event;
      return `#${index} ${type} ${from.nickname}${text === undefined ? '' : `: ${text}`}`;
    }
    case 'notify': {
      const { job } = effect;
      const to = job.deviceType === 'customhttp' ? '' : ` to ${job.deviceType} ${job.deviceId}`;
      const what =
        job.kind === 'trigger'
          ? `trigger attempt ${job.attempt} position ${job.position}`
          : `plain ${job.event ? `with #${job.event.index}` : 'without content'}`;
      return `${what}${to} (${job.userId} ${job.n})${job.chatEnded ? ' ended' : ''}`;
    }
    case 'withdraw':
      return `withdraw ${effect.subscription} up to ${effect.n}`;
    case 'announce':
      return `announce ${JSON.stringify(effect.notice)}`;
    case 'tell':
      return `tell ${effect.fact} ${JSON.stringify(effect.fields)}`;
    default:
      return effect satisfies never;
  }
}

/**
 * One chat as a test tells it: `given(...)` is what has happened, `when(...)` what happens now. The getters show what
 * the last `when`, or firing, has done. Time stands still until `after` or a firing moves it.
 */
export class Story {
  session: Session | undefined;
  nowMs = START_MS;
  /** Everything appended so far. */
  readonly transcript: PositionedEvent[] = [];
  private values: OptionValues = {};
  private outcomes: Outcome[] = [];

  /** Time passes; timers do not fire by themselves. */
  after(durationMs: number): this {
    this.nowMs += durationMs;
    return this;
  }

  /** Options as an operator sets them, e.g. `{ 'settings/flex-push-resend-delay': '5' }`. */
  set(values: OptionValues): this {
    this.values = { ...this.values, ...values };
    return this;
  }

  /** Folds records at the present time. */
  when(...records: FoldInput[]): this {
    this.outcomes = records.map((record) => this.fold(record));
    return this;
  }

  /** The armed timer of that kind fires when it is due, or later by `lateMs`, as often as asked. */
  fire(kind: TimerKind, o: { lateMs?: number; times?: number } = {}): this {
    const outcomes: Outcome[] = [];
    for (let count = 0; count < (o.times ?? 1); count++) {
      const dueAtMs = this.dueAtMs(kind);
      this.nowMs = Math.max(this.nowMs, dueAtMs + (o.lateMs ?? 0));
      outcomes.push(this.fold(timerFire(kind, dueAtMs)));
    }
    this.outcomes = outcomes;
    return this;
  }

  /** When the timer of that kind is due, epoch ms. */
  dueAtMs(kind: TimerKind): number {
    const { sessionId, userId } = timerFire(kind, 0);
    const dueAtMs = this.session && timersOf(this.session).get(timerMember({ kind, sessionId, userId }));
    if (dueAtMs === undefined) throw new Error(`no ${kind} timer is armed`);
    return dueAtMs;
  }

  /** Everything armed, in seconds since the story began. */
  get timers(): Partial<Record<TimerKind, number>> {
    const seconds: Partial<Record<TimerKind, number>> = {};
    for (const [member, dueAtMs] of this.session ? timersOf(this.session) : []) {
      const name = parseTimerMember(member);
      if (name) seconds[name.kind] = (dueAtMs - START_MS) / 1000;
    }
    return seconds;
  }

  get jobs(): PushJob[] {
    return this.raw.flatMap((effect) => (effect.kind === 'notify' ? [effect.job] : []));
  }

  get raw(): Effect[] {
    return this.outcomes.flatMap(({ effects }) => effects);
  }

  /** What was asked of the outside, one line each. */
  get effects(): string[] {
    return this.raw.map(describeEffect);
  }

  /** The pushes and withdrawals alone. */
  get pushes(): string[] {
    return this.raw.filter(({ kind }) => kind === 'notify' || kind === 'withdraw').map(describeEffect);
  }

  get triggers(): TriggerJob[] {
    return this.raw.flatMap((effect) =>
      effect.kind === 'notify' && effect.job.kind === 'trigger' ? [effect.job] : [],
    );
  }

  get reply(): Reply | undefined {
    return this.outcomes.at(-1)?.reply;
  }

  get refusal(): string | undefined {
    return this.outcomes.at(-1)?.refusal;
  }

  /** Mira's registration, which the story must have. */
  get subscription(): Subscription {
    const subscription = this.session && findParticipant(this.session, 'mira')?.subscription;
    if (!subscription) throw new Error('mira has no registration');
    return subscription;
  }

  get mira(): Participant {
    const participant = this.session && findParticipant(this.session, 'mira');
    if (!participant) throw new Error('mira is not in the chat');
    return participant;
  }

  private fold(record: FoldInput): Outcome {
    const context = {
      atMs: this.nowMs,
      options: optionsWith(this.values),
      transcript: (first: number) => this.transcript.filter(({ index }) => index >= first),
    };
    const outcome = transition(this.session, record, context);
    this.session = outcome.session;
    for (const effect of outcome.effects) if (effect.kind === 'append') this.transcript.push(effect.event);
    return outcome;
  }
}

/** A story in which these records have been folded already. */
export function given(...records: FoldInput[]): Story {
  return new Story().when(...records);
}
