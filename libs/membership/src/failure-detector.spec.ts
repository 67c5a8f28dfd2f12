import * as fc from 'fast-check';
import { FailureDetector, type DetectorOptions, type Heartbeat } from './failure-detector';

const OPTIONS: DetectorOptions = {
  heartbeatIntervalMs: 1_000,
  suspectAfterMs: 1_500,
  deadAfterMs: 3_000,
  peersMax: 4,
};

function beat(nodeId: string, over: Partial<Heartbeat> = {}): Heartbeat {
  return { nodeId, incarnation: 'one', state: 'ready', ...over };
}

/** Asks every `stepMs` up to `untilMs`, as a healthy observer does. */
function askUntil(detector: FailureDetector<Heartbeat>, fromMs: number, untilMs: number, stepMs = 250): void {
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += stepMs) detector.status('', nowMs);
}

function detectorAt0(): FailureDetector<Heartbeat> {
  const detector = new FailureDetector<Heartbeat>(OPTIONS);
  detector.judge(0);
  return detector;
}

function living(detector: FailureDetector<Heartbeat>, nowMs: number): string[] {
  return detector.judge(nowMs).peers.map(({ heartbeat }) => heartbeat.nodeId);
}

describe('silence', () => {
  it.each([
    { name: 'just heard', silentMs: 0, status: 'alive' },
    { name: 'punctual', silentMs: 1_000, status: 'alive' },
    { name: 'one beat missed', silentMs: 1_500, status: 'suspect' },
    { name: 'almost dead', silentMs: 2_999, status: 'suspect' },
    { name: 'three beats missed', silentMs: 3_000, status: 'dead' },
  ])('$name: $status', ({ silentMs, status }) => {
    const detector = detectorAt0();
    expect(detector.signal(beat('a'), 0)).toBe('joined');
    askUntil(detector, 0, silentMs);
    expect(detector.status('a', silentMs)).toBe(status);
  });

  it('calls an unknown peer dead', () => {
    expect(detectorAt0().status('nobody', 0)).toBe('dead');
  });

  it('tells a death once', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    askUntil(detector, 0, 3_000);
    expect(detector.judge(3_000)).toEqual({ peers: [], died: [beat('a')] });
    expect(detector.judge(3_001)).toEqual({ peers: [], died: [] });
  });

  it('lets a peer that was silent too long join again with the same incarnation', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    askUntil(detector, 0, 4_000);
    expect(detector.signal(beat('a'), 4_000)).toBe('joined');
    expect(detector.status('a', 4_000)).toBe('alive');
  });

  it('takes evidence that is better than silence, and believes a later beat again', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    expect(detector.declareDead({ nodeId: 'a', incarnation: 'another' })).toBe(false);
    expect(detector.declareDead({ nodeId: 'a', incarnation: 'one' })).toBe(true);
    expect(detector.status('a', 1)).toBe('dead');
    expect(detector.signal(beat('a'), 2)).toBe('joined');
  });
});

describe('incarnations', () => {
  it('replaces the old incarnation at once and ignores what it still sends', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    expect(detector.signal(beat('a', { incarnation: 'two' }), 10)).toBe('restarted');
    expect(detector.signal(beat('a'), 20)).toBe('stale');
    expect(detector.signal(beat('a', { state: 'gone' }), 30)).toBe('stale');
    expect(detector.judge(40).peers).toEqual([
      { heartbeat: beat('a', { incarnation: 'two' }), status: 'alive' },
    ]);
  });

  it('removes a peer that says gone, and a late beat does not bring it back', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    expect(detector.signal(beat('a', { state: 'gone' }), 10)).toBe('left');
    expect(detector.signal(beat('a'), 11)).toBe('stale');
    expect(living(detector, 12)).toEqual([]);
    expect(detector.signal(beat('a', { incarnation: 'two' }), 13)).toBe('joined');
  });

  it.each([{ state: 'ready' }, { state: 'gone' }])(
    'a late $state of an earlier incarnation does not touch the later one, also when the earlier was never known',
    ({ state }) => {
      const detector = detectorAt0();
      expect(detector.signal(beat('a', { incarnation: '2' }), 0)).toBe('joined');
      expect(detector.signal(beat('a', { incarnation: '1', state }), 10)).toBe('stale');
      expect(detector.signal(beat('a', { incarnation: '2' }), 20)).toBe('refreshed');
      expect(living(detector, 30)).toEqual(['a']);
    },
  );

  it('a late beat of one that had died does not touch the one that came after', () => {
    const detector = detectorAt0();
    detector.signal(beat('a', { incarnation: '1' }), 0);
    askUntil(detector, 0, 3_000);
    detector.judge(3_000);
    detector.signal(beat('a', { incarnation: '2' }), 3_100);
    expect(detector.signal(beat('a', { incarnation: '1' }), 3_200)).toBe('stale');
    expect(detector.signal(beat('a', { incarnation: '2' }), 3_300)).toBe('refreshed');
  });

  it('one that sorts lower, because the clock was set back before its start, joins when the other is dead', () => {
    const detector = detectorAt0();
    detector.signal(beat('a', { incarnation: '2' }), 0);
    expect(detector.signal(beat('a', { incarnation: '1' }), 1_000)).toBe('stale');
    askUntil(detector, 1_000, 3_000);
    expect(detector.signal(beat('a', { incarnation: '1' }), 3_000)).toBe('restarted');
    expect(detector.signal(beat('a', { incarnation: '1' }), 4_000)).toBe('refreshed');
  });

  it('tells a change of state', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    expect(detector.signal(beat('a', { state: 'draining' }), 1)).toBe('changed');
    expect(detector.signal(beat('a', { state: 'draining' }), 2)).toBe('refreshed');
  });
});

