/**
 * Gives a fresh system the options without which no push would arrive: the receiver's URL and a text.
 * `previousReceiverUrl` is where the receiver listened last time; an option that still says so follows it.
 */
export async function seedOptions(
  _natsUrl: string,
  _receiverUrl: string,
  _previousReceiverUrl?: string,
): Promise<void> {
  throw new Error('not built yet');
}
