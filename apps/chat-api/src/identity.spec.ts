import { derivedCreateId, derivedIdentity, derivedRequestId, keyHashOf, randomIdentity } from './identity';

const SECRET = 'a secret of forty characters, for tests.';
const KEY = 'd3b07384d113edec49eaa6238ad5ff00';

describe('identities', () => {
  it.each([
    { name: 'random', identity: () => randomIdentity() },
    { name: 'derived', identity: () => derivedIdentity(SECRET, 'support', KEY) },
  ])('a $name one has the shapes of the contract', ({ identity }) => {
    const { sessionId, userId, secureKey } = identity();
    expect(sessionId).toMatch(/^00021[A-Za-z0-9]{11}$/);
    expect(userId).toMatch(/^00[0-9A-F]{14}$/);
    expect(secureKey).toMatch(/^[0-9a-f]{20}$/);
  });

  it('random ones differ', () => {
    const ids = Array.from({ length: 1_000 }, () => randomIdentity());
    for (const field of ['sessionId', 'userId', 'secureKey'] as const)
      expect(new Set(ids.map((id) => id[field])).size).toBe(ids.length);
  });

  it('derived ones are the same on every replica with the secret, and others otherwise', () => {
    expect(derivedIdentity(SECRET, 'support', KEY)).toEqual(derivedIdentity(SECRET, 'support', KEY));
    expect(derivedCreateId(SECRET, 'support', KEY)).toBe(derivedCreateId(SECRET, 'support', KEY));
    const others = [
      derivedIdentity(`${SECRET}.`, 'support', KEY),
      derivedIdentity(SECRET, 'other', KEY),
      derivedIdentity(SECRET, 'support', `${KEY}0`),
      derivedIdentity(SECRET, 'support', KEY),
    ];
    expect(new Set(others.map(({ sessionId }) => sessionId)).size).toBe(4);
    expect(new Set(others.map(({ secureKey }) => secureKey)).size).toBe(4);
  });

  it('the record id of a request belongs to one participant, secret and operation', () => {
    const request = {
      sessionId: 's',
      userId: 'u',
      keyHash: keyHashOf('k'),
      operation: 'send',
      idempotencyKey: KEY,
    };
    const ids = [
      request,
      { ...request },
      { ...request, sessionId: 't' },
      { ...request, userId: 'v' },
      { ...request, keyHash: keyHashOf('l') },
      { ...request, operation: 'refresh' },
      { ...request, idempotencyKey: `${KEY}0` },
    ].map(derivedRequestId);
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(6);
  });

  it('hashes a key as SHA-256 in hex', () => {
    expect(keyHashOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});
