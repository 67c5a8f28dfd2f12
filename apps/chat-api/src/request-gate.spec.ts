import { RequestGate } from './request-gate';

describe('the gate of requests', () => {
  it('lets in no more than its bound, and the next when one has left (G1)', () => {
    const gate = new RequestGate(2);
    expect([gate.enter(), gate.enter(), gate.enter()]).toEqual(['entered', 'entered', 'full']);
    gate.leave();
    expect(gate.enter()).toBe('entered');
    expect(gate.inFlight()).toBe(2);
  });

  it('once closed lets nobody in, and is empty when the last has left (G2)', async () => {
    const gate = new RequestGate(2);
    gate.enter();
    gate.close();
    expect(gate.enter()).toBe('closed');
    let isEmpty = false;
    const empty = gate.empty().then(() => (isEmpty = true));
    await Promise.resolve();
    expect(isEmpty).toBe(false);
    gate.leave();
    await empty;
    expect(isEmpty).toBe(true);
    await gate.empty();
  });
});
