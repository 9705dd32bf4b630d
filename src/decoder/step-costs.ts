/**
 * What a pass of a model costs by its number of rows, from the passes it has made; everything that a pass waited for is in
 * it, reading from disk too. Kernels take rows in tiles, so the cost goes up in steps: each number of rows has a mean of its
 * own, which counts beside a line through all (milliseconds ≈ base + slope · rows, by least squares). Old passes fade.
 */

/** Weight that an observation loses with every later one. */
const fading = 0.95;
/** How much the line counts for a number of rows, in observations of that number. */
const lineWeight = 0.5;
/** Before sizes differ: what a row adds, as a share of a pass of one row, and the weight of that belief (rows², observations). */
const assumedRowShare = 0.15;
const assumedWeight = 4;
/** One pass disturbed by something else must not look like the rule. */
const mostSurprise = 3;

interface OwnMean {
  ms: number;
  weight: number;
  /** Observations in all when it was last one of this number of rows. */
  seenAt: number;
}

export class StepCosts {
  #observations = 0;
  #weight = 0;
  #rows = 0;
  #ms = 0;
  #rowsRows = 0;
  #rowsMs = 0;
  readonly #own = new Map<number, OwnMean>();

  get isKnown(): boolean {
    return this.#weight > 0;
  }

  observe(rows: number, elapsedMs: number): void {
    const ms = this.#weight > 2 ? Math.min(elapsedMs, mostSurprise * this.at(rows)) : elapsedMs;
    this.#observations++;
    this.#weight = this.#weight * fading + 1;
    this.#rows = this.#rows * fading + rows;
    this.#ms = this.#ms * fading + ms;
    this.#rowsRows = this.#rowsRows * fading + rows * rows;
    this.#rowsMs = this.#rowsMs * fading + rows * ms;
    const before = this.#own.get(rows);
    this.#own.set(rows, {
      ms: settled(before?.ms, ms),
      weight: this.#ownWeight(rows) + 1,
      seenAt: this.#observations,
    });
  }

  /** Milliseconds of a pass of `rows` rows; 0 before any observation. */
  at(rows: number): number {
    if (this.#weight === 0) return 0;
    const single = this.#own.get(1)?.ms;
    if (rows === 1 && single !== undefined) return single;
    const meanRows = this.#rows / this.#weight;
    const line = Math.max(0, this.#ms / this.#weight + this.rowMs * (rows - meanRows));
    const weight = this.#ownWeight(rows);
    const own = this.#own.get(rows)?.ms ?? 0;
    return Math.max((weight * own + lineWeight * line) / (weight + lineWeight), single ?? 0);
  }

  /** Milliseconds that one more row adds, by the line. */
  get rowMs(): number {
    if (this.#weight === 0) return 0;
    const meanRows = this.#rows / this.#weight;
    const meanMs = this.#ms / this.#weight;
    const assumed = (assumedRowShare * meanMs) / (1 + assumedRowShare * (meanRows - 1));
    const spread = this.#rowsRows - this.#weight * meanRows * meanRows;
    const covariance = this.#rowsMs - this.#weight * meanRows * meanMs;
    const slope = (covariance + assumedWeight * assumed) / (spread + assumedWeight);
    return Math.min(Math.max(slope, 0), meanMs / meanRows);
  }

  #ownWeight(rows: number): number {
    const own = this.#own.get(rows);
    return own ? own.weight * fading ** (this.#observations - own.seenAt) : 0;
  }
}

/** Follows soon where passes turn out faster, slowly where they turn out slower: the first ones of a session are slow. */
function settled(before: number | undefined, ms: number): number {
  if (before === undefined) return ms;
  return before + (ms < before ? 0.5 : 0.1) * (ms - before);
}
