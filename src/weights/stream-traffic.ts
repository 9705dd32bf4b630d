/** What streaming has cost so far, and how much of reading and computing went on at the same time. */

export interface StreamTraffic {
  /** Passes through the streamed layers. */
  readonly passes: number;
  readonly bytesRead: number;
  /** Milliseconds during which anything was read, computed, or both. */
  readonly readMs: number;
  readonly computeMs: number;
  readonly bothMs: number;
  /** Blocks of the sidecar that were damaged and put right from the model's file. */
  readonly repairedBlocks: number;
  /** Groups of rows of the embedding that were read from the model's file. */
  readonly rowGroupsRead: number;
}

/** A read, or packing that mends one, for traces. */
export interface StreamEvent {
  readonly lane: 'read' | 'repack';
  readonly name: string;
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  readonly durationMs: number;
}

export class TrafficMeter {
  readonly #traffic = {
    passes: 0,
    bytesRead: 0,
    readMs: 0,
    computeMs: 0,
    bothMs: 0,
    repairedBlocks: 0,
    rowGroupsRead: 0,
  };
  #reads = 0;
  #computing = 0;
  #sinceMs = performance.now();

  get traffic(): StreamTraffic {
    this.#advance();
    return { ...this.#traffic };
  }

  beginRead(): void {
    this.#advance();
    this.#reads++;
  }

  endRead(byteCount: number): void {
    this.#advance();
    this.#reads--;
    this.#traffic.bytesRead += byteCount;
  }

  beginCompute(): void {
    this.#advance();
    this.#computing++;
  }

  endCompute(): void {
    this.#advance();
    this.#computing--;
  }

  count(what: 'passes' | 'repairedBlocks' | 'rowGroupsRead', times = 1): void {
    this.#traffic[what] += times;
  }

  #advance(): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    const [reads, computes] = [this.#reads > 0, this.#computing > 0];
    if (reads) this.#traffic.readMs += elapsedMs;
    if (computes) this.#traffic.computeMs += elapsedMs;
    if (reads && computes) this.#traffic.bothMs += elapsedMs;
  }
}
