import { connectBus, EventPublisher, openOptionStore } from '@flexpush/nats-bus';
import { InvalidArgumentError, type Command } from 'commander';
import { paint, printLine, printProgress, printVerdict, tableLines } from '../output';
import { withOwnStack } from '../own-stack';
import { plainMessage } from '../plain-error';
import { PushReceiver } from '../push-receiver';
import { cometdLines } from './cometd-lines';
import { fileLines } from './file-lines';
import { inactivityLines } from './inactivity-lines';
import type { ParityLine } from './parity-line';
import { ParityTarget, Skipped, type TargetSettings } from './parity-target';
import { pushLines } from './push-lines';
import { restLines } from './rest-lines';

const chapters = {
  rest: restLines,
  files: fileLines,
  push: pushLines,
  cometd: cometdLines,
  inactivity: inactivityLines,
};
type Chapter = keyof typeof chapters;

interface ParityOptions {
  readonly baseUrl?: string;
  readonly app: string;
  readonly service: string;
  readonly nats?: string;
  readonly receiverPort?: number;
  readonly receiverHost: string;
  readonly resendDelay: number;
  readonly only?: Chapter;
  readonly json?: boolean;
}

export interface JudgedLine {
  chapter: Chapter;
  source: string;
  what: string;
  outcome: 'pass' | 'fail' | 'skipped';
  difference?: string;
}

const OWN_RESEND_DELAY_S = 1;

export function registerParity(program: Command): void {
  program
    .command('parity')
    .description('Compare a system with the contract, line by line; without --base-url a stack of its own.')
    .option('--base-url <url>', 'the system to compare, such as http://gms.example.org:8080', parseOrigin)
    .option('--app <name>', 'first part of the path', 'genesys')
    .option('--service <name>', 'chat service', 'support-web')
    .option(
      '--nats <url>',
      'NATS of a flexpush system, to speak for agents; without it their lines are skipped',
    )
    .option('--receiver-port <port>', 'listen here for the pushes of the system', parsePort)
    .option('--receiver-host <host>', 'address to listen on', '127.0.0.1')
    .option('--resend-delay <s>', 'flex-push-resend-delay of the system, in seconds', parseSeconds, 15)
    .option('--only <chapter>', `one of: ${Object.keys(chapters).join(', ')}`, parseChapter)
    .option('--json', 'print one JSON object as the last line')
    .addHelpText(
      'after',
      '\nThe pushes of another system reach this one only when its option customhttp.url names it:\n' +
        'http://<this host>:<receiver port>/push, with flex-push-on-join true.\n' +
        '\nExit code 0 only if no line differs.\n' +
        '\nExamples:\n  $ npx flexpush parity\n' +
        '  $ npx flexpush parity --base-url http://gms:8080 --receiver-host 0.0.0.0 --receiver-port 9009 --json\n',
    )
    .action((given: ParityOptions) => parity(given));
}

async function parity(given: ParityOptions): Promise<void> {
  const judged: JudgedLine[] = [];
  const say = given.json ? printProgress : printLine;
  const onLine = (line: JudgedLine) => {
    judged.push(line);
    say(shown(line));
  };
  if (given.baseUrl === undefined) await judgeOwn(given, onLine);
  else await judgeOther(given, given.baseUrl, onLine);
  const count = (outcome: JudgedLine['outcome']) => judged.filter((line) => line.outcome === outcome).length;
  const [passed, failed, skipped] = [count('pass'), count('fail'), count('skipped')];
  const verdict = failed === 0 && passed > 0 ? ('pass' as const) : ('fail' as const);
  if (!given.json) {
    const differing = judged.filter(({ outcome }) => outcome === 'fail');
    if (differing.length > 0) {
      printLine();
      const rows = differing.map(({ source, what, difference = '' }) => [source, what, difference]);
      for (const line of tableLines(['CONTRACT', 'LINE', 'DIFFERENCE'], rows)) printLine(line);
    }
    for (const sentence of skipSentences(judged)) printLine(sentence);
    printLine(`${passed} as in the contract, ${failed} differ, ${skipped} skipped`);
  }
  const result = { verdict, passed, failed, skipped, lines: judged };
  printVerdict(result, given.json === true);
}

const marks = {
  pass: () => paint('green', 'pass'),
  fail: () => paint('red', 'FAIL'),
  skipped: () => paint('yellow', 'skip'),
};

function shown({ outcome, chapter, source, what, difference }: JudgedLine): string {
  const line = `${marks[outcome]()} ${chapter} ${source}: ${what}`;
  // Why lines are skipped is the same for many, and is said once at the end.
  return outcome === 'fail' ? `${line}  ${paint('dim', difference ?? '')}` : line;
}

