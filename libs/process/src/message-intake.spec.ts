import { peerHeartbeatSchema } from '@flexpush/contracts';
import { anything, assert, oneof, property, string } from 'fast-check';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { MessageIntake } from './message-intake';

const BEAT = { v: 1, nodeId: 'actor-1', incarnation: 'one', state: 'up' };

function given() {
  const registry = new Registry();
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => () => undefined };
  const intake = new MessageIntake({ registry, clock, log });
  return {
    lines,
    read: (text: string) => intake.read('heartbeat', peerHeartbeatSchema, text),
    pass: (ms: number) => (nowMs += ms),
    counted: async () =>
      (await registry.getMetricsAsJSON())[0]?.values.map(({ value, labels }) => ({ value, labels })),
  };
}

describe('MessageIntake', () => {
  it('hands on what has the expected shape, without what is unknown in it', () => {
    const { read, lines } = given();
    expect(read(JSON.stringify({ ...BEAT, more: 1 }))).toEqual(BEAT);
    expect(lines).toEqual([]);
  });

  it('counts what has not, and never shows it', async () => {
    const { read, lines, counted } = given();
    for (const text of ['no json', 'null', JSON.stringify({ ...BEAT, nodeId: 'secret secret' })])
      expect(read(text)).toBeUndefined();
    expect(await counted()).toEqual([{ value: 3, labels: { kind: 'heartbeat' } }]);
    expect(lines).toHaveLength(3);
    expect(lines[2]).toMatchObject({ msg: 'message.malformed', kind: 'heartbeat', where: 'nodeId' });
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  it('logs a few of many, and how many it held back', () => {
    const { read, lines, pass } = given();
    for (let i = 0; i < 1_000; i++) read('x');
    expect(lines).toHaveLength(5);
    pass(10_000);
    read('x');
    expect(lines[5]).toMatchObject({ heldBack: 995 });
  });

  it('throws on nothing', () => {
    const { read } = given();
    assert(
      property(oneof(string(), anything()), (message) => {
        read(typeof message === 'string' ? message : (JSON.stringify(message) ?? ''));
      }),
      { numRuns: 20_000 },
    );
  });
});
