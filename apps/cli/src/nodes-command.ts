import { parseJson, gmsViewSchema, subjects } from '@flexpush/contracts';
import type { Command } from 'commander';
import { printJson, printLine, printTable } from './output';
import { withBus, withTarget, type TargetOptions } from './target';

const VIEW_TIMEOUT_MS = 2_000;

export function registerNodes(program: Command): void {
  withTarget(program.command('nodes'))
    .description('The GMS nodes as a registry sees them.')
    .option('--json', 'print one JSON object')
    .action((given: TargetOptions & { json?: boolean }) => nodes(given));
}

async function nodes(given: TargetOptions & { json?: boolean }): Promise<void> {
  const answer = await withBus(given, (bus) =>
    bus.request(subjects.registryView, '', { timeoutMs: VIEW_TIMEOUT_MS }),
  );
  if (answer.kind !== 'answer') throw new Error('no registry answers; is gms-registry running?');
  const view = gmsViewSchema.parse(parseJson(answer.text));
  if (given.json) return printJson(view);
  if (view.nodes.length === 0) return printLine('no GMS node is registered');
  printTable(
    ['NODE', 'GROUP', 'STATE', 'STATUS', 'QUEUED', 'IN FLIGHT', 'CAPACITY', 'TYPES'],
    view.nodes.map((node) => [
      node.nodeId,
      node.group,
      node.state,
      node.status,
      String(node.queued),
      String(node.inFlight),
      String(node.capacity),
      node.types.join(','),
    ]),
  );
}
