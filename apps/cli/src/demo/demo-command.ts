import { connectBus } from '@flexpush/nats-bus';
import { InvalidArgumentError, type Command } from 'commander';
import { paint, printLine, printProgress, printVerdict } from '../output';
import { withOwnStack } from '../own-stack';
import { PushReceiver } from '../push-receiver';
import { DemoStory, NotObserved, type DemoSettings, type DemoStep } from './demo-story';
import { PushInbox } from './push-inbox';

interface DemoOptions {
  readonly resendDelay: number;
  readonly resendAttempts: number;
  readonly json?: boolean;
}

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('Tell the whole story once against a stack of its own, and check each step from outside.')
    .option('--resend-delay <s>', 'flex-push-resend-delay of the demo, in seconds', parseSeconds, 1)
    .option('--resend-attempts <n>', 'flex-push-resend-attempts of the demo, at least 2', parseAttempts, 2)
    .option('--json', 'print one JSON object as the last line')
    .addHelpText(
      'after',
      '\nExit code 0 only if every step was observed.\n\nExample:\n  $ npx flexpush demo --json\n',
    )
    .action((given: DemoOptions) => demo(given));
}

async function demo(given: DemoOptions): Promise<void> {
  const steps: DemoStep[] = [];
  const startedMs = performance.now();
  const settings: DemoSettings = { resendDelayS: given.resendDelay, resendAttempts: given.resendAttempts };
  const say = given.json ? printProgress : printLine;
  const onStep = (step: DemoStep) => {
    steps.push(step);
    const mark = step.ok ? paint('green', 'ok  ') : paint('red', 'FAIL');
    say(`${mark} ${step.step}  ${paint('dim', step.observed)}`);
  };
  await tell(settings, onStep);
  const isWhole = steps.length > 0 && steps.every(({ ok }) => ok);
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
  if (!given.json) printLine(`${steps.filter(({ ok }) => ok).length} steps observed in ${seconds} s`);
  const result = { verdict: isWhole ? ('pass' as const) : ('fail' as const), seconds, steps };
  printVerdict(result, given.json === true);
}

async function tell(settings: DemoSettings, onStep: (step: DemoStep) => void): Promise<void> {
  const inbox = new PushInbox();
  const receiver = await PushReceiver.start((push) => inbox.receive(push));
  printProgress('starting redis, nats and the services');
  try {
    await withOwnStack(
      {
        options: [
          ['settings', 'flex-push-on-join', 'true'],
          ['push', 'pushEnabled', 'customhttp'],
          ['settings', 'flex-push-resend-delay', String(settings.resendDelayS)],
          ['settings', 'flex-push-resend-attempts', String(settings.resendAttempts)],
          ['push', 'customhttp.url', receiver.url],
        ],
      },
      async (stack) => {
        const bus = await connectBus({ url: stack.natsUrl, name: 'flexpush-demo' });
        try {
          await new DemoStory(stack, bus, inbox, settings, onStep).tell();
        } finally {
          await bus.close();
        }
      },
    );
  } catch (error) {
    if (!(error instanceof NotObserved))
      onStep({
        step: 'The story could be told',
        ok: false,
        observed: error instanceof Error ? error.message : String(error),
      });
  } finally {
    await receiver.close();
  }
}

function parseSeconds(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 60) return value;
  throw new InvalidArgumentError('It must be a whole number of seconds from 1 to 60.');
}

function parseAttempts(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 2 && value <= 20) return value;
  throw new InvalidArgumentError('It must be a whole number from 2 to 20.');
}
