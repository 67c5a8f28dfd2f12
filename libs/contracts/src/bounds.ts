/** Every bound of a payload or a session, by name (I9). Lengths are UTF-16 code units unless the name says bytes. */
export const BOUNDS = {
  nicknameChars: 128,
  textChars: 16_384,
  urlChars: 2_048,
  deviceIdChars: 512,
  languageChars: 35,
  fileNameChars: 255,
  userDataKeys: 64,
  userDataKeyChars: 128,
  userDataValueChars: 4_096,
  /** Of one record, as JSON; larger ones are refused. */
  recordBytes: 65_536,
  /** Records that a writer packs into one log message. */
  recordsPerMessage: 128,
  /** Bytes that a writer packs into one log message; below the server's default max_payload. */
  messageBytes: 262_144,
  timersPerRecord: 200,
  resultsPerRecord: 500,
  participantsPerSession: 64,
  eventsPerSession: 10_000,
  filesPerSession: 100,
  /** Record ids that a session remembers per five-minute generation. */
  recentIdsPerGeneration: 128,
  /** Events in the answer to one refresh; the rest comes with the next. */
  eventsPerReply: 500,
  plainNotificationsPerSubscription: 200,
  plainNotificationAgeMs: 3_600_000,
  /** Jobs in one dispatch to a GMS node. */
  jobsPerDispatch: 256,
} as const;
