import type { OptionHistory, SessionSnapshot, Snapshots } from '../ports';

/** The snapshot stream in memory. */
export class MemorySnapshots implements Snapshots {
  createdMs = 0;

  createdAtMs(): Promise<number> {
    return Promise.resolve(this.createdMs);
  }

  readonly sessions = new Map<number, Map<string, SessionSnapshot>>();
  readonly options = new Map<number, OptionHistory>();

  async write(shard: number, snapshot: SessionSnapshot): Promise<'stored' | 'older'> {
    const ofShard = this.sessions.get(shard) ?? new Map<string, SessionSnapshot>();
    const known = ofShard.get(snapshot.sessionId);
    if (known?.createdAt === snapshot.createdAt && known.seq > snapshot.seq) return 'older';
    this.sessions.set(shard, ofShard.set(snapshot.sessionId, snapshot));
    return 'stored';
  }

  async remove(shard: number, sessionId: string): Promise<void> {
    this.sessions.get(shard)?.delete(sessionId);
  }

  async *read(shard: number): AsyncGenerator<SessionSnapshot[]> {
    for (const snapshot of [...(this.sessions.get(shard)?.values() ?? [])]) yield [snapshot];
  }

  async readOptions(shard: number): Promise<OptionHistory | undefined> {
    return this.options.get(shard);
  }

  async writeOptions(shard: number, history: OptionHistory): Promise<void> {
    this.options.set(shard, history);
  }
}
