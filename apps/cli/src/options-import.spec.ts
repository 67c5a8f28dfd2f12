import { isClean, readImport } from './options-import';

/** The sample configuration of the page, as it stands. */
const SAMPLE = `[chat]
enable_notification_mode=true
push_notification_include_payload=true
  
[push]
customhttp.message=dummy message
customhttp.url=http://<hostname>:<port>
debug.customhttp.message=dummy message
debug.customhttp.url=http://<hostname>:<port>
pushEnabled=comet,customhttp
`;

const outcomes = (text: string) =>
  readImport(text).map(({ line, section, name, outcome }) => `${line} ${section}/${name} ${outcome}`);

describe('options import', () => {
  it('reads the sample of the page as it stands, and shows what is to be filled in', () => {
    expect(outcomes(SAMPLE)).toEqual([
      '2 chat/enable_notification_mode taken',
      '3 chat/push_notification_include_payload taken',
      '6 push/customhttp.message taken',
      '7 push/customhttp.url out-of-range',
      '8 push/debug.customhttp.message taken',
      '9 push/debug.customhttp.url out-of-range',
      '10 push/pushEnabled taken',
    ]);
    const filledIn = readImport(SAMPLE.replaceAll('<hostname>:<port>', '127.0.0.1:9000/push'));
    expect(isClean(filledIn)).toBe(true);
    expect(filledIn.find(({ name }) => name === 'pushEnabled')?.value).toBe('comet, customhttp');
  });

  it.each([
    {
      name: 'Windows lines and a mark',
      text: '\uFEFF[settings]\r\nflex-push-timeout = 86400\r\n',
      outcome: 'taken',
    },
    { name: 'the filter of the original', text: '[push]\nfiltering_chat_events=typing', outcome: 'taken' },
    { name: 'a comment', text: '# x\n; y\n', outcome: undefined },
    { name: 'a value with an equals sign', text: '[push]\ncustomhttp.url=http://a/?b=c', outcome: 'taken' },
    { name: 'a value out of range', text: '[settings]\nflex-push-timeout=0', outcome: 'out-of-range' },
    { name: 'an option that nobody knows', text: '[settings]\nflex-pusch=1', outcome: 'unknown' },
    { name: 'one in the wrong section', text: '[push]\nflex-push-timeout=1', outcome: 'unknown' },
    { name: 'one that means nothing here', text: '[settings]\ntranscript-auto-save=1', outcome: 'elsewhere' },
    { name: 'one of a dead push service', text: '[push]\nandroid.ttl=5', outcome: 'elsewhere' },
    {
      name: 'one without effect',
      text: '[settings]\nsession-restore-push-send=true',
      outcome: 'without-effect',
    },
    { name: 'a line without section', text: 'flex-push-timeout=1', outcome: 'unreadable' },
    { name: 'a line that says nothing', text: '[settings]\nflex-push-timeout', outcome: 'unreadable' },
  ])('$name: $outcome', ({ text, outcome }) => {
    expect(readImport(text)[0]?.outcome).toBe(outcome);
  });

  it.each(['apple.keystorePassword', 'debug.apple.keystorePassword', 'debug.fcm.apiKey'])(
    'says why %s has no effect, and nothing against it',
    (name) => {
      const [line] = readImport(`[push]\n${name}=x`);
      expect(line?.outcome).toBe('without-effect');
      expect(line?.reason).toMatch(/^Accepted without effect: /);
      expect(line?.reason).not.toContain('Used instead of');
    },
  );

  it('is not clean with a line that the user has to look at', () => {
    expect(isClean(readImport('[settings]\ntranscript-auto-save=1'))).toBe(true);
    for (const bad of ['[settings]\nx=1', '[settings]\nflex-push-timeout=0', 'x'])
      expect(isClean(readImport(bad))).toBe(false);
  });
});
