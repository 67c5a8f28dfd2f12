import { DEAD_LETTER_STREAM, subjects } from '@flexpush/contracts';
import type { NatsBus } from '@flexpush/nats-bus';
import type { Stack } from '@flexpush/stack';
import { randomUUID } from 'node:crypto';
import { ChatClient, identityOf, pushUserData, type ChatIdentity } from '../chat-client';
import type { PushInbox, SeenPush } from './push-inbox';

export interface DemoSettings {
  /** flex-push-resend-delay of the demo, in seconds. */
  readonly resendDelayS: number;
  /** flex-push-resend-attempts of the demo. */
  readonly resendAttempts: number;
}

/** One step of the page's story, as it was observed from outside. */
export interface DemoStep {
  readonly step: string;
  readonly ok: boolean;
  readonly observed: string;
}

/** Thrown when a step was not observed; the rest of the story stands on it. */
export class NotObserved extends Error {}

/** A push may be this much later than its due time on a busy machine. */
const PATIENCE_MS = 5_000;
/**
 * The page's story, told through HTTP and NATS only: subscribe, publish, push, resend, refresh, plain push, removal, end.
 */
export class DemoStory {
  private readonly chats: ChatClient;

  constructor(
    private readonly stack: Stack,
    private readonly bus: NatsBus,
    private readonly inbox: PushInbox,
    private readonly settings: DemoSettings,
    private readonly onStep: (step: DemoStep) => void,
  ) {
    this.chats = new ChatClient(stack.chatApiUrl ?? '');
  }

  async tell(): Promise<void> {
    try {
      const startedAtMs = wallClockMs();
      const mira = await this.subscribe();
      await this.firstTrigger(mira);
      await this.resends(mira, startedAtMs);
      await this.confirm(mira);
      await this.agentJoins(mira);
      await this.repeatedPublish(mira);
      await this.badRecord(mira);
      await this.limit(mira);
      await this.ended(mira);
      await this.plain();
      await this.removed();
      await this.withoutPush();
      await this.afterKill();
    } finally {
      await this.chats.close();
    }
  }

  private async subscribe(): Promise<ChatIdentity> {
    const answer = await this.chats.requestChat(
      { nickname: 'Mira', subject: 'Order late' },
      pushUserData('demo-device-mira', { GCTI_GMS_NotifyRequestor: 'true' }),
    );
    const identity = identityOf(answer);
    this.check(
      'A web application starts a chat and asks for reliable pushes',
      answer.body.userData === undefined,
      `chat ${identity.chatId}, nextPosition ${answer.body.nextPosition}`,
    );
    return identity;
  }

  private async firstTrigger(mira: ChatIdentity): Promise<void> {
    const push = await this.trigger(mira, { attempt: 0, position: 1 });
    const { message } = push.body;
    const [event] = message.messages;
    const isPagesShape =
      message.chatId === 'deprecated' &&
      message.userId === 'deprecated' &&
      message.alias === '0' &&
      message.nextPosition === 2 &&
      event?.type === 'PushUrl' &&
      event.text === 'PUSH-NOTIFICATION' &&
      event.from.participantId === 0 &&
      event.userData?.['user-id'] === mira.userId &&
      event.userData['secure-key'] === undefined;
    this.check(
      "Her HTTP server gets the page's trigger for her own join (NotifyRequestor)",
      isPagesShape,
      describe(push),
    );
  }

  /** Due times count from the event, not from the arrival of the first trigger, which itself takes a moment. */
  private async resends(mira: ChatIdentity, startedAtMs: number): Promise<void> {
    for (const attempt of [1, 2]) {
      const push = await this.trigger(mira, { attempt, position: 1 });
      const afterMs = push.atMs - startedAtMs;
      const dueMs = attempt * this.settings.resendDelayS * 1000;
      this.check(
        `No refresh: resend ${attempt} follows after ${attempt} x ${this.settings.resendDelayS} s`,
        afterMs >= dueMs,
        `after ${Math.round(afterMs)} ms`,
      );
    }
  }

  private async confirm(mira: ChatIdentity): Promise<void> {
    const { body } = await this.chats.call('refresh', mira, { transcriptPosition: '1' });
    this.check(
      'She refreshes and gets the transcript',
      body.statusCode === 0 && body.messages[0]?.type === 'ParticipantJoined',
      `${body.messages.length} event(s), nextPosition ${body.nextPosition}`,
    );
    await this.quiet(mira, 'The refresh confirms: no further resend');
  }

