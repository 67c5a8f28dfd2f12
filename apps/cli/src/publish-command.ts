import { EventPublisher, type ChatEventInput } from '@flexpush/nats-bus';
import { Option, type Command } from 'commander';
import { printJson, printLine } from './output';
import { natsUrlOf, withTarget, type TargetOptions } from './target';

interface PublishOptions extends TargetOptions {
  readonly json?: boolean;
  readonly id?: string;
  readonly user?: string;
  readonly nickname?: string;
  readonly participantType?: string;
  readonly text?: string;
  readonly url?: string;
}

const types = [
  'participant.join',
  'participant.leave',
  'message.send',
  'typing.start',
  'typing.stop',
  'notice.custom',
  'url.push',
  'session.end',
];

export function registerPublish(program: Command): void {
  withTarget(program.command('publish'))
    .description(
      'Publish a chat event, as an agent-side program would, and wait for the acknowledgement of the log.',
    )
    .argument('<chatId>', 'the session id')
    .argument('<type>', types.join(', '))
    .option('--user <userId>', 'who does it')
    .option('--nickname <name>', 'for participant.join')
    .addOption(
      new Option('--participant-type <type>', 'for participant.join').choices([
        'Agent',
        'Supervisor',
        'External',
      ]),
    )
    .option('--text <text>', 'for message.send, typing.* and notice.custom')
    .option('--url <url>', 'for url.push')
    .option('--id <id>', 'event id; a repeat with the same id has no effect (default: a random one)')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExample:\n  $ npx flexpush publish 00021bBKRTX9M01C participant.join --user agent-7 --nickname Jonas\n  $ npx flexpush publish 00021bBKRTX9M01C message.send --user agent-7 --text "How can I help?"\n',
    )
    .action((chatId: string, type: string, given: PublishOptions) => publish({ chatId, type }, given));
}

async function publish(what: { chatId: string; type: string }, given: PublishOptions): Promise<void> {
  const url = natsUrlOf(given);
  const isJoin = what.type === 'participant.join';
  const fields = {
    sessionId: what.chatId,
    type: what.type,
    id: given.id,
    userId: given.user,
    nickname: given.nickname ?? (isJoin ? given.user : undefined),
    participantType: isJoin ? (given.participantType ?? 'Agent') : undefined,
    text: given.text,
    url: given.url,
  };
  const event = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const publisher = await EventPublisher.connect({ url, name: 'flexpush-publish' });
  try {
    const result = await publisher.publish(event as unknown as ChatEventInput);
    if (result.kind === 'invalid') throw new Error(`not a valid event: ${result.problems.join('; ')}`);
    if (result.kind === 'refused')
      throw new Error(`the log refused it: ${result.reason}; try again with --id ${result.id}`);
    if (given.json) printJson(result);
    else
      printLine(
        `stored as ${result.seq}${result.duplicate ? ' (a repeat, without effect)' : ''}, id ${result.id}`,
      );
  } finally {
    await publisher.close();
  }
}
