/** The two public log ids of the original (CONTRACT 4.10). Shown as the field `logId`. */
export const logIds = {
  /** GMS: an event was not pushed. */
  notPushed: '09900',
  /** Chat Server: could not send notification, no gms node found in group. */
  noNode: '59758',
} as const;
