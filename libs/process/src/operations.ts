import { Controller, Get, Header, HttpCode, HttpException, Inject } from '@nestjs/common';
import { collectDefaultMetrics, Registry } from 'prom-client';

/** `true`, or what is wrong. */
export type CheckResult = true | string;

/**
 * What operators see of a process: readiness checks and metrics. A service is ready when every check says true and
 * it is not stopping.
 */
export class Operations {
  readonly registry = new Registry();
  private readonly checks = new Map<string, () => CheckResult>();
  private readonly warnings = new Map<string, () => CheckResult>();
  private stopping = false;

  constructor(labels: { service: string; nodeId: string }) {
    this.registry.setDefaultLabels(labels);
    collectDefaultMetrics({ register: this.registry });
  }

  addCheck(name: string, check: () => CheckResult): void {
    this.checks.set(name, check);
  }

  /** Like a check, but the process stays ready: something is wrong that sending work elsewhere would not help. */
  addWarning(name: string, check: () => CheckResult): void {
    this.warnings.set(name, check);
  }

  /** From now on `/readyz` refuses, so that no new work is routed here. */
  beginStop(): void {
    this.stopping = true;
  }

  readiness(): Readiness {
    const checks: Record<string, string> = {};
    let ready = !this.stopping;
    if (this.stopping) checks['process'] = 'stopping';
    for (const [name, check] of this.checks) {
      const result = check();
      checks[name] = result === true ? 'ok' : result;
      ready &&= result === true;
    }
    const warnings: Record<string, string> = {};
    for (const [name, check] of this.warnings) {
      const result = check();
      if (result !== true) warnings[name] = result;
    }
    return { ready, checks, ...(Object.keys(warnings).length === 0 ? {} : { warnings }) };
  }
}

/** `warnings` is there when there is one. */
export interface Readiness {
  ready: boolean;
  checks: Record<string, string>;
  warnings?: Record<string, string>;
}

/** `/healthz` says that the event loop turns, `/readyz` that work may be sent here, `/metrics` is for Prometheus. */
@Controller()
export class OperationsController {
  constructor(@Inject(Operations) private readonly operations: Operations) {}

  @Get('healthz')
  health(): { status: string } {
    return { status: 'ok' };
  }

  @Get('readyz')
  @HttpCode(200)
  ready(): Readiness {
    const readiness = this.operations.readiness();
    if (!readiness.ready) throw new HttpException(readiness, 503);
    return readiness;
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  metrics(): Promise<string> {
    return this.operations.registry.metrics();
  }
}