/** Each reason for which lines were skipped, once. */
function skipSentences(judged: readonly JudgedLine[]): string[] {
  const counts = new Map<string, number>();
  for (const { outcome, difference = '' } of judged)
    if (outcome === 'skipped') counts.set(difference, (counts.get(difference) ?? 0) + 1);
  return [...counts].map(([reason, count]) => `${marks.skipped()} of ${count}: ${reason}`);
}

async function judgeOwn(given: ParityOptions, onLine: (line: JudgedLine) => void): Promise<void> {
  let target: ParityTarget | undefined;
  const receiver = await PushReceiver.start(({ text, atMs }) => target?.receive(text, atMs));
  printProgress('starting redis, nats and the services');
  try {
    await withOwnStack(
      {
        stack: { logLevel: 'warn' },
        options: [
          ['settings', 'flex-push-on-join', 'true'],
          ['settings', 'flex-push-resend-delay', String(OWN_RESEND_DELAY_S)],
          ['push', 'pushEnabled', 'comet, customhttp'],
          ['chat', 'enable_notification_mode', 'true'],
          ['push', 'customhttp.url', receiver.url],
        ],
      },
      async (stack) => {
        const publisher = await EventPublisher.connect({ url: stack.natsUrl, name: 'flexpush-parity' });
        const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-parity' });
        const options = await openOptionStore(bus);
        target = new ParityTarget({
          ...common(given),
          baseUrl: stack.chatApiUrl ?? '',
          resendDelayMs: OWN_RESEND_DELAY_S * 1_000,
          publisher,
          setOption: async (section, name, value) => {
            if (value === undefined) await options.unset(section, name);
            else await options.set(section, name, value);
          },
          hasReceiver: true,
        });
        try {
          await judgeAll(target, given.only, onLine);
        } finally {
          await target.close();
          await publisher.close();
          options.close();
          await bus.close();
        }
      },
    );
  } finally {
    await receiver.close();
  }
}

async function judgeOther(
  given: ParityOptions,
  baseUrl: string,
  onLine: (line: JudgedLine) => void,
): Promise<void> {
  const { nats, receiverPort: port, receiverHost: host } = given;
  const publisher =
    nats === undefined ? undefined : await EventPublisher.connect({ url: nats, name: 'flexpush-parity' });
  const target: ParityTarget = new ParityTarget({
    ...common(given),
    baseUrl,
    resendDelayMs: given.resendDelay * 1_000,
    publisher,
    hasReceiver: port !== undefined,
  });
  const receiver =
    port === undefined
      ? undefined
      : await PushReceiver.start(({ text, atMs }) => target.receive(text, atMs), { host, port });
  try {
    await judgeAll(target, given.only, onLine);
    await target.leaveAll();
  } finally {
    await receiver?.close();
    await target.close();
    await publisher?.close();
  }
}

const common = ({ app, service }: ParityOptions): Pick<TargetSettings, 'app' | 'service'> => ({
  app,
  service,
});

async function judgeAll(
  target: ParityTarget,
  only: Chapter | undefined,
  onLine: (line: JudgedLine) => void,
): Promise<void> {
  for (const chapter of Object.keys(chapters) as Chapter[]) {
    if (only !== undefined && only !== chapter) continue;
    for (const line of chapters[chapter]) onLine({ chapter, ...(await judge(target, line)) });
  }
}

async function judge(target: ParityTarget, line: ParityLine): Promise<Omit<JudgedLine, 'chapter'>> {
  const { source, what } = line;
  try {
    const difference = await line.judge(target);
    return difference === undefined
      ? { source, what, outcome: 'pass' }
      : { source, what, outcome: 'fail', difference };
  } catch (error) {
    const difference = plainMessage(error);
    return { source, what, outcome: error instanceof Skipped ? 'skipped' : 'fail', difference };
  }
}

function parseOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  // The path is `--app`'s, and what stands behind it is each line's.
  if (isHttp && url.pathname === '/' && url.search === '' && url.hash === '') return url.origin;
  throw new InvalidArgumentError(
    'It must be http:// or https:// and a host, such as http://gms.example.org:8080.',
  );
}

function parsePort(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 65_535) return value;
  throw new InvalidArgumentError('It must be a port from 1 to 65535.');
}

function parseSeconds(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 86_400) return value;
  throw new InvalidArgumentError('It must be a whole number of seconds from 1 to 86400.');
}

function parseChapter(text: string): Chapter {
  if (Object.hasOwn(chapters, text)) return text as Chapter;
  throw new InvalidArgumentError(`It must be one of: ${Object.keys(chapters).join(', ')}.`);
}
