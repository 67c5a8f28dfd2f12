import { InvalidArgumentError, type Command } from 'commander';

/** The options of a bench that measures in rounds. */
export function withRounds(
  command: Command,
  { seconds, repeats }: { seconds: number; repeats: number } = { seconds: 10, repeats: 3 },
): Command {
  return command
    .option('--seconds <s>', 'length of each measurement', parseCount, seconds)
    .option('--repeats <n>', 'how often each measurement is repeated', parseCount, repeats);
}

export function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 10_000_000) return value;
  throw new InvalidArgumentError('It must be a whole number from 1 to 10000000.');
}

export function parseCounts(text: string): number[] {
  return text.split(',').map((one) => parseCount(one.trim()));
}
