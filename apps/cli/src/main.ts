import { Command } from 'commander';
import { commands } from './commands';
import { wantsDebug } from './config';
import { paint, printJsonFailure } from './output';
import { plainMessage } from './plain-error';

function buildProgram(): Command {
  const program = new Command('flexpush')
    .description('Distributed push coordinator for chat: runs it, feeds it and looks into it.')
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', '\nExample:\n  $ npx flexpush up --session-actors 2 --gms-nodes 2 --groups a,b\n');
  for (const register of commands) register(program);
  return program;
}

/** What a failed command has left open, such as a connection that is still tried, must not keep the program from ending. */
const END_AFTER_FAILURE_MS = 500;
let failure = 'the command line was not understood; see --help';

/** Whatever a command throws ends here, as one clear message and exit code 1. */
function reportFailure(error: unknown): void {
  const message = plainMessage(error);
  failure = message;
  process.stderr.write(`${paint('red', 'error:', process.stderr)} ${message}\n`);
  if (wantsDebug() && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
  setTimeout(() => process.exit(), END_AFTER_FAILURE_MS).unref();
}

process.on('exit', (code) => {
  if (code !== 0 && process.argv.includes('--json')) printJsonFailure(failure);
});
// A reader that has had enough, such as `head`, is no failure.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
buildProgram().parseAsync().catch(reportFailure);
