import { randomBytes } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOG_STREAM } from '@flexpush/contracts';
import { connectBus, waitForShardCount, type NatsBus } from '@flexpush/nats-bus';
import { nowMs } from './canary';
import type { Drill, DrillContext, DrillSizes } from './drill';
import { DrillReceiver, type ReceiverPlace } from './drill-receiver';
import type { DrillHistory, Fault } from './history';
import { judge, STANDSTILL_AFTER_MS, type Judgement } from './judge';
import { shardsByOwner } from './leases';
import { checkLimits, type DrillLimits, type LimitResult } from './limits';
import { Load, type LoadFigures } from './load';
import { DrillOptions, type PushRules } from './drill-options';
import { seededRandom } from './random';
import type { Target } from './target';

export interface RunSettings {
  readonly drill: Drill;
  readonly sizes: DrillSizes;
  readonly limits: DrillLimits;
  readonly seed: number;
  readonly receiverPlace: ReceiverPlace;
  /** Host by which the GMS nodes reach this process. */
  readonly receiverHost: string;
}

export interface TimelineNote {
  readonly atMs: number;
  readonly what: string;
}

export interface DrillResult extends Judgement {
  readonly drill: string;
  readonly verdict: 'pass' | 'fail';
  readonly limits: readonly LimitResult[];
  readonly sessions: number;
  readonly ratePerS: number;
  readonly seconds: number;
  readonly seed: number;
  readonly target: string;
  readonly skipped: number;
  /** How long the drill's own process, load and receiver in one, was held up; what it saw may be late by that. */
  readonly ownDelayP99Ms: number;
  readonly ownDelayMaxMs: number;
  /** The longest that a request over a fresh connection took until the drill's receiver saw it; 0 below 100. */
  readonly receiverDelayMaxMs: number;
  readonly events: readonly TimelineNote[];
}

export interface DrillRunOutcome {
  readonly result: DrillResult;
  readonly history: DrillHistory;
}

export interface Watcher {
  phase(text: string): void;
  note(text: string): void;
  figures(figures: LoadFigures, untold: number): void;
}

/** Of the load, this share runs before the fault. */
const SHARE_BEFORE = 0.25;
const CONNECT_TIMEOUT_MS = 10_000;
const SETTLE_MS = 1_000;
const FIGURES_EVERY_MS = 250;
/** After the load, this long at most for what is still to be told. */
const QUIET_MAX_MS = 30_000;
/** Set-up and quiet time, generously: whoever is silent for longer than `flex-push-timeout` is removed. */
const LONGEST_AFTER_MS = 90_000;
const NOTES_MAX = 1_000;
const OWN_DELAY_RESOLUTION_MS = 5;

