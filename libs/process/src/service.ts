import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Provider, Type } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { z } from 'zod';
import { tuneCollector } from './collector';
import { ConfigError, readConfig, type serviceConfigShape } from './config';
import { createLogger, NestLogger, type Logger } from './logger';
import { Operations, OperationsController } from './operations';

export type ServiceConfig = z.infer<z.ZodObject<typeof serviceConfigShape>>;

export interface ServiceContext<C> {
  config: Readonly<C>;
  log: Logger;
  operations: Operations;
  nodeId: string;
  /** Changes with every start of the process; a later one sorts higher, unless the clock was set back in between. */
  incarnation: string;
}

/** One step of the shutdown; the steps run one after the other, in the order written. */
export interface StopStep {
  name: string;
  run: () => Promise<void> | void;
}

export interface ServiceParts {
  controllers?: Type[];
  providers?: Provider[];
  /** Fastify options such as body limits. */
  adapter?: FastifyAdapter;
  /** Last settings of the Nest app, e.g. plug-ins or a connected microservice. */
  configure?: (app: NestFastifyApplication) => Promise<void> | void;
  /** Runs when HTTP listens. */
  start?: () => Promise<void> | void;
  stop: StopStep[];
}

/** The Nest module of a service: flat lists and the operations endpoints. */
export function serviceModule(
  parts: Pick<ServiceParts, 'controllers' | 'providers'>,
  operations: Operations,
): Type {
  @Module({
    controllers: [OperationsController, ...(parts.controllers ?? [])],
    providers: [{ provide: Operations, useValue: operations }, ...(parts.providers ?? [])],
  })
  class ServiceModule {}
  return ServiceModule;
}

/**
 * Runs a service until SIGTERM or SIGINT: reads the configuration (all problems at once, exit code 78), builds the
 * parts, serves HTTP, starts, and stops in the written order. An unexpected error ends the process with exit code 1;
 * the supervisor starts it again.
 */
export async function runService<S extends z.ZodType<ServiceConfig>>(options: {
  name: string;
  schema: S;
  build: (context: ServiceContext<z.infer<S>>) => Promise<ServiceParts>;
}): Promise<void> {
  tuneCollector();
  const config = readConfigOrExit(options.schema);
  const incarnation = newIncarnation(Date.now());
  const nodeId =
    config.FLEXPUSH_NODE_ID ??
    `${options.name}-${hostname()
      .replace(/[^A-Za-z0-9_-]/g, '-')
      .slice(0, 40)}`;
  const log = createLogger({ service: options.name, nodeId, level: config.FLEXPUSH_LOG_LEVEL });
  const crash = (error: unknown) => {
    log.fatal({ err: error }, 'process.crashed');
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  try {
    const operations = new Operations({ service: options.name, nodeId });
    const parts = await options.build({ config, log, operations, nodeId, incarnation });
    const adapter = parts.adapter ?? new FastifyAdapter();
    const app = await NestFactory.create<NestFastifyApplication>(serviceModule(parts, operations), adapter, {
      logger: new NestLogger(log),
      abortOnError: false,
    });
    await parts.configure?.(app);
    await app.listen(config.FLEXPUSH_HTTP_PORT, config.FLEXPUSH_HTTP_HOST);
    await parts.start?.();
    log.info({ url: await app.getUrl(), incarnation, pid: process.pid }, 'service.started');
    stopOnSignal({ parts, app, operations, log, config });
  } catch (error) {
    crash(error);
  }
}

/** The start in base 36, of one length until the year 5188, and something that no other start of that millisecond has. */
export function newIncarnation(startedAtMs: number): string {
  return `${startedAtMs.toString(36).padStart(9, '0')}-${randomBytes(4).toString('hex')}`;
}

function readConfigOrExit<S extends z.ZodType>(schema: S): Readonly<z.infer<S>> {
  try {
    return readConfig(schema);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(78);
  }
}

function stopOnSignal(service: {
  parts: ServiceParts;
  app: NestFastifyApplication;
  operations: Operations;
  log: Logger;
  config: ServiceConfig;
}): void {
  const { parts, app, operations, log, config } = service;
  let stopping = false;
  const stop = async (cause: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ cause }, 'service.stopping');
    operations.beginStop();
    for (const step of [...parts.stop, { name: 'close http', run: () => app.close() }]) {
      const startedAtMs = performance.now();
      const outcome = await runStep(step, config.FLEXPUSH_STOP_STEP_TIMEOUT_MS);
      log[outcome === 'done' ? 'debug' : 'warn'](
        { step: step.name, outcome, tookMs: Math.round(performance.now() - startedAtMs) },
        'service.stop-step',
      );
    }
    log.info('service.stopped');
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  if (config.FLEXPUSH_EXIT_WITH_PARENT === '1') {
    process.stdin.on('end', () => void stop('parent gone'));
    process.stdin.on('error', () => void stop('parent gone'));
    process.stdin.resume();
  }
}

/** A step that fails or hangs must not keep the later ones from running. */
async function runStep(step: StopStep, timeoutMs: number): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('timed out'), timeoutMs);
  });
  const work = Promise.resolve()
    .then(() => step.run())
    .then(
      () => 'done',
      (error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`,
    );
  const outcome = await Promise.race([work, timeout]);
  clearTimeout(timer);
  return outcome;
}
