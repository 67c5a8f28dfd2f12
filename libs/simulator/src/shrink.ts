import type { Plan } from './plan';
import { simulate, type Run } from './simulation';
import type { Switch } from './switches';

/** Runs that a search for a shorter plan may take. */
const RUNS_MAX = 150;

/** The shortest plan that was found to fail still: fewer faults, fewer chats, fewer messages. */
export async function shrink(
  failing: Run,
  off: ReadonlySet<Switch> = new Set(),
  runsMax = RUNS_MAX,
): Promise<Run> {
  let best = failing;
  let runs = 0;
  for (let isShorter = true; isShorter;) {
    isShorter = false;
    for (const plan of shorterPlans(best.plan)) {
      if (runs++ >= runsMax) return best;
      const run = await simulate(plan, off);
      if (run.violations.length === 0) continue;
      best = run;
      isShorter = true;
      break;
    }
  }
  return best;
}

/** The big steps first. */
function* shorterPlans(plan: Plan): Generator<Plan> {
  for (let i = 0; i < plan.faults.length; i++) yield { ...plan, faults: without(plan.faults, i) };
  for (let i = 0; i < plan.chats.length; i++)
    if (plan.chats.length > 1) yield { ...plan, chats: without(plan.chats, i) };
  for (const [i, chat] of plan.chats.entries()) {
    const half = Math.ceil(chat.says.length / 2);
    if (half === chat.says.length) continue;
    for (const says of [chat.says.slice(0, half), chat.says.slice(half)])
      yield { ...plan, chats: plan.chats.with(i, { ...chat, says }) };
  }
}

function without<T>(list: readonly T[], at: number): T[] {
  return list.filter((_, i) => i !== at);
}
