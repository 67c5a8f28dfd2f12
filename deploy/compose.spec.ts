import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import {
  commonEnvNames,
  DEFAULT_SHARDS,
  findExecutable,
  kindEnvNames,
  kindNodeArgs,
  renderNatsConf,
  renderRedisConf,
  type ServiceKind,
  serviceKinds,
} from '@flexpush/stack';
import { parse } from 'yaml';

interface ComposeService {
  readonly image?: string;
  readonly build?: {
    readonly context: string;
    readonly dockerfile: string;
    readonly args: { readonly APP: string };
  };
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[];
  readonly ports?: readonly string[];
}
interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const root = resolve(__dirname, '..');
const compose = parse(readFileSync(join(__dirname, 'compose.yaml'), 'utf8'), { merge: true }) as Compose;
const dockerfile = readFileSync(join(__dirname, 'Dockerfile'), 'utf8');
const built = Object.entries(compose.services).flatMap(([name, service]) =>
  service.build === undefined ? [] : [{ name, build: service.build, service }],
);

function isServiceKind(name: string): name is ServiceKind {
  return (serviceKinds as readonly string[]).includes(name);
}

describe('compose.yaml', () => {
  it('has every service, redis and nats', () => {
    expect(Object.keys(compose.services).sort()).toEqual([...serviceKinds, 'nats', 'redis'].sort());
  });

  it.each(built)('builds $name from an app that exists', ({ name, build }) => {
    const context = resolve(__dirname, build.context);
    expect(context).toBe(root);
    expect(existsSync(join(context, build.dockerfile))).toBe(true);
    expect(build.args.APP).toBe(name);
    expect(existsSync(join(context, 'apps', build.args.APP, 'src', 'main.ts'))).toBe(true);
  });

  it.each(built)('gives $name the environment that it knows, and all that is needed', ({ name, service }) => {
    if (!isServiceKind(name)) throw new Error(`${name} is no kind of service`);
    const { NODE_OPTIONS = '', ...environment } = service.environment ?? {};
    expect(NODE_OPTIONS).toBe((kindNodeArgs[name] ?? []).join(' '));
    const given = Object.keys(environment);
    const known: readonly string[] = [...commonEnvNames, ...kindEnvNames[name]];
    expect(given.filter((variable) => !known.includes(variable))).toEqual([]);
    // A container has a name of its own for the node id, and no parent to follow.
    const optional = ['FLEXPUSH_NODE_ID', 'FLEXPUSH_EXIT_WITH_PARENT', 'RECEIVER_DELAY_MS'];
    expect(known.filter((variable) => !optional.includes(variable) && !given.includes(variable))).toEqual([]);
  });

  it('names hosts that are services, and volumes that exist', () => {
    for (const { service } of built) {
      for (const variable of ['FLEXPUSH_NATS_URL', 'FLEXPUSH_REDIS_URL']) {
        expect(compose.services).toHaveProperty(new URL(service.environment?.[variable] ?? '').hostname);
      }
      for (const needed of service.depends_on ?? []) expect(compose.services).toHaveProperty(needed);
    }
    for (const volume of Object.values(compose.services).flatMap((service) => service.volumes ?? [])) {
      const source = volume.split(':')[0] ?? '';
      if (source.startsWith('.')) expect(existsSync(resolve(__dirname, source))).toBe(true);
      else expect(compose.volumes).toHaveProperty(source);
    }
  });

  it('publishes ports on loopback only, to the port on which the app listens', () => {
    for (const { service } of built) {
      for (const port of service.ports ?? []) {
        expect(port).toMatch(/^127\.0\.0\.1:\d+:8080$/);
        expect(service.environment?.['FLEXPUSH_HTTP_PORT']).toBe('8080');
      }
    }
  });

  it('mounts configurations that are rendered from the templates', () => {
    const [nats, redis] = ['nats.conf', 'redis.conf'].map((file) =>
      readFileSync(join(__dirname, 'compose', file), 'utf8'),
    );
    expect(nats).toBe(
      renderNatsConf({
        serverName: 'flexpush',
        host: '0.0.0.0',
        port: 4222,
        storeDir: '/data',
        pidFile: '/tmp/nats.pid',
        shards: DEFAULT_SHARDS,
      }),
    );
    expect(redis).toBe(
      renderRedisConf({
        bind: '0.0.0.0',
        protectedMode: false,
        port: 6379,
        appendOnly: true,
        dataDir: '/data',
        pidFile: '/tmp/redis.pid',
      }),
    );
    expect(compose.services['session-actor']?.environment?.['FLEXPUSH_SHARDS']).toBe(String(DEFAULT_SHARDS));
  });

  it('mounts a nats.conf that nats-server accepts', () => {
    const config = join(__dirname, 'compose', 'nats.conf');
    expect(() =>
      execFileSync(findExecutable('nats-server'), ['-t', '-c', config], { stdio: 'pipe' }),
    ).not.toThrow();
  });
});

describe('the Dockerfile', () => {
  const copies = [...dockerfile.matchAll(/^COPY (.+)$/gm)].map(([, rest = '']) => {
    const words = rest.split(/\s+/);
    return {
      stage: words.find((word) => word.startsWith('--from='))?.slice('--from='.length),
      sources: words.filter((word) => !word.startsWith('--')).slice(0, -1),
    };
  });

  it('copies only what exists', () => {
    expect(copies.length).toBeGreaterThan(4);
    for (const { stage, sources } of copies) {
      for (const source of sources) {
        const path = stage === undefined ? source : source.replace(/^\/flexpush\//, '');
        // node_modules is made by the build stage; everything else comes from the repository.
        if (path !== 'node_modules')
          expect({ path, exists: existsSync(join(root, path)) }).toEqual({ path, exists: true });
      }
    }
  });

  it('is let by the ignore file to see what it copies', () => {
    const lines = readFileSync(join(__dirname, 'Dockerfile.dockerignore'), 'utf8').split('\n');
    for (const source of copies
      .filter(({ stage }) => stage === undefined)
      .flatMap(({ sources }) => sources)) {
      expect(lines).toContain(`!${source.replace(/^\.\//, '')}`);
    }
    for (const line of lines.filter((candidate) => candidate.startsWith('!'))) {
      expect({ line, exists: existsSync(join(root, line.slice(1))) }).toEqual({ line, exists: true });
    }
  });

  it('runs as a plain user, with a health check that needs no curl', () => {
    expect(dockerfile).toMatch(/^USER node$/m);
    expect(dockerfile).toMatch(/^HEALTHCHECK .*"healthcheck\.mjs"\]$/m);
    expect(dockerfile).not.toMatch(/curl|wget/);
  });
});

describe('the health check', () => {
  const check = (port: number) =>
    new Promise<number | null>((resolve) => {
      const env = { ...process.env, FLEXPUSH_HTTP_PORT: String(port) };
      spawn(process.execPath, [join(__dirname, 'healthcheck.mjs')], { env }).once('close', resolve);
    });

  it.each([
    { status: 200, code: 0 },
    { status: 503, code: 1 },
  ])('ends with $code when /healthz answers $status', async ({ status, code }) => {
    const server = createServer((request, response) =>
      response.writeHead(request.url === '/healthz' ? status : 404).end(),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await check(port)).toBe(code);
    server.close();
    await once(server, 'close');
    expect(await check(port)).toBe(1);
  });
});