  private async agentJoins(mira: ChatIdentity): Promise<void> {
    const ack = await this.publish(mira, {
      type: 'participant.join',
      userId: 'agent-7',
      nickname: 'Jonas',
      participantType: 'Agent',
    });
    await this.trigger(mira, { attempt: 0, position: 2 });
    await this.publish(mira, { type: 'message.send', userId: 'agent-7', text: 'Hi Mira, how can I help?' });
    const push = await this.trigger(mira, { attempt: 0, position: 2 });
    this.check(
      'An agent joins and writes over NATS: a trigger each, with the earliest position not retrieved',
      ack.seq > 0,
      describe(push),
    );
    const { body } = await this.chats.call('refresh', mira, { transcriptPosition: '2' });
    const texts = body.messages.map(({ type, text }) => text ?? type).join(', ');
    this.check('Her refresh brings both', body.messages.length === 2 && body.nextPosition === 4, texts);
  }

  private async repeatedPublish(mira: ChatIdentity): Promise<void> {
    const event = { type: 'message.send', userId: 'agent-7', text: 'Are you there?', id: randomUUID() };
    const first = await this.publish(mira, event);
    const second = await this.publish(mira, event);
    await this.trigger(mira, { attempt: 0, position: 4 });
    const { body } = await this.chats.call('refresh', mira, { transcriptPosition: '4' });
    this.check(
      'The same event published twice counts once',
      second.duplicate && second.seq === first.seq && body.messages.length === 1,
      `${body.messages.length} event, acknowledged as a repeat`,
    );
  }

  private async badRecord(mira: ChatIdentity): Promise<void> {
    const before = await this.deadLetters();
    await this.publish(mira, { type: 'message.send', userId: 'agent-7' });
    await this.publish(mira, { type: 'message.send', userId: 'agent-7', text: 'Still here.' });
    await this.trigger(mira, { attempt: 0, position: 5 });
    const after = await this.deadLetters();
    this.check(
      'A record that is not valid goes to the dead letters and stops nobody',
      after === before + 1,
      'refused with its reason; the next event was pushed',
    );
    await this.chats.call('refresh', mira, { transcriptPosition: '5' });
  }

  private async limit(mira: ChatIdentity): Promise<void> {
    await this.publish(mira, { type: 'url.push', userId: 'agent-7', url: 'https://example.org/orders' });
    for (let attempt = 0; attempt <= this.settings.resendAttempts; attempt++)
      await this.trigger(mira, { attempt, position: 6 });
    await this.quiet(mira, `Never refreshed: after resend ${this.settings.resendAttempts} it stays silent`);
  }

  private async ended(mira: ChatIdentity): Promise<void> {
    await this.publish(mira, { type: 'session.end' });
    const push = await this.trigger(mira, { attempt: 0, position: -1 });
    this.check(
      'The session ends: notify-position -1 and chatEnded',
      push.body.message.chatEnded,
      describe(push),
    );
    const { body } = await this.chats.call('refresh', mira, { transcriptPosition: '6' });
    this.check(
      'A late refresh still brings the rest',
      body.statusCode === 0 && body.chatEnded,
      `${body.messages.length} event(s)`,
    );
  }

  private async plain(): Promise<void> {
    const noah = identityOf(
      await this.chats.requestChat(
        { nickname: 'Noah' },
        pushUserData('demo-device-noah', { GCTI_GMS_PushResend: 'false' }),
      ),
    );
    await this.publish(noah, {
      type: 'participant.join',
      userId: 'agent-8',
      nickname: 'Lea',
      participantType: 'Agent',
    });
    await this.publish(noah, { type: 'message.send', userId: 'agent-8', text: 'Hello Noah' });
    const push = await this.inbox.wait(
      (one) =>
        one.body.deviceId === 'demo-device-noah' && one.body.message.messages[0]?.text === 'Hello Noah',
      PATIENCE_MS,
    );
    this.check(
      'Without PushResend each event comes once, with its content',
      push?.body.message.chatId === noah.chatId,
      push ? 'the message itself arrived' : 'nothing arrived',
    );
    const joins = this.inbox.all().filter((one) => one.body.deviceId === 'demo-device-noah');
    this.check('One POST per event', joins.length === 2, `${joins.length} POSTs for 2 events`);
  }

  private async removed(): Promise<void> {
    const zoe = identityOf(
      await this.chats.requestChat({ nickname: 'Zoe' }, pushUserData('demo-device-zoe')),
    );
    await this.publish(zoe, {
      type: 'participant.join',
      userId: 'agent-9',
      nickname: 'Ben',
      participantType: 'Agent',
    });
    await this.trigger(zoe, { attempt: 0, position: 1 });
    await this.publish(zoe, { type: 'participant.leave', userId: zoe.userId, removedBy: 'agent-9' });
    const push = await this.trigger(zoe, { attempt: 0, position: -1 });
    this.check('A removed participant gets notify-position -1', !push.body.message.chatEnded, describe(push));
    await this.chats.call('refresh', zoe, { transcriptPosition: '1' });
  }

