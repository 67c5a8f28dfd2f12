/** What one shard has unsettled. */
export class ShardRoom {
  unsettled = 0;
  /** Who waits until it is below its bound. */
  readonly waiters: (() => void)[] = [];
}

/**
 * Bounds the unsettled notifications of each shard and of all shards of a process (I9). A shard at its bound reads no
 * further. While those of all stand at theirs, the shards that have read a batch fold one each in turn: a fold that is
 * quicker than the receivers would only replace triggers that have not been sent.
 */
export class UnsettledBound {
  private unsettled = 0;
  /** Shards that have read and wait to fold, and whose turn it is. */
  private turns: { room: ShardRoom; go: () => void }[] = [];
  private turnOf: ShardRoom | undefined;

  constructor(private readonly max: { perShard: number; ofAll: number }) {}

  add(room: ShardRoom): void {
    room.unsettled++;
    this.unsettled++;
  }

  remove(room: ShardRoom): void {
    room.unsettled--;
    this.unsettled--;
    this.giveTurn();
    if (!this.isAtBound(room)) wake(room);
  }

  /** True while the shard waits for either bound. */
  isFull(room: ShardRoom): boolean {
    return this.isAtBound(room) || this.turns.some((turn) => turn.room === room);
  }

  /** Resolves when the shard may read on, or when it leaves or is nudged. */
  untilRoom(room: ShardRoom): Promise<void> {
    if (!this.isAtBound(room)) return Promise.resolve();
    return new Promise((resolve) => room.waiters.push(resolve));
  }

  /** Resolves when a shard that has read a batch may fold it, or when it leaves or is nudged. Ends with `endTurn`. */
  turn(room: ShardRoom): Promise<void> {
    if (this.turns.length === 0 && this.unsettled < this.max.ofAll) return Promise.resolve();
    return new Promise((go) => {
      this.turns.push({ room, go });
      this.giveTurn();
    });
  }

  endTurn(room: ShardRoom): void {
    if (this.turnOf !== room) return;
    this.turnOf = undefined;
    this.giveTurn();
  }

  /** Lets a shard that waits for anything look again. */
  nudge(room: ShardRoom): void {
    wake(room);
    const leaving = this.turns.filter((turn) => turn.room === room);
    this.turns = this.turns.filter((turn) => turn.room !== room);
    for (const { go } of leaving) go();
    if (this.turnOf === room) this.turnOf = undefined;
    this.giveTurn();
  }

  /** Nothing of this shard is waited for any more. */
  leave(room: ShardRoom): void {
    this.unsettled -= room.unsettled;
    room.unsettled = 0;
    this.nudge(room);
  }

  private isAtBound(room: ShardRoom): boolean {
    return room.unsettled >= this.max.perShard;
  }

  private giveTurn(): void {
    if (this.turnOf || this.unsettled >= this.max.ofAll) return;
    const next = this.turns.shift();
    this.turnOf = next?.room;
    next?.go();
  }
}

function wake(room: ShardRoom): void {
  for (const resolve of room.waiters.splice(0)) resolve();
}
