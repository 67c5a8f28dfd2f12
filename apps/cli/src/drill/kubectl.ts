import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';

const podListSchema = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), deletionTimestamp: z.string().optional() }),
      status: z.object({
        phase: z.string().optional(),
        conditions: z.array(z.object({ type: z.string(), status: z.string() })).optional(),
      }),
    }),
  ),
});

export interface KubectlSettings {
  /** Key of the label whose value is the name of the service. */
  readonly label: string;
  readonly namespace?: string | undefined;
  readonly context?: string | undefined;
}

export interface Pod {
  readonly name: string;
  readonly isReady: boolean;
}

const run = promisify(execFile);
const TIMEOUT_MS = 120_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** The few things that a drill asks of kubectl, the one on the PATH. */
export class Kubectl {
  constructor(private readonly settings: KubectlSettings) {}

  /** Pods of a service that are not being deleted. */
  async pods(service: string): Promise<Pod[]> {
    const selector = `${this.settings.label}=${service}`;
    const { items } = podListSchema.parse(
      JSON.parse(await this.kubectl('get', 'pods', '-l', selector, '-o', 'json')),
    );
    return items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata, status }) => ({
        name: metadata.name,
        isReady:
          status.phase === 'Running' &&
          (status.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True'),
      }));
  }

  /** Takes a pod away without a chance to clean up; returns before it is gone. */
  async killPod(name: string): Promise<void> {
    await this.kubectl('delete', 'pod', name, '--grace-period=0', '--force', '--wait=false');
  }

  /** Asks a pod to stop and resolves when it is gone. */
  async stopPod(name: string): Promise<void> {
    await this.kubectl('delete', 'pod', name, '--wait=true');
  }

  private async kubectl(...args: string[]): Promise<string> {
    const { namespace, context } = this.settings;
    const where = [
      ...(context === undefined ? [] : ['--context', context]),
      ...(namespace === undefined ? [] : ['--namespace', namespace]),
    ];
    try {
      const { stdout } = await run('kubectl', [...where, ...args], {
        timeout: TIMEOUT_MS,
        maxBuffer: OUTPUT_BYTES_MAX,
      });
      return stdout;
    } catch (error) {
      const said = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
      throw new Error(`kubectl ${args.slice(0, 3).join(' ')}: ${said}`, { cause: error });
    }
  }
}
