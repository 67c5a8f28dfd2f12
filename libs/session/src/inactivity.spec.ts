import {
  create,
  createWith,
  disconnect,
  end,
  join,
  leave,
  message,
  refresh,
  send,
  startTyping,
  stopTyping,
  timerFire,
  WRONG_KEY_HASH,
} from './testing/records';
import { given, START_MS } from './testing/story';
import type { FoldInput } from './transition';

const TIMEOUT = 'settings/flex-push-timeout';
const DISCONNECT = 'settings/flex-disconnect-timeout';

describe('the inactivity ladder (CONTRACT 4.2a)', () => {
  it('goes timeout, ping, timeout, disconnect timeout, removal (CONTRACT 6 #12, #13)', () => {
    const story = given(create()).set({ 'settings/flex-push-resend-attempts': '0' });
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.fire('ping').effects).toEqual(['trigger attempt 0 position 1 (mira 1)']);
    expect(story.timers).toEqual({ ping: 600 });
    expect(story.fire('ping').effects).toEqual([]);
    expect(story.timers).toEqual({ disconnect: 645 });
    expect(story.fire('disconnect').effects).toEqual([
      '#2 ParticipantLeft Mira',
      'trigger attempt 0 position 1 (mira 2) ended',
      'trigger attempt 0 position -1 (mira 3) ended',
    ]);
    expect(story.timers).toEqual({ purge: 1_245 });
  });

  it('removes the customer only, when others are there (CONTRACT 6 #15)', () => {
    const story = given(create(), join(), refresh()).fire('ping', { times: 2 }).fire('disconnect');
    expect(story.session?.status).toBe('open');
    expect(story.pushes.at(-1)).toBe('trigger attempt 0 position -1 (mira 4)');
  });

  it('pings with the current position, and resends the ping like any other (CONTRACT 6 #12)', () => {
    const story = given(create(), join(), refresh()).fire('ping');
    expect(story.pushes).toEqual(['trigger attempt 0 position 3 (mira 2)']);
    expect(story.timers).toEqual({ resend: 315, ping: 600 });
    expect(story.fire('resend').pushes).toEqual(['trigger attempt 1 position 3 (mira 3)']);
    expect(story.when(refresh()).pushes).toEqual(['withdraw chat-1:mira up to 3']);
  });

  it('the ping starts an exhausted schedule anew (I6)', () => {
    const story = given(create())
      .set({ 'settings/flex-push-resend-attempts': '1' })
      .when(join())
      .fire('resend');
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.fire('ping').pushes).toEqual(['trigger attempt 0 position 1 (mira 3)']);
    expect(story.timers).toEqual({ resend: 315, ping: 600 });
  });

  it('removes a polling client after flex-disconnect-timeout without a request (reason 3)', () => {
    const story = given(create({ subscription: undefined }), join());
    expect(story.timers).toEqual({ disconnect: 45 });
    story.after(30_000).when(refresh());
    expect(story.timers).toEqual({ disconnect: 45 });
    expect(story.fire('disconnect').effects).toEqual([]);
    expect(story.timers).toEqual({ disconnect: 75 });
    expect(story.fire('disconnect').effects).toEqual(['#3 ParticipantLeft Mira']);
    expect([story.session?.status, story.timers]).toEqual(['open', {}]);
    expect(story.when(refresh()).reply?.outcome).toBe('removed');
  });

  it('gives a polling client one more period when its timer fires late', () => {
    const story = given(create({ subscription: undefined }), join()).fire('disconnect', { lateMs: 5_001 });
    expect([story.effects, story.timers]).toEqual([[], { disconnect: 95.001 }]);
  });

  it('keeps a polling client in for days as long as it asks', () => {
    const story = given(create({ subscription: undefined }), join());
    for (let asked = 0; asked < (3 * 86_400) / 40; asked++) {
      story.after(40_000);
      while (story.dueAtMs('disconnect') <= story.nowMs) story.fire('disconnect');
      story.when(refresh({ transcriptPosition: 3 }));
    }
    expect(story.mira.status).toBe('in');
  });

  it('says the reasons of leaves as the contract shows them: 0 and 3 in customhttp pushes only (CONTRACT 4.3)', () => {
    const plain = createWith({ resend: false, notifyRequestor: true });
    const attributes = (code: number) => ({ GCTI_SYSTEM: { 'quit-reason-code': code } });
    const leaveOf = (story: ReturnType<typeof given>) => ({
      pushed: story.jobs.map((job) => (job.kind === 'plain' ? job.event?.eventAttributes : undefined)).at(-1),
      told: story.transcript.at(-1)?.eventAttributes,
    });
    const left = given(plain, join(), disconnect());
    expect(leaveOf(left)).toEqual({ pushed: attributes(0), told: undefined });
    const inactive = given(plain, join()).fire('ping', { times: 2 }).fire('disconnect');
    expect(leaveOf(inactive)).toEqual({ pushed: attributes(3), told: undefined });
    const removed = given(plain, join(), leave({ userId: 'mira', removedBy: 'jonas' }));
    expect(leaveOf(removed)).toEqual({ pushed: attributes(4), told: attributes(4) });
    expect(leaveOf(given(plain, join(), end()))).toEqual({ pushed: attributes(5), told: attributes(5) });
    const stranger = given(plain, join()).set({ 'settings/remove-on-bad-secure-key': 'true' });
    stranger.when(refresh({ keyHash: WRONG_KEY_HASH }));
    expect(leaveOf(stranger)).toEqual({ pushed: attributes(6), told: attributes(6) });
  });

  it.each<{ name: string; record: FoldInput }>([
    { name: 'refresh', record: refresh() },
    { name: 'send', record: send() },
    { name: 'startTyping', record: startTyping() },
    { name: 'stopTyping', record: stopTyping() },
  ])('any request starts it again from the bottom: $name', ({ record }) => {
    for (const pings of [0, 1, 2]) {
      const story = given(create(), join()).fire('ping', { times: pings }).after(10_000).when(record);
      expect(story.mira.inactivity).toEqual(
        expect.objectContaining({ step: 'quiet', lastRequestAtMs: story.nowMs }),
      );
    }
  });

  it.each<{ name: string; record: FoldInput }>([
    { name: 'the activity of others', record: message() },
    { name: 'a wrong key', record: refresh({ keyHash: WRONG_KEY_HASH }) },
  ])('$name does not', ({ record }) => {
    const story = given(create(), join()).after(299_000).when(record);
    expect(story.fire('ping').triggers).toHaveLength(1);
  });

  it('a request leaves the timer as it is, and the fire arms it anew (DESIGN 8)', () => {
    const story = given(create()).after(100_000).when(refresh());
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.fire('ping').effects).toEqual([]);
    expect(story.timers).toEqual({ ping: 400 });
    expect(story.fire('ping').triggers).toHaveLength(1);
  });

  it('a request on the last step turns the disconnect timer back into one for the ping', () => {
    const story = given(create()).fire('ping', { times: 2 });
    const staleScoreMs = story.dueAtMs('disconnect');
    story.after(20_000).when(refresh());
    expect(story.timers).toEqual({ ping: 645 });
    const { session } = story.after(25_000).when(timerFire('disconnect', staleScoreMs));
    expect(story.effects).toEqual([]);
    expect(session).toBe(story.session);
    expect(story.fire('ping').timers).toEqual({ ping: 920 });
  });

  it.each([
    {
      name: 'a longer timeout is seen when the old one is over',
      values: { [TIMEOUT]: '400' },
      timers: { ping: 400 },
      triggers: 0,
    },
    {
      name: 'a shorter one from the next arming',
      values: { [TIMEOUT]: '60' },
      timers: { ping: 360, resend: 315 },
      triggers: 1,
    },
  ])('options while it runs: $name', ({ values, timers, triggers }) => {
    const story = given(create()).set(values).fire('ping');
    expect(story.triggers).toHaveLength(triggers);
    expect(story.timers).toEqual(timers);
  });

  it('flex-disconnect-timeout counts from when it is started', () => {
    const story = given(createWith({ resend: false }))
      .set({ [DISCONNECT]: '10' })
      .fire('ping', { times: 2 });
    expect(story.timers).toEqual({ disconnect: 610 });
  });

  it('ends when the participant leaves', () => {
    const story = given(create(), join(), disconnect());
    expect(story.timers).toEqual({});
    story.after(300_000).when(timerFire('ping', START_MS + 300_000));
    expect(story.effects).toEqual([]);
  });
});

