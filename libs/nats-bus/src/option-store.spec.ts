import { OPTION_BUCKET } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import type { KV } from 'nats';
import { connectBus, type NatsBus } from './bus';
import { openOptionStore, type BadOption, type OptionStore } from './option-store';
import { ensureStreams } from './streams';

const DELAY = 'settings/flex-push-resend-delay';

describe('OptionStore', () => {
  let nats: TestNats;
  let buses: NatsBus[];
  let kv: KV;
  const opened: OptionStore[] = [];

  beforeEach(async () => {
    nats = await startTestNats();
    buses = await Promise.all(['a', 'b'].map((name) => connectBus({ url: nats.url, name })));
    await ensureStreams(buses[0] as NatsBus, {
      shardCount: 64,
      replicas: 1,
      logBytesMax: 1e7,
      logAgeMaxMs: 3_600_000,
    });
    kv = await (buses[0] as NatsBus).connection.jetstream().views.kv(OPTION_BUCKET, { bindOnly: true });
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) store.close();
    await Promise.all(buses.map((bus) => bus.close()));
    await nats.stop();
  });

  async function open(bus = 0, onBad?: (bad: BadOption) => void): Promise<OptionStore> {
    const store = await openOptionStore(buses[bus] as NatsBus, onBad ? { onBad } : {});
    opened.push(store);
    return store;
  }

  /** Resolves when the store has heard of this revision. */
  function revisionReached(store: OptionStore, revision: number): Promise<void> {
    return new Promise((resolve) =>
      store.onChange((_, seen) => {
        if (seen >= revision) resolve();
      }),
    );
  }

  it('is empty at revision 0 when nobody has set anything', async () => {
    const store = await open();
    expect(store.values()).toEqual({});
    expect(store.revision()).toBe(0);
  });

  it('has all present values when it opens, however many there are', async () => {
    const values = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`chat.service${i}/push_notification_include_payload`, 'true']),
    );
    await Promise.all(Object.keys(values).map((key) => kv.put(key, 'true')));
    for (let round = 0; round < 20; round++) {
      const store = await open(round % 2);
      expect(store.values()).toEqual(values);
      expect(store.revision()).toBe(200);
    }
  });

  it('waits for a bucket that is made later', async () => {
    const jsm = await (buses[0] as NatsBus).connection.jetstreamManager();
    await jsm.streams.delete(`KV_${OPTION_BUCKET}`);
    const opening = open(1);
    await ensureStreams(buses[0] as NatsBus, {
      shardCount: 64,
      replicas: 1,
      logBytesMax: 1e7,
      logAgeMaxMs: 3_600_000,
    });
    expect((await opening).values()).toEqual({});
  });

  it('tells every node of a change, with growing revisions', async () => {
    const [a, b] = [await open(0), await open(1)];
    const seen: [string | undefined, number][] = [];
    b.onChange((values, revision) => seen.push([values[DELAY], revision]));
    expect(await a.set('settings', 'flex-push-resend-delay', '5')).toMatchObject({ kind: 'ok', value: '5' });
    expect(await a.set('settings', 'flex-push-resend-delay', '6')).toMatchObject({ kind: 'ok' });
    await revisionReached(b, 2);
    expect(seen).toEqual([
      [undefined, 0],
      ['5', 1],
      ['6', 2],
    ]);
    expect(b.values()).toEqual({ [DELAY]: '6' });
  });

  it('refuses a value out of range with the range, and stores nothing', async () => {
    const store = await open();
    const refused = await store.set('settings', 'flex-push-resend-delay', '0');
    expect(refused.kind).toBe('refused');
    expect(refused.kind === 'refused' && refused.reason).toContain('86400');
    expect(await store.set('settings', 'no-such-option', '1')).toMatchObject({ kind: 'refused' });
    expect(await kv.get(DELAY)).toBeNull();
  });

  it('goes back to the default with unset', async () => {
    const store = await open();
    await store.set('settings', 'flex-push-resend-delay', '5');
    await store.unset('settings', 'flex-push-resend-delay');
    await revisionReached(store, 2);
    expect(store.values()).toEqual({});
    expect(store.revision()).toBe(2);
  });

  it.each([
    { name: 'out of range', text: '-1' },
    { name: 'not a number', text: 'soon' },
    { name: 'empty', text: '' },
  ])('keeps the last good value when a stored one is $name, and reports it', async ({ text }) => {
    const bad: BadOption[] = [];
    const store = await open(1, (option) => bad.push(option));
    await store.set('settings', 'flex-push-resend-delay', '5');
    await kv.put(DELAY, text);
    await revisionReached(store, 2);
    expect(store.values()).toEqual({ [DELAY]: '5' });
    expect(bad).toEqual([{ key: DELAY, reason: expect.any(String) }]);
    await store.set('settings', 'flex-push-resend-delay', '7');
    await revisionReached(store, 3);
    expect(store.values()).toEqual({ [DELAY]: '7' });
  });

  it('finds the last good value too when it opens after a bad one was stored', async () => {
    await kv.put(DELAY, '5');
    await kv.put(DELAY, 'soon');
    const bad: BadOption[] = [];
    const store = await open(1, (option) => bad.push(option));
    expect(store.values()).toEqual({ [DELAY]: '5' });
    expect(store.revision()).toBe(2);
    expect(bad).toHaveLength(1);
  });

  it('does not bring back a value from before it was unset', async () => {
    await kv.put(DELAY, '5');
    await kv.delete(DELAY);
    await kv.put(DELAY, 'soon');
    expect((await open(1)).values()).toEqual({});
  });

  it('reports a stored key that is no option and goes on', async () => {
    const bad: BadOption[] = [];
    const store = await open(1, (option) => bad.push(option));
    await kv.put('nonsense', '1');
    await store.set('settings', 'flex-push-resend-delay', '5');
    await revisionReached(store, 2);
    expect(store.values()).toEqual({ [DELAY]: '5' });
    expect(bad).toHaveLength(1);
  });

  it('hears of changes again after a crash of the server', async () => {
    const [a, b] = [await open(0), await open(1)];
    await a.set('settings', 'flex-push-resend-delay', '5');
    await revisionReached(b, 1);
    await nats.server.kill();
    await nats.server.start();
    const startedAtMs = performance.now();
    const stored = await retry(() => a.set('settings', 'flex-push-resend-delay', '6'));
    expect(stored.kind).toBe('ok');
    await revisionReached(b, 2);
    expect(b.values()).toEqual({ [DELAY]: '6' });
    // The client alone would need 15 s to see that its watch is lost.
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
  });

  it('gives a bucket that was made anew what it has lost, but nothing that was unset or is set anew (O3)', async () => {
    const losses: { lost: string[]; restored: string[] }[] = [];
    let told: () => void = () => undefined;
    const store = await openOptionStore(buses[0] as NatsBus, {
      onLost: (loss) => {
        losses.push(loss);
        told();
      },
    });
    opened.push(store);
    await store.set('settings', 'flex-push-resend-delay', '5');
    await store.set('settings', 'flex-push-on-join', 'true');
    await store.set('settings', 'flex-push-resend-attempts', '3');
    await store.unset('settings', 'flex-push-resend-attempts');
    await revisionReached(store, 4);
    const reported = new Promise<void>((resolve) => (told = resolve));
    const jsm = await (buses[0] as NatsBus).connection.jetstreamManager();
    await jsm.streams.delete(`KV_${OPTION_BUCKET}`);
    await ensureStreams(buses[0] as NatsBus, {
      shardCount: 64,
      replicas: 1,
      logBytesMax: 1e7,
      logAgeMaxMs: 3_600_000,
    });
    await kv.put('settings/flex-push-on-join', 'false');
    await reported;
    expect(losses).toEqual([{ lost: [DELAY], restored: [DELAY] }]);
    await revisionReached(store, 2);
    expect(store.values()).toEqual({ [DELAY]: '5', 'settings/flex-push-on-join': 'false' });
    expect(store.revision()).toBe(2);
    expect((await open(1)).values()).toEqual(store.values());
    expect(await store.isCurrent()).toBe(true);
  });

  /** JetStream answers a moment after the server does. */
  async function retry<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < 20; attempt++) {
      const answer = await ask().catch(() => undefined);
      if (answer !== undefined) return answer;
    }
    return ask();
  }
});
