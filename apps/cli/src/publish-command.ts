import { EventPublisher, type ChatEventInput, type PublishResult } from '@flexpush/nats-bus';
import { Argument, Option, type Command } from 'commander';
import { printJson, printLine } from './output';
import { FateWatch, refusalWords, type Fate } from './publish-fate';
import { eventTypes, problemsOf, type EventType } from './publish-fields';
import { natsUrlOf, redisUrlOf, withBus, withTarget, type TargetOptions } from './target';

interface PublishOptions extends TargetOptions {
  readonly redis?: string;
  readonly json?: boolean;
  readonly id?: string;
  readonly user?: string;
  readonly nickname?: string;
  readonly participantType?: string;
  readonly text?: string;
  readonly url?: string;
}

export function registerPublish(program: Command): void {
  withTarget(program.command('publish'))
    .description(
      'Publish a chat event, as an agent-side program would, wait for the acknowledgement of the log, and say what the chat made of it.',
    )
    .argument('<chatId>', 'the session id')
    .addArgument(new Argument('<type>', 'what happens').choices(eventTypes))
    .option(
      '--redis <url>',
      'Redis of the system, which tells that the chat has it (default: FLEXPUSH_REDIS_URL, else what "flexpush up" runs)',
    )
    .option('--user <userId>', 'who does it')
    .option('--nickname <name>', 'for participant.join (default: the user)')
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
      '\nThe log takes every event; a chat that does not take it is told as an error, with exit code 1.\n\nExample:\n  $ npx flexpush publish 00021bBKRTX9M01C participant.join --user agent-7 --nickname Jonas\n  $ npx flexpush publish 00021bBKRTX9M01C message.send --user agent-7 --text "How can I help?"\n',
    )
    .action((chatId: string, type: EventType, given: PublishOptions) => publish({ chatId, type }, given));
}

async function publish(what: { chatId: string; type: EventType }, given: PublishOptions): Promise<void> {
  const { chatId, type } = what;
  const isJoin = type === 'participant.join';
  const fields = {
    id: given.id,
    userId: given.user,
    nickname: given.nickname ?? (isJoin ? given.user : undefined),
    participantType: given.participantType ?? (isJoin ? 'Agent' : undefined),
    text: given.text,
    url: given.url,
  };
  const problems = problemsOf(chatId, type, fields);
  if (problems.length > 0) throw new Error(`${problems.join('; ')} (see "flexpush publish --help")`);
  const said = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const event = { ...said, sessionId: chatId, type } as unknown as ChatEventInput;
  await withBus(given, async (bus) => {
    const publisher = await EventPublisher.connect({ url: natsUrlOf(given), name: 'flexpush-publish' });
    try {
      const watch = await FateWatch.open(bus, { chatId, redisUrl: redisUrlOf(given) });
      try {
        const stored = await store(publisher, event);
        // What became of the first one was told then.
        report(stored, stored.duplicate ? undefined : await watch.of(stored.seq), given);
      } finally {
        watch.close();
      }
    } finally {
      await publisher.close();
    }
  });
}

type Stored = Extract<PublishResult, { kind: 'stored' }>;

async function store(publisher: EventPublisher, event: ChatEventInput): Promise<Stored> {
  const result = await publisher.publish(event);
  if (result.kind === 'invalid') throw new Error(`not a valid event: ${result.problems.join('; ')}`);
  if (result.kind === 'refused')
    throw new Error(`the log refused it: ${result.reason}; try again with --id ${result.id}`);
  return result;
}

function report(stored: Stored, fate: Fate | undefined, given: PublishOptions): void {
  const { seq, id } = stored;
  if (given.json) {
    const reason = fate?.kind === 'refused' ? { reason: fate.reason } : {};
    printJson({ ...stored, ...(fate === undefined ? {} : { fate: fate.kind }), ...reason });
    if (fate?.kind === 'refused') process.exitCode = 1;
    return;
  }
  if (fate?.kind === 'refused')
    throw new Error(`stored as ${seq}, id ${id}, but nobody will see it: ${refusalWords(fate.reason)}`);
  printLine(
    `stored as ${seq}${fate === undefined ? ' (a repeat, without effect)' : ''}, id ${id}${after(fate)}`,
  );
}

function after(fate: Exclude<Fate, { kind: 'refused' }> | undefined): string {
  switch (fate?.kind) {
    case undefined:
      return '';
    case 'taken':
      return '; the chat has it';
    case 'not-told':
      return `; not refused within ${fate.waitedMs / 1_000} s, but whether the chat has it is not known here: name its Redis with --redis`;
    case 'not-folded':
      return `; not folded within ${fate.waitedMs / 1_000} s, so whether the chat takes it is not known yet: does a session-actor run, and does Redis answer?`;
    default:
      return fate satisfies never;
  }
}
