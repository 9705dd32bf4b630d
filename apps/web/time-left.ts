/** How long a transfer will still take, from how fast it went lately. */

/** Older progress than this counts little. */
const memorySeconds = 4;
/** Before this nothing is said: the first second tells little. */
const quietSeconds = 1;

export class TimeLeft {
  readonly #startMs: number;
  #lastMs: number;
  #lastBytes: number;
  #bytesPerSecond: number | undefined;

  constructor(nowMs: number, bytes: number) {
    this.#startMs = nowMs;
    this.#lastMs = nowMs;
    this.#lastBytes = bytes;
  }

  get bytesPerSecond(): number | undefined {
    return this.#bytesPerSecond;
  }

  /** Seconds from `nowMs`; undefined while it is too early to tell. */
  update(nowMs: number, bytes: number, totalBytes: number): number | undefined {
    const seconds = (nowMs - this.#lastMs) / 1000;
    if (seconds > 0.2) {
      const rate = Math.max(0, bytes - this.#lastBytes) / seconds;
      const before = this.#bytesPerSecond ?? rate;
      const weight = 1 - Math.exp(-seconds / memorySeconds);
      this.#bytesPerSecond = before + (rate - before) * weight;
      this.#lastMs = nowMs;
      this.#lastBytes = bytes;
    }
    if (nowMs - this.#startMs < quietSeconds * 1000 || !this.#bytesPerSecond) return undefined;
    return Math.max(0, totalBytes - bytes) / this.#bytesPerSecond;
  }
}
