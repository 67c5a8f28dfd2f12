import type { Command } from 'commander';
import { natsUrlFromEnvironment } from '../config';
import type { Drill, DrillSizes } from './drill';
import type { ReceiverPlace } from './drill-receiver';
import { Kubectl } from './kubectl';
import { PidTarget, runFolderOf } from './pid-target';
import { UrlTarget } from './url-target';

/** Options that name a running system. */
export interface TargetOptions {
  readonly target?: string;
  readonly nats?: string;
  readonly kube?: boolean;
  readonly label: string;
  readonly namespace?: string;
  readonly context?: string;
  readonly receiverHost?: string;
  readonly receiverPort?: number;
}

const LABEL = 'app.kubernetes.io/name';
const LOOPBACK = '127.0.0.1';

/** A running system gets a few canary sessions, not a load. */
export const canarySizes: Omit<DrillSizes, 'seconds'> = { sessions: 50, ratePerS: 10 };

export function withDrillTarget(command: Command, parsePort: (text: string) => number): Command {
  return command
    .option(
      '--target <url or run.json>',
      'a running system: URL of its chat-api, or run.json of "flexpush up"',
    )
    .option('--nats <url>', 'NATS of the target, with a URL (default: FLEXPUSH_NATS_URL)')
    .option('--kube', 'delete pods of the target through kubectl')
    .option('--label <key>', 'label of the pods whose value is the service', LABEL)
    .option('--namespace <name>', 'namespace of the pods')
    .option('--context <name>', 'context of kubectl')
    .option(
      '--receiver-host <host>',
      'host by which the GMS nodes of the target reach this machine',
      undefined,
    )
    .option('--receiver-port <port>', 'port on which pushes are received (default: a free one)', parsePort);
}

/** The running system that the options name; undefined when there is none. Throws what a drill cannot do there. */
export function runningTargetOf(
  drill: Drill,
  given: TargetOptions,
  onAsk: (text: string) => void,
): PidTarget | UrlTarget | undefined {
  const { target } = given;
  if (target === undefined) {
    if (given.kube === true) throw new Error('--kube needs --target <url of the chat-api>');
    return undefined;
  }
  if (drill.onTarget === 'no')
    throw new Error(`${drill.name} runs against a stack of its own only; leave --target out`);
  if (!/^https?:\/\//.test(target)) {
    if (given.kube === true) throw new Error('--kube needs the URL of a chat-api as --target');
    return new PidTarget(runFolderOf(target));
  }
  const natsUrl = given.nats ?? natsUrlFromEnvironment();
  if (natsUrl === undefined) throw new Error('name the NATS of the target with --nats <url>');
  const { label, namespace, context } = given;
  const kubectl = given.kube === true ? new Kubectl({ label, namespace, context }) : undefined;
  return new UrlTarget({ chatApiUrl: target, natsUrl, kubectl, onAsk });
}

/** Where the receiver listens, and by what host it is reached. */
export function receiverOf({ receiverHost, receiverPort }: TargetOptions): {
  receiverPlace: ReceiverPlace;
  receiverHost: string;
} {
  const host = receiverHost === undefined ? LOOPBACK : '0.0.0.0';
  return { receiverPlace: { host, port: receiverPort ?? 0 }, receiverHost: receiverHost ?? LOOPBACK };
}
