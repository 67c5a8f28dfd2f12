import { subjects } from './subjects';

describe('subjects', () => {
  it.each([
    { subject: subjects.event('chat-1'), expected: 'flexpush.event.chat-1' },
    { subject: subjects.logPublic(5), expected: 'flexpush.log.5.pub' },
    { subject: subjects.logInternal(5), expected: 'flexpush.log.5.int' },
    { subject: subjects.logShard(5), expected: 'flexpush.log.5.*' },
    { subject: subjects.deadLetter(5), expected: 'flexpush.deadletter.5' },
    { subject: subjects.reply('api_1'), expected: 'flexpush.reply.api_1' },
    { subject: subjects.gmsPush('gms-1'), expected: 'flexpush.gms.gms-1.push' },
    { subject: subjects.gmsWithdraw('gms-1'), expected: 'flexpush.gms.gms-1.withdraw' },
    { subject: subjects.pushResult('actor-1'), expected: 'flexpush.actor.actor-1.result' },
    { subject: subjects.actorProbe('actor-1'), expected: 'flexpush.actor.actor-1.probe' },
  ])('$expected', ({ subject, expected }) => {
    expect(subject).toBe(expected);
  });

  const built = {
    event: subjects.event,
    reply: subjects.reply,
    gmsPush: subjects.gmsPush,
    gmsWithdraw: subjects.gmsWithdraw,
    pushResult: subjects.pushResult,
    actorProbe: subjects.actorProbe,
  };
  const bad = ['', '*', '>', 'a.b', 'a b', 'a\r\n', 'a:b', 'x'.repeat(65)];
  it.each(Object.entries(built).flatMap(([name, build]) => bad.map((token) => ({ name, build, token }))))(
    '$name refuses $token',
    ({ build, token }) => {
      expect(() => build(token)).toThrow('not a subject token');
    },
  );
});
