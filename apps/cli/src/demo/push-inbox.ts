import type { ChatResponse } from '@flexpush/contracts';
import type { ReceivedPush } from '../push-receiver';

/** A push as the customer's server saw it. */
export interface SeenPush {
  readonly n: number;
  readonly atMs: number;
  readonly body: { deviceId: string; message: ChatResponse };
  /** From the push user data of a trigger; undefined for plain ones. */
  readonly sessionId: string | undefined;
  readonly attempt: number | undefined;
  readonly position: number | undefined;
}

const PUSHES_MAX = 10_000;

/** What arrived, in order; each trigger is taken once. */
export class PushInbox {
  private readonly pushes: SeenPush[] = [];
  private readonly taken = new Set<SeenPush>();
  private waiters: (() => void)[] = [];

  receive(push: ReceivedPush): void {
    if (this.pushes.length >= PUSHES_MAX) return;
    const body = JSON.parse(push.text) as SeenPush['body'];
    const userData = body.message.messages?.[0]?.userData;
    const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
    this.pushes.push({
      n: this.pushes.length,
      atMs: push.atMs,
      body,
      sessionId: userData?.['session-id'],
      attempt: number(userData?.['notify-attempt']),
      position: number(userData?.['notify-position']),
    });
    for (const wake of this.waiters.splice(0)) wake();
  }

  all(): readonly SeenPush[] {
    return this.pushes;
  }

  /** The first push like this that was not taken yet, and takes it; undefined when none comes in time. */
  async take(wanted: (push: SeenPush) => boolean, patienceMs: number): Promise<SeenPush | undefined> {
    const push = await this.wait((one) => !this.taken.has(one) && wanted(one), patienceMs);
    if (push) this.taken.add(push);
    return push;
  }

  async wait(wanted: (push: SeenPush) => boolean, patienceMs: number): Promise<SeenPush | undefined> {
    const deadlineMs = performance.now() + patienceMs;
    for (;;) {
      const push = this.pushes.find(wanted);
      const leftMs = deadlineMs - performance.now();
      if (push || leftMs <= 0) return push;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}
