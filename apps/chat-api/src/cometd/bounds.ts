/** Every bound of the CometD front end that is not configured (I9). */
export const COMETD_BOUNDS = {
  /** Bayeux messages in one request or WebSocket frame. */
  messagesPerBatch: 64,
  /** Operations of one client that may be under way. */
  operationsPerClient: 32,
  /** Chats that one client may follow. */
  chatsPerClient: 8,
  /** Messages that wait for one client, those that it has not confirmed included; at the bound the client is dropped. */
  queuedMessages: 1_000,
  /** Characters of them; a page of the transcript may go beyond it once. */
  queuedChars: 4_194_304,
  /** Characters in one HTTP response or between two answers to /meta/connect; at least one message goes out. */
  charsPerDelivery: 1_048_576,
  /** Events in one message to a client; a longer page is cut. */
  eventsPerMessage: 100,
  /** Pushed events of a chat that wait for a gap before them; what is beyond is pulled later. */
  waitingEvents: 500,
  /** Pages that are pulled without a break to fill a gap; eventsPerSession / eventsPerReply and some. */
  pulls: 32,
  /** Pulls in a row that bring nothing although something waits; then the gap is taken as empty. */
  fruitlessPulls: 3,
  /** Tries to pull, or to report a client away, while the sessions do not answer. */
  tries: 8,
  /** Wait after the first failed try; doubles each time. */
  retryMs: 1_000,
  /** Bytes that may lie unsent in a WebSocket before messages wait in the client's queue. */
  socketBufferBytes: 1_048_576,
  /** A WebSocket that no client uses may stay open for so long, and for the time that a client has to connect. */
  unusedSocketMs: 10_000,
  channelChars: 256,
  idChars: 64,
  subscriptionsPerMessage: 32,
} as const;