/** Runs one drill against a target and judges it. Rejects when `stopped` is aborted; whoever called closes the target. */
export async function runDrill(
  settings: RunSettings,
  target: Target,
  watcher: Watcher,
  stopped: AbortSignal,
): Promise<DrillRunOutcome> {
  const run = new DrillRun(settings, target, watcher, stopped);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

/**
 * One run: receivers, options, load, fault, quiet, judgement.
 *
 * R1. What it changes in the system are options of providers with names of its own; `close()` takes them back.
 * R2. Judged is only what the load has seen from outside.
 */
class DrillRun {
  private readonly runId = `drill-${randomBytes(4).toString('hex')}`;
  private readonly faults: Fault[] = [];
  private readonly notes: TimelineNote[] = [];
  private readonly receivers: DrillReceiver[] = [];
  private bus: NatsBus | undefined;
  private options: DrillOptions | undefined;
  private load: Load | undefined;
  private readonly probing = new AbortController();
  private readonly ownDelay = monitorEventLoopDelay({ resolution: OWN_DELAY_RESOLUTION_MS });

  constructor(
    private readonly settings: RunSettings,
    private readonly target: Target,
    private readonly watcher: Watcher,
    private readonly stopped: AbortSignal,
  ) {}

  async run(): Promise<DrillRunOutcome> {
    const { drill, sizes } = this.settings;
    const bus = await this.connect();
    const shardCount = await waitForShardCount(bus);
    await this.startReceivers();
    this.options = await DrillOptions.set(bus, this.providers());
    const load = await Load.open(
      {
        ...sizes,
        providers: this.providers().map(({ name }) => name),
        withPlain: drill.withPlain,
        withSilent: sizes.seconds * 1_000 + LONGEST_AFTER_MS < this.options.rules.pushTimeoutMs,
        runId: this.runId,
        shardCount,
      },
      this.target,
      this.stopped,
    );
    this.load = load;
    this.watcher.phase(`starting ${sizes.sessions} chats`);
    await load.startChats();
    // The pushes of the joins, which the first refreshes have confirmed, may still be on their way.
    await this.pause(SETTLE_MS);
    await this.underLoad(load, shardCount);
    const watchedUntilMs = await this.untilQuiet(load, this.options.rules);
    this.watcher.phase('reading the transcripts');
    await load.readTranscripts();
    this.ownDelay.disable();
    const history = this.history(load, this.options.rules, watchedUntilMs);
    return { result: this.resultOf(history, load), history };
  }

  /** Takes back what the run has changed. Every step is tried, whatever became of the others; throws the first failure. */
  async close(): Promise<void> {
    this.probing.abort();
    const steps = [
      () => this.endChats(),
      // With the chats gone nobody names the provider any more.
      () => (this.target.isOwn === true ? this.options?.close() : this.options?.restore()),
      () => this.load?.close(),
      () => this.bus?.close().catch(() => undefined),
      () => Promise.all(this.receivers.map((receiver) => receiver.close())),
    ];
    const failures: unknown[] = [];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  private async endChats(): Promise<void> {
    if (this.target.isOwn === true || !this.load) return;
    const remaining = await this.load.leaveChats();
    if (remaining > 0)
      this.watcher.note(
        `${remaining} chats of the drill could not be ended; their devices begin with ${this.runId}`,
      );
  }

  private async connect(): Promise<NatsBus> {
    const { natsUrl } = this.target;
    const waiting = new AbortController();
    const tooLate = sleep(CONNECT_TIMEOUT_MS, undefined, {
      signal: AbortSignal.any([this.stopped, waiting.signal]),
    }).then(() => {
      throw new Error('no NATS server of the target answers; see --nats');
    });
    const connecting = connectBus({ url: natsUrl, name: 'flexpush-drill' });
    this.bus = await Promise.race([connecting, tooLate]).finally(() => waiting.abort());
    return this.bus;
  }

  private async startReceivers(): Promise<void> {
    const { receiverPlace, drill } = this.settings;
    for (let n = 0; n < (drill.needs.receivers ?? 1); n++) {
      const place = { ...receiverPlace, port: receiverPlace.port === 0 ? 0 : receiverPlace.port + n };
      this.receivers.push(await DrillReceiver.start(place, (push) => this.load?.received(push)));
    }
  }

  private providers(): { name: string; url: string }[] {
    return this.receivers.map(({ port }, n) => ({
      name: `${this.runId}-${n + 1}`,
      url: `http://${this.settings.receiverHost}:${port}/push`,
    }));
  }

  private async underLoad(load: Load, shardCount: number): Promise<void> {
    const { drill, sizes } = this.settings;
    const durationMs = sizes.seconds * 1_000;
    const endMs = performance.now() + durationMs;
    const showing = setInterval(
      () => this.watcher.figures(load.figures, load.untoldCount()),
      FIGURES_EVERY_MS,
    );
    try {
      this.watcher.phase(`${sizes.ratePerS} events/s for ${sizes.seconds} s`);
      this.ownDelay.enable();
      for (const receiver of this.receivers) void receiver.probe(this.probing.signal);
      load.startPublishing();
      await this.pause(durationMs * SHARE_BEFORE);
      await this.orStopped(drill.run(this.contextFor(shardCount, endMs)));
      const leftMs = endMs - performance.now();
      if (leftMs > 0) await this.pause(leftMs);
      await load.stopPublishing();
    } finally {
      clearInterval(showing);
    }
  }

  private contextFor(shardCount: number, endMs: number): DrillContext {
    const random = seededRandom(this.settings.seed);
    return {
      target: this.target,
      receivers: this.receivers,
      providers: this.providers().map(({ name }) => name),
      ratePerS: this.settings.sizes.ratePerS,
      secondsLeft: (endMs - performance.now()) / 1_000,
      random,
      untoldCount: () => this.load?.untoldCount() ?? 0,
      pause: (durationMs) => this.pause(durationMs),
      owners: () => (this.bus ? shardsByOwner(this.bus, shardCount) : Promise.resolve(new Map())),
      logLeader: () => this.logLeader(),
      fault: (what, affected) => {
        this.faults.push({ what, affected: this.target.isByHand ? 'none' : affected, atMs: nowMs() });
        this.note(what);
      },
      note: (what) => this.note(what),
    };
  }

  private async logLeader(): Promise<string | undefined> {
    const manager = await this.bus?.connection.jetstreamManager();
    return (await manager?.streams.info(LOG_STREAM))?.cluster?.leader;
  }

  /** Notes what happened, also for the target, which tells of restarts. */
  note(what: string): void {
    if (this.notes.length < NOTES_MAX) this.notes.push({ atMs: nowMs(), what });
    this.watcher.note(what);
  }

  /** Waits until everybody was told of everything, then for one resend more; returns until when was watched. */
  private async untilQuiet(load: Load, rules: PushRules): Promise<number> {
    this.watcher.phase('waiting for what is still to come');
    // A push that got lost comes again with the next resend.
    const endMs = performance.now() + Math.max(QUIET_MAX_MS, rules.resendDelayMs * 2);
    while (load.untoldCount() > 0 && performance.now() < endMs) {
      await this.pause(FIGURES_EVERY_MS);
      this.watcher.figures(load.figures, load.untoldCount());
    }
    // Resends of those who never refresh must be seen to go on.
    await this.pause(Math.min(rules.resendDelayMs, QUIET_MAX_MS) + STANDSTILL_AFTER_MS + 1_000);
    return nowMs();
  }

  private history(load: Load, rules: PushRules, watchedUntilMs: number): DrillHistory {
    const broken = (this.settings.drill.needs.receivers ?? 1) > 1 ? 1 : 0;
    return {
      sessions: load.histories(),
      faults: this.faults,
      ...rules,
      watchedUntilMs,
      timedReceivers: new Set(this.receivers.map((_, n) => n).slice(broken)),
      receiverDelays: this.receivers.map((receiver) => receiver.slowTimes()),
    };
  }

  private resultOf(history: DrillHistory, load: Load): DrillResult {
    const { drill, sizes, limits, seed } = this.settings;
    const judgement = judge(history);
    const isTimed = drill.takesOver && this.target.isByHand !== true;
    const results = checkLimits(judgement, isTimed ? limits : { ...limits, takeoverMs: undefined });
    return {
      drill: drill.name,
      verdict: results.every(({ ok }) => ok) && judgement.published > 0 ? 'pass' : 'fail',
      ...judgement,
      limits: results,
      ...sizes,
      seed,
      target: this.target.description,
      skipped: load.figures.skipped,
      ownDelayP99Ms: ownDelayMs(this.ownDelay.percentile(99)),
      ownDelayMaxMs: ownDelayMs(this.ownDelay.max),
      receiverDelayMaxMs: Math.round(
        Math.max(0, ...history.receiverDelays.flat().map(({ fromMs, toMs }) => toMs - fromMs)),
      ),
      events: this.notes,
    };
  }

  private pause(durationMs: number): Promise<void> {
    return sleep(durationMs, undefined, { signal: this.stopped });
  }

  private async orStopped(task: Promise<void>): Promise<void> {
    const { stopped } = this;
    let onAbort: () => void = () => undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(stopped.reason as Error);
      stopped.addEventListener('abort', onAbort, { once: true });
    });
    await Promise.race([task, aborted]).finally(() => stopped.removeEventListener('abort', onAbort));
  }
}

/** A tick that comes in time counts as its resolution. */
function ownDelayMs(ns: number): number {
  return Math.max(0, Math.round(ns / 1e6) - OWN_DELAY_RESOLUTION_MS);
}
