import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Gauge } from 'prom-client';
import { Operations } from './operations';
import { serviceModule } from './service';

describe('the operations endpoints', () => {
  let app: NestFastifyApplication;
  let operations: Operations;

  beforeEach(async () => {
    operations = new Operations({ service: 'test', nodeId: 'test-1' });
    app = await NestFactory.create<NestFastifyApplication>(
      serviceModule({}, operations),
      new FastifyAdapter(),
      { logger: false },
    );
    await app.init();
  });
  afterEach(() => app.close());

  const get = (url: string) => app.inject({ method: 'GET', url });

  it('are healthy while the event loop turns, whatever the checks say', async () => {
    operations.addCheck('nats', () => 'not connected');
    expect((await get('/healthz')).statusCode).toBe(200);
  });

  it('are ready only when every check says so, and tell which does not', async () => {
    let redis: true | string = 'reconnecting';
    operations.addCheck('nats', () => true);
    operations.addCheck('redis', () => redis);
    const away = await get('/readyz');
    expect(away.statusCode).toBe(503);
    expect(away.json()).toEqual({ ready: false, checks: { nats: 'ok', redis: 'reconnecting' } });
    redis = true;
    const back = await get('/readyz');
    expect(back.statusCode).toBe(200);
    expect(back.json()).toEqual({ ready: true, checks: { nats: 'ok', redis: 'ok' } });
  });

  it('stay ready under a warning, and show it while it lasts', async () => {
    let timers: true | string = 'one is overdue';
    operations.addWarning('timers', () => timers);
    const warned = await get('/readyz');
    expect([warned.statusCode, warned.json()]).toEqual([
      200,
      { ready: true, checks: {}, warnings: { timers: 'one is overdue' } },
    ]);
    timers = true;
    expect((await get('/readyz')).json()).toEqual({ ready: true, checks: {} });
  });

  it('refuse new work from the moment a stop begins', async () => {
    operations.beginStop();
    expect((await get('/readyz')).statusCode).toBe(503);
  });

  it('show metrics with the labels of the process', async () => {
    new Gauge({ name: 'flexpush_test', help: 'A test', registers: [operations.registry] }).set(7);
    const metrics = await get('/metrics');
    expect(metrics.headers['content-type']).toContain('text/plain');
    expect(metrics.payload).toContain('flexpush_test{service="test",nodeId="test-1"} 7');
  });
});
