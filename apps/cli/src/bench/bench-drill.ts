import { setMaxListeners } from 'node:events';
import { cpus, loadavg } from 'node:os';
import type { Drill, DrillContext, DrillSizes, StackNeeds } from '../drill/drill';
import { strictLimits } from '../drill/limits';
import { OwnTarget } from '../drill/own-target';
import { Progress } from '../drill/progress';
import { runDrill, type DrillRunOutcome } from '../drill/run-drill';
import { INTERRUPTED_CODE, watchStopSignals } from '../up-signals';

const LOOPBACK = '127.0.0.1';

/** A bench that breaks something is a drill with other figures: the same load, the same history, the same judge. */
export interface BenchDrill {
  readonly name: string;
  readonly needs: StackNeeds;
  readonly sizes: DrillSizes;
  readonly run: (context: DrillContext, target: OwnTarget) => Promise<void>;
}

/** Runs it against a stack of its own, which is gone afterwards. On a signal the process ends, and leaves nothing behind. */
export async function runBenchDrill(bench: BenchDrill): Promise<DrillRunOutcome> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const signal = watchStopSignals(() => process.exit(INTERRUPTED_CODE));
  void signal.requested.then(() => stop.abort(new Error('stopped')));
  const progress = new Progress();
  progress.phase('starting a stack of its own');
  try {
    const target = await OwnTarget.start(bench.needs, stop.signal, (text) => progress.note(text));
    const drill: Drill = {
      ...bench,
      breaks: '',
      withPlain: false,
      takesOver: true,
      limits: strictLimits,
      onTarget: 'no',
      run: (context) => bench.run(context, target),
    };
    const settings = {
      drill,
      sizes: bench.sizes,
      limits: strictLimits,
      seed: 1,
      receiverPlace: { host: LOOPBACK, port: 0 },
      receiverHost: LOOPBACK,
    };
    try {
      return await runDrill(settings, target, progress, stop.signal);
    } finally {
      progress.phase('stopping');
      await target.close();
    }
  } finally {
    progress.end();
    signal.dispose();
  }
}

/** What a figure is worth depends on it. */
export function machine(): { cores: number; loadAverage1Min: number; node: string } {
  return { cores: cpus().length, loadAverage1Min: loadavg()[0] ?? 0, node: process.version };
}