describe('an observer that was frozen', () => {
  it('gives its peers a fresh time-out instead of declaring them dead', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    askUntil(detector, 0, 2_750);
    expect(detector.status('a', 60_000)).toBe('alive');
    askUntil(detector, 60_000, 62_750);
    expect(detector.status('a', 62_750)).toBe('suspect');
    expect(detector.status('a', 63_000)).toBe('dead');
  });

  it('excuses a peer that was heard between the last question and the freeze', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 100);
    expect(detector.status('a', 60_000)).toBe('alive');
  });

  it('does not revive who was dead before', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    askUntil(detector, 0, 3_000);
    expect(detector.status('a', 60_000)).toBe('dead');
  });

  it('still notices a death when it is always asked too seldom', () => {
    const detector = detectorAt0();
    detector.signal(beat('a'), 0);
    const statuses = [1, 2, 3, 4, 5, 6].map((ask) => detector.status('a', ask * 10_000));
    expect(statuses).toEqual(['alive', 'alive', 'suspect', 'dead', 'dead', 'dead']);
  });
});

describe('bounds', () => {
  it('refuses a peer beyond peersMax, and gives it the place of a dead one', () => {
    const detector = detectorAt0();
    for (const id of ['a', 'b', 'c', 'd']) detector.signal(beat(id), 0);
    expect(detector.signal(beat('e'), 1)).toBe('full');
    for (const id of ['a', 'b', 'c']) detector.signal(beat(id), 2_500);
    expect(detector.signal(beat('e'), 3_000)).toBe('joined');
    expect(living(detector, 3_000)).toEqual(['a', 'b', 'c', 'e']);
  });

  it.each([
    { name: 'suspect before a beat can be missed', over: { suspectAfterMs: 1_000 } },
    { name: 'dead before suspect', over: { deadAfterMs: 1_500 } },
    { name: 'no room', over: { peersMax: 0 } },
  ])('refuses options: $name', ({ over }) => {
    expect(() => new FailureDetector({ ...OPTIONS, ...over })).toThrow(RangeError);
  });
});

describe('properties', () => {
  const steps = fc.array(
    fc.record({
      node: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      incarnation: fc.constantFrom('one', 'two', 'three'),
      state: fc.constantFrom('ready', 'draining', 'gone'),
      afterMs: fc.oneof(fc.nat(1_000), fc.nat(20_000)),
      ask: fc.boolean(),
    }),
    { maxLength: 60 },
  );

  it('F2, F4: whoever was heard within the time-out lives, and never more than peersMax do', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const detector = new FailureDetector<Heartbeat>(OPTIONS);
        let nowMs = 0;
        for (const { node, incarnation, state, afterMs, ask } of all) {
          nowMs += afterMs;
          const outcome = detector.signal(beat(node, { incarnation, state }), nowMs);
          const heard = !['stale', 'full', 'left'].includes(outcome);
          if (heard) expect(detector.status(node, nowMs + (afterMs % OPTIONS.suspectAfterMs))).toBe('alive');
          if (outcome === 'left') expect(detector.status(node, nowMs)).toBe('dead');
          if (ask) expect(detector.judge(nowMs).peers.length).toBeLessThanOrEqual(OPTIONS.peersMax);
        }
      }),
    );
  });

  it('F1: an incarnation that was replaced or left never lives again', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const detector = new FailureDetector<Heartbeat>({ ...OPTIONS, peersMax: 6 });
        const over = new Set<string>();
        let nowMs = 0;
        for (const { node, incarnation, state, afterMs } of all) {
          nowMs += afterMs;
          const before = detector.judge(nowMs).peers.find(({ heartbeat }) => heartbeat.nodeId === node);
          const outcome = detector.signal(beat(node, { incarnation, state }), nowMs);
          if (outcome === 'left') over.add(`${node}/${incarnation}`);
          if (outcome === 'restarted') over.add(`${node}/${before?.heartbeat.incarnation}`);
          for (const { heartbeat } of detector.judge(nowMs).peers)
            expect(over.has(`${heartbeat.nodeId}/${heartbeat.incarnation}`)).toBe(false);
        }
      }),
    );
  });

  it('F3: silence ends in death after a bounded number of questions, whenever they are asked', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1_000, max: 100_000 }), { minLength: 5, maxLength: 9 }),
        (gaps) => {
          const detector = detectorAt0();
          detector.signal(beat('a'), 0);
          let nowMs = 0;
          for (const gapMs of gaps) detector.status('a', (nowMs += gapMs));
          expect(detector.status('a', nowMs)).toBe('dead');
        },
      ),
    );
  });

  it('observers of the same beats show the same list, whatever the order among nodes', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 8 }), (ids) => {
        const detectors = [ids, [...ids].reverse()].map((order) => {
          const detector = new FailureDetector<Heartbeat>({ ...OPTIONS, peersMax: 8 });
          for (const id of order) detector.signal(beat(id), 0);
          return living(detector, 0);
        });
        expect(detectors[0]).toEqual(detectors[1]);
      }),
    );
  });
});
