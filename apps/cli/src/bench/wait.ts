/** For what takes a time, such as a measurement. For what becomes so: `until`. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

/** Looks again and again until it is so; throws what the problem is when that takes too long. */
export async function until(
  isSo: () => Promise<boolean>,
  problem: string,
  { lookMs, maxMs }: { lookMs: number; maxMs: number } = { lookMs: 50, maxMs: 180_000 },
): Promise<void> {
  const endMs = performance.now() + maxMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(problem);
    await sleep(lookMs);
  }
}
