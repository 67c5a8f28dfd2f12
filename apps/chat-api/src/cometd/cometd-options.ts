import { readOption, type OptionValues } from '@flexpush/contracts';

/** Why no CometD client may connect, if so (CONTRACT 2.1). A passing reason is worth another try. */
export function cometClosedBecause(
  values: OptionValues | undefined,
): { reason: string; isPassing: boolean } | undefined {
  if (values === undefined) return { reason: 'the options are not read yet', isPassing: true };
  if (readOption(values, ['chat'], 'enable_notification_mode') !== 'true')
    return {
      reason: 'CometD is off; option enable_notification_mode in section chat must be true',
      isPassing: false,
    };
  const enabled = (readOption(values, ['push'], 'pushEnabled') ?? '').split(',').map((type) => type.trim());
  if (!enabled.includes('comet'))
    return {
      reason: 'CometD is off; option pushEnabled in section push must contain comet',
      isPassing: false,
    };
  return undefined;
}
