/**
 * What a pass of a model costs by its number of rows, from the passes it has made; everything that a pass waited for is in
 * it, reading from disk too. The curve is bent: it goes up in steps, since kernels take rows in tiles, and it is flat as
 * long as a pass waits for reads. So each number of rows has a mean of its own. More rows never cost less: means that say so
 * are noise, and are pooled until they do not (isotonic regression by pooling adjacent violators; Ayer et al., 1955).
 * Between numbers that were seen the curve is straight; beyond them it goes on with the slope of a line through all passes
 * (milliseconds ≈ base + slope · rows, by least squares). Old passes fade.
 */

/** Weight that an observation loses with every later one: of the line, and of the means. */
const [fading, ownFading] = [0.95, 0.98];
/** The share of a pass in its mean, at least; and of one that took so much less, since the first ones of a session are slow. */
const [latest, latestOfFaster, muchFaster] = [0.1, 0.5, 0.75];
/** Before sizes differ: what a row adds, as a share of a pass of one row, and the weight of that belief (rows², observations). */
const assumedRowShare = 0.15;
const assumedWeight = 4;
/** One pass disturbed by something else must not look like the rule. */
const mostSurprise = 3;
/** How far passes of the same size lie apart, as a share: before it is known, at most, and how soon it is learnt. */
const [assumedScatter, mostScatter, latestScatter] = [0.05, 0.5, 0.1];
/** What was seen long ago says little, but not nothing. */
const leastWeight = 0.2;
/** How much larger than those seen a pass may be; and how large before any was. */
const [reachGrowth, firstReach] = [1.5, 8];

interface OwnMean {
  ms: number;
  weight: number;
  /** Observations in all when it was last one of this number of rows. */
  seenAt: number;
}

/** Numbers of rows that are taken to cost the same. */
interface Level {
  readonly first: number;
  readonly last: number;
  readonly ms: number;
  readonly weight: number;
}

export class StepCosts {
  #observations = 0;
  #weight = 0;
  #rows = 0;
  #ms = 0;
  #rowsRows = 0;
  #rowsMs = 0;
  #scatter = assumedScatter;
  readonly #own = new Map<number, OwnMean>();
  /** By ascending rows; undefined until they are asked for again. */
  #levels: readonly Level[] | undefined;

  get isKnown(): boolean {
    return this.#weight > 0;
  }

  observe(rows: number, elapsedMs: number): void {
    const ms = this.#weight > 2 ? Math.min(elapsedMs, mostSurprise * this.at(rows)) : elapsedMs;
    this.#levels = undefined;
    this.#observations++;
    this.#weight = this.#weight * fading + 1;
    this.#rows = this.#rows * fading + rows;
    this.#ms = this.#ms * fading + ms;
    this.#rowsRows = this.#rowsRows * fading + rows * rows;
    this.#rowsMs = this.#rowsMs * fading + rows * ms;
    const before = this.#own.get(rows) ?? { ms, weight: 0, seenAt: 0 };
    const weight = this.#weightOf(before);
    if (weight > 1) {
      const apart = Math.min(mostScatter, Math.abs(ms / before.ms - 1));
      this.#scatter += latestScatter * (apart - this.#scatter);
    }
    const share = ms < muchFaster * before.ms ? latestOfFaster : Math.max(latest, 1 / (1 + weight));
    this.#own.set(rows, {
      ms: before.ms + share * (ms - before.ms),
      weight: weight + 1,
      seenAt: this.#observations,
    });
  }

  /** Milliseconds of a pass of `rows` rows; 0 before any observation. Never less for more rows. */
  at(rows: number): number {
    let below: Level | undefined;
    for (const level of this.#curve()) {
      if (rows <= level.last) {
        if (rows >= level.first) return level.ms;
        if (!below)
          return Math.max((level.ms * rows) / level.first, level.ms - this.rowMs * (level.first - rows));
        const way = (rows - below.last) / (level.first - below.last);
        return below.ms + way * (level.ms - below.ms);
      }
      below = level;
    }
    return below ? below.ms + this.rowMs * (rows - below.last) : 0;
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

  /** Rows of the largest pass worth trying: where the curve bends beyond those seen is found out by steps. */
  get reach(): number {
    return Math.max(firstReach, Math.floor(reachGrowth * (this.#curve().at(-1)?.last ?? 0)));
  }

  #curve(): readonly Level[] {
    this.#levels ??= this.#pooled();
    return this.#levels;
  }

  #pooled(): Level[] {
    const levels: Level[] = [];
    for (const [rows, own] of [...this.#own].sort(([a], [b]) => a - b)) {
      const weight = Math.max(leastWeight, this.#weightOf(own));
      // The less is known, the more it is given the benefit of the doubt: else one bad pass would never be tried again.
      const ms = own.ms * Math.max(0, 1 - this.#scatter / Math.sqrt(weight));
      let level: Level = { first: rows, last: rows, ms, weight };
      for (let below = levels.at(-1); below && below.ms >= level.ms; below = levels.at(-1)) {
        levels.pop();
        level = pooled(below, level);
      }
      levels.push(level);
    }
    return levels;
  }

  #weightOf({ weight, seenAt }: OwnMean): number {
    return weight * ownFading ** (this.#observations - seenAt);
  }
}

function pooled(one: Level, other: Level): Level {
  const weight = one.weight + other.weight;
  const ms = (one.weight * one.ms + other.weight * other.ms) / weight;
  return { first: one.first, last: other.last, ms, weight };
}
