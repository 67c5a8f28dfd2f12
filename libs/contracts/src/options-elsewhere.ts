/** An option of the original that is none here, and what to know instead. */
export interface OptionElsewhere {
  name: string;
  why: string;
}

const noInteractionServer = 'flexpush has no interaction server behind it';
const noTranscriptServer =
  'the transcript is kept by the log and its snapshots; nothing has to be configured for failover';
const v1 = 'it belongs to Chat API Version 1 or to generic services, which flexpush does not serve';
const notificationApi = 'it belongs to the Notification API, which flexpush does not serve';

/** Options of the original that an imported file may have, and that mean nothing here (CONTRACT sections 3 and 4). */
export const optionsElsewhere: readonly OptionElsewhere[] = [
  ...[
    'session-restoration-mode',
    'transcript-auto-save',
    'transcript-save-on-error',
    'transcript-resend-attempts',
    'transcript-resend-delay',
    'transcript-save-notices',
    'use-contact-server',
    'session-restore-extend-by',
    'session-restore-do-purge',
  ].map((name) => ({ name, why: noTranscriptServer })),
  ...[
    'stop-abandoned-interaction',
    'attach-session-statistics',
    'ixn-submittedby-name',
    'user-register-timeout',
  ].map((name) => ({ name, why: noInteractionServer })),
  ...['limits-control-enabled', 'limit-for-flex-users', 'limit-for-sessions', 'limits-restore-threshold'].map(
    (name) => ({
      name,
      why: 'sessions are not limited in number; requests are, by FLEXPUSH_REQUESTS_IN_FLIGHT_MAX of chat-api',
    }),
  ),
  {
    name: 'xml-request-max-size',
    why: 'its counterpart is FLEXPUSH_REQUEST_BYTES_MAX in the environment of chat-api',
  },
  { name: 'message-log-print-size', why: 'texts of chats are never logged' },
  { name: 'session-password-enforce', why: 'agents act over NATS, whose permissions decide who may' },
  ...[
    '_chat_400_response_on_disconnected',
    '_client_timeout_notification',
    '_agent_timeout_notification_message',
    '_provider_name',
  ].map((name) => ({ name, why: v1 })),
  ...['defaultSubscriptionExpiration'].map((name) => ({ name, why: notificationApi })),
];

/** Old push services have a family of options each, all of them without a counterpart. */
const oldFamilies = /^(debug\.)?(android|gcm|wns|httpcb|orscb)\./;

/** Why an option of the original is none here; undefined: it is not known at all. */
export function whyElsewhere(name: string): string | undefined {
  if (oldFamilies.test(name)) return 'this push service was shut down by its operator, or is not served';
  return optionsElsewhere.find((option) => option.name === name)?.why;
}