describe('an inactivity fire after an outage (DESIGN 8)', () => {
  const plain = () => given(createWith({ resend: false }));

  it.each([
    { name: 'by 5 s: it counts', lateMs: 5_000, pushes: 1, timers: { ping: 605 } },
    { name: 'by more: one full period more', lateMs: 5_001, pushes: 0, timers: { ping: 605.001 } },
    { name: 'by an hour: one full period more', lateMs: 3_600_000, pushes: 0, timers: { ping: 4_200 } },
  ])('late before the ping $name', ({ lateMs, pushes, timers }) => {
    const story = plain().fire('ping', { lateMs });
    expect(story.pushes).toHaveLength(pushes);
    expect(story.timers).toEqual(timers);
  });

  it.each([
    { name: 'by 5 s: it counts', lateMs: 5_000, timers: { disconnect: 650 } },
    { name: 'by more: one full period more', lateMs: 5_001, timers: { ping: 905.001 } },
  ])('late after the ping $name', ({ lateMs, timers }) => {
    const story = plain().fire('ping').fire('ping', { lateMs });
    expect([story.pushes, story.timers]).toEqual([[], timers]);
  });

  it.each([
    { name: 'by 5 s: it counts', lateMs: 5_000, status: 'ended', timers: { purge: 1_250 } },
    { name: 'by more: one full period more', lateMs: 5_001, status: 'open', timers: { disconnect: 695.001 } },
  ])('late before the removal $name', ({ lateMs, status, timers }) => {
    const story = plain().fire('ping', { times: 2 }).fire('disconnect', { lateMs });
    expect(story.session?.status).toBe(status);
    expect(story.timers).toEqual(timers);
  });

  it('a request in the meantime counts from its own time, however late the fire', () => {
    const story = plain().after(200_000).when(refresh()).fire('ping', { lateMs: 60_000 });
    expect(story.timers).toEqual({ ping: 500 });
  });

  it('nobody is removed within one burst of late fires', () => {
    const story = plain().after(7_200_000);
    story.fire('ping');
    expect(story.timers).toEqual({ ping: 7_500 });
    expect(story.fire('ping').pushes).toEqual(['plain without content (mira 1)']);
  });
});

it('a shortened time-out counts from the next request on', () => {
  const story = given(create(), join())
    .set({ [TIMEOUT]: '10' })
    .after(1_000)
    .when(refresh());
  expect(story.timers).toEqual({ ping: 11 });
});
