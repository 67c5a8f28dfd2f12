import { TOKEN_SOURCES_MAX } from './bounds';

/**
 * What gives the tokens of each destination. It outlives the channel, which ends when it is idle: a quiet node would
 * else fetch a token per push, and APNs refuses a new one within 20 minutes of the last.
 */
export class TokenBook<T> {
  private readonly sources = new Map<string, T>();

  of(destination: string, make: () => T): T {
    const known = this.sources.get(destination);
    if (known !== undefined) return known;
    // Older ones belong to settings that have changed; a channel that still uses one keeps it.
    if (this.sources.size >= TOKEN_SOURCES_MAX) this.sources.clear();
    const source = make();
    this.sources.set(destination, source);
    return source;
  }
}
