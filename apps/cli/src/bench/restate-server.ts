import { join } from 'node:path';
import { freePort, isHttpReady, ManagedProcess } from '@flexpush/stack';

const READY_TIMEOUT_MS = 60_000;
const LOOPBACK = '127.0.0.1';

/** A restate-server with its defaults, one node. It can be killed and started again on the same data and ports. */
export class RestateServer extends ManagedProcess {
  private constructor(
    dir: string,
    readonly ingressUrl: string,
    readonly adminUrl: string,
    nodePort: number,
  ) {
    super({
      name: 'restate-server',
      kind: 'restate-server',
      command: serverProgram(),
      args: ['--base-dir', dir, '--listen-mode', 'tcp', '--no-logo', '--log-filter', 'off'],
      env: {
        RESTATE_DISABLE_TELEMETRY: 'true',
        RESTATE_BIND_IP: LOOPBACK,
        RESTATE_BIND_PORT: String(nodePort),
        RESTATE_INGRESS__BIND_PORT: new URL(ingressUrl).port,
        RESTATE_ADMIN__BIND_PORT: new URL(adminUrl).port,
      },
      cwd: dir,
      commandPart: dir,
      logFile: join(dir, 'restate-server.log'),
      pidFile: join(dir, 'restate-server.pid'),
      probe: async () =>
        (await isHttpReady(`${adminUrl}/health`)) && (await isHttpReady(`${ingressUrl}/restate/health`)),
      readyTimeoutMs: READY_TIMEOUT_MS,
      // It is not needed any more; what it would put in order is deleted.
      stopGraceMs: 0,
      holdStdin: false,
    });
  }

  /** On free ports, not started. */
  static async prepare(dir: string): Promise<RestateServer> {
    const [ingress, admin, node] = await Promise.all([freePort(), freePort(), freePort()]);
    return new RestateServer(dir, `http://${LOOPBACK}:${ingress}`, `http://${LOOPBACK}:${admin}`, node);
  }
}

/** The program that the npm package brings for this machine. */
function serverProgram(): string {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`;
  try {
    return require.resolve(name);
  } catch (error) {
    throw new Error(
      `restate has no server for ${process.platform}-${process.arch}, so there is nothing to compare with`,
      { cause: error },
    );
  }
}
