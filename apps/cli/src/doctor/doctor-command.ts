import { InvalidArgumentError, Option, type Command } from 'commander';
import { printVerdict } from '../output';
import { natsUrlOf, redisUrlOf, withTarget, type TargetOptions } from '../target';
import { gather } from './gather';
import { isReached, judge, profiles, type Profile } from './judge';
import { printDiagnosis } from './report';

interface DoctorOptions extends TargetOptions {
  readonly redis?: string;
  readonly natsMonitor?: readonly string[];
  readonly profile?: Profile;
  readonly json?: boolean;
}

const UNREACHABLE_CODE = 2;
/** What is still tried, such as a connection, must not keep the program from ending. */
const END_AFTER_MS = 500;

export function registerDoctor(program: Command): void {
  withTarget(program.command('doctor'))
    .description('Look at NATS, Redis and the services, and say in plain words what can be lost, and how.')
    .option(
      '--redis <url>',
      'Redis of the system (default: FLEXPUSH_REDIS_URL, else what "flexpush up" runs)',
    )
    .option(
      '--nats-monitor <urls>',
      'monitoring ports of the NATS servers, by comma, which tell what a client is not told',
      parseUrls,
    )
    .addOption(new Option('--profile <name>', 'fail on settings that are unsafe for it').choices(profiles))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
It changes nothing; one probe record is published to see where the server maps it.

Exit codes: 0; 1 with --profile when something is unsafe; ${UNREACHABLE_CODE} when NATS or Redis cannot be reached.

Example:
  $ npx flexpush doctor --profile production --nats nats://n1:4222,nats://n2:4222,nats://n3:4222 \\
      --redis redis+sentinel://s1:26379,s2:26379,s3:26379/main --nats-monitor http://n1:8222
`,
    )
    .action((given: DoctorOptions) => doctor(given));
}

async function doctor(given: DoctorOptions): Promise<void> {
  const facts = await gather({
    natsUrl: natsUrlOf(given),
    redisUrl: redisUrlOf(given),
    monitorUrls: given.natsMonitor ?? [],
  });
  const diagnosis = judge(facts, given.profile ?? null);
  if (given.json !== true) printDiagnosis(diagnosis);
  printVerdict(diagnosis, given.json === true);
  if (!isReached(facts)) process.exitCode = UNREACHABLE_CODE;
  setTimeout(() => process.exit(), END_AFTER_MS).unref();
}

function parseUrls(text: string): string[] {
  const urls = text.split(',').map((one) => one.trim());
  if (urls.every((one) => /^https?:\/\/[^/]/.test(one) && URL.canParse(one))) return urls;
  throw new InvalidArgumentError('It must be http://host:port, several by comma.');
}
