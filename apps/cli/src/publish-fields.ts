import { BOUNDS, publicRecordSchema, TOKEN_PATTERN } from '@flexpush/contracts';

/** What can be said of a chat event on the command line, by the name of its field in the record. */
export interface EventFlags {
  readonly id?: string | undefined;
  readonly userId?: string | undefined;
  readonly nickname?: string | undefined;
  readonly participantType?: string | undefined;
  readonly text?: string | undefined;
  readonly url?: string | undefined;
}
type Field = keyof EventFlags;

const flagOf: Record<Field, string> = {
  id: '--id',
  userId: '--user',
  nickname: '--nickname',
  participantType: '--participant-type',
  text: '--text',
  url: '--url',
};

interface EventForm {
  readonly needs: readonly Field[];
  readonly takes: readonly Field[];
}

/** The types that the command can publish; files come by the object store. */
const forms = {
  'participant.join': { needs: ['userId'], takes: ['nickname', 'participantType'] },
  'participant.leave': { needs: ['userId'], takes: [] },
  'message.send': { needs: ['userId', 'text'], takes: [] },
  'typing.start': { needs: ['userId'], takes: ['text'] },
  'typing.stop': { needs: ['userId'], takes: ['text'] },
  'notice.custom': { needs: ['userId', 'text'], takes: [] },
  'url.push': { needs: ['userId', 'url'], takes: [] },
  'session.end': { needs: [], takes: ['userId'] },
} as const satisfies Record<string, EventForm>;
export type EventType = keyof typeof forms;
export const eventTypes = Object.keys(forms) as readonly EventType[];

const TOKEN_WORDS = 'must be 1 to 64 letters, digits, "_" or "-"';
const lengthProblem = (min: number, max: number) => (value: string) =>
  value.length >= min && value.length <= max ? undefined : `must have ${min} to ${max} characters`;
const tokenProblem = (value: string) => (TOKEN_PATTERN.test(value) ? undefined : TOKEN_WORDS);

const problemOf: Record<Field, (value: string) => string | undefined> = {
  id: lengthProblem(1, 128),
  userId: tokenProblem,
  nickname: lengthProblem(1, BOUNDS.nicknameChars),
  participantType: () => undefined,
  text: lengthProblem(0, BOUNDS.textChars),
  url: urlProblem,
};

/** By the schema itself: there is one word on what agents may push. */
function urlProblem(url: string): string | undefined {
  const record = { v: 1, id: 'x', sessionId: 'x', type: 'url.push', userId: 'x', url };
  return publicRecordSchema.safeParse(record).success
    ? undefined
    : `must be an absolute http or https URL of at most ${BOUNDS.urlChars} characters`;
}

/** What is wrong with a command line, each in words of its flags; empty: nothing. */
export function problemsOf(chatId: string, type: EventType, given: EventFlags): string[] {
  const { needs, takes }: EventForm = forms[type];
  const fields = Object.keys(flagOf) as Field[];
  const missing = needs.filter((field) => given[field] === undefined);
  return [
    ...(TOKEN_PATTERN.test(chatId) ? [] : [`the chat id ${TOKEN_WORDS}`]),
    ...missing.map((field) => `${type} needs ${flagOf[field]}`),
    ...fields.flatMap((field) => {
      const value = given[field];
      if (value === undefined) return [];
      if (field !== 'id' && !needs.includes(field) && !takes.includes(field))
        return [`${type} takes no ${flagOf[field]}`];
      const isEmptyMessage = type === 'message.send' && field === 'text' && value === '';
      const problem = isEmptyMessage ? 'must not be empty' : problemOf[field](value);
      return problem === undefined ? [] : [`${flagOf[field]} ${problem}`];
    }),
  ];
}
