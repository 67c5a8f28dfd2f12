/** What a process of a bench can be asked, by name. Answers must survive JSON. */
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

interface Question {
  readonly n: number;
  readonly ask: string;
  readonly argument: unknown;
}

/**
 * The side of a child of `BenchProcess`: begins with the settings that it was started with, answers questions, and ends
 * with its parent.
 */
export function serve<Settings>(begin: (settings: Settings) => Promise<Handlers> | Handlers): void {
  const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole group; the parent ends the rest in its order.
  process.on('SIGINT', () => undefined);
  void Promise.resolve(begin(settings)).then((handlers) => {
    process.on('message', (message) => void answer(handlers, message as Question));
    process.send?.({ n: 0 });
  });
}

async function answer(handlers: Handlers, { n, ask, argument }: Question): Promise<void> {
  try {
    const handler = handlers[ask];
    if (!handler) throw new Error(`cannot be asked for ${ask}`);
    process.send?.({ n, value: await handler(argument as never) });
  } catch (error) {
    process.send?.({ n, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
