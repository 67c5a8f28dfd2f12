/** Ids as long as those that chat-api gives out (CONTRACT 1.3): a timer's memory depends on them. */
export function idsLikeReal(n: number): { sessionId: string; userId: string } {
  return {
    sessionId: `00021${n.toString(36).padStart(11, '0')}`,
    userId: `00${n.toString(16).toUpperCase().padStart(14, '0')}`,
  };
}