  private async withoutPush(): Promise<void> {
    const { body } = await this.chats.requestChat(
      { nickname: 'Kim' },
      { GCTI_Chat_PushSubscribe: 'true', GCTI_GMS_PushDeviceType: 'customhttp' },
    );
    this.check(
      'A chat whose device id is missing starts without push, and says why',
      body.statusCode === 0 && body.userData?.['flexpush-push-reason'] === 'missing-device-id',
      JSON.stringify(body.userData),
    );
    const refused = await this.chats.requestChat({});
    this.check(
      'Without a nickname: HTTP 400 with code 161',
      refused.httpStatus === 400 && refused.body.errors?.[0]?.code === 161,
      JSON.stringify(refused.body.errors),
    );
  }

  /** The owner of the session dies between a trigger and its resend. */
  private async afterKill(): Promise<void> {
    const ida = identityOf(
      await this.chats.requestChat(
        { nickname: 'Ida' },
        pushUserData('demo-device-ida', { GCTI_GMS_NotifyRequestor: 'true' }),
      ),
    );
    const first = await this.trigger(ida, { attempt: 0, position: 1 });
    const actor = this.stack.servicesOf('session-actor')[0];
    if (actor?.pid) process.kill(actor.pid, 'SIGKILL');
    await this.publish(ida, {
      type: 'participant.join',
      userId: 'agent-5',
      nickname: 'Ole',
      participantType: 'Agent',
    });
    const push = await this.inbox.wait(
      (one) => one.sessionId === ida.chatId && one.attempt === 0 && one.atMs > first.atMs && one.n > first.n,
      PATIENCE_MS + 15_000,
    );
    this.check(
      'session-actor is killed; an event published meanwhile is pushed after its restart',
      push !== undefined,
      push ? describe(push) : 'nothing arrived',
    );
    const next = await this.trigger(ida, { attempt: 1, position: 1 });
    this.check('Its schedule goes on', next.attempt === 1, describe(next));
    const { body } = await this.chats.call('refresh', ida, { transcriptPosition: '1' });
    this.check(
      'Nothing of the chat is lost',
      body.messages.map(({ index }) => index).join() === '1,2',
      `${body.messages.length} events`,
    );
  }

  private async trigger(
    who: ChatIdentity,
    expected: { attempt: number; position: number },
  ): Promise<SeenPush> {
    const patienceMs = this.settings.resendDelayS * 1000 + PATIENCE_MS;
    const push = await this.inbox.take(
      (one) =>
        one.sessionId === who.chatId &&
        one.attempt === expected.attempt &&
        one.position === expected.position,
      patienceMs,
    );
    if (!push) {
      this.check(
        `A trigger with attempt ${expected.attempt} and position ${expected.position}`,
        false,
        'it did not come',
      );
      throw new NotObserved();
    }
    return push;
  }

  private async quiet(who: ChatIdentity, step: string): Promise<void> {
    const more = await this.inbox.take(
      (one) => one.sessionId === who.chatId,
      this.settings.resendDelayS * 1500,
    );
    this.check(
      step,
      more === undefined,
      more ? `unexpected: ${describe(more)}` : `silent for ${this.settings.resendDelayS * 1.5} s`,
    );
  }

  /** As a program that has only a NATS client: the server maps the subject to the log. */
  private async publish(
    chat: ChatIdentity,
    event: Record<string, string>,
  ): Promise<{ seq: number; duplicate: boolean }> {
    const record = { v: 1, id: randomUUID(), sessionId: chat.chatId, ...event };
    return this.bus.connection
      .jetstream()
      .publish(subjects.event(chat.chatId), JSON.stringify(record), { msgID: record.id });
  }

  private async deadLetters(): Promise<number> {
    const jsm = await this.bus.connection.jetstreamManager();
    return (await jsm.streams.info(DEAD_LETTER_STREAM)).state.messages;
  }

  private check(step: string, ok: boolean, observed: string): void {
    this.onStep({ step, ok, observed });
    if (!ok) throw new NotObserved();
  }
}

function wallClockMs(): number {
  return performance.timeOrigin + performance.now();
}

function describe(push: SeenPush): string {
  return `attempt ${push.attempt}, position ${push.position}${push.body.message.chatEnded ? ', chatEnded' : ''}`;
}
