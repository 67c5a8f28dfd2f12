import { type NatsServerCount, natsServerCounts, redisTopologies } from '@flexpush/stack';
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Options that say which servers a stack has. */
export function withTopology(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--redis <topology>',
        'one server; a master, a replica and three sentinels; or a cluster of six (default: as before, single at first)',
      ).choices(redisTopologies),
    )
    .option(
      '--nats-servers <1|3>',
      'one server, or a JetStream cluster of three; fixed at the first start of a folder (default: 1)',
      parseNatsServers,
    );
}

function parseNatsServers(text: string): NatsServerCount {
  const count = natsServerCounts.find((one) => String(one) === text);
  if (count === undefined) throw new InvalidArgumentError('It must be 1 or 3.');
  return count;
}
