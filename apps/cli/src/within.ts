/** The value, or undefined when it does not come in time or what was asked fails: the look goes on without it. */
export async function within<T>(timeoutMs: number, value: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  return Promise.race([value.catch(() => undefined), tooLate]).finally(() => clearTimeout(timer));
}
