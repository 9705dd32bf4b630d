/**
 * Top-p without sorting: finds the last entry of the smallest set of likeliest entries whose weights reach a share of
 * the whole. A weighted quickselect: partition around a pivot, then go on in the side where the share is reached, so the
 * expected time is linear in the number of entries.
 */

/** A buffer of at least `count` indices is borrowed as `order`. */
export interface NucleusInput {
  readonly logits: Float64Array;
  /** exp(logit - greatest logit). */
  readonly weights: Float64Array;
  readonly count: number;
  /** Sum of the weights. */
  readonly total: number;
  readonly order: Int32Array;
}

/**
 * Index of the least likely entry to keep; entries of greater logit, and of equal logit and lower index, are kept too.
 * `share` is in [0, 1); at least one entry is kept.
 */
export function lastOfNucleus(input: NucleusInput, share: number): number {
  const { weights, count, total, order } = input;
  // All entries below this weight together hold less than 1 - share of the whole.
  const negligible = ((1 - share) * total) / count;
  let length = 0;
  for (let index = 0; index < count; index++) {
    if ((weights[index] as number) >= negligible) order[length++] = index;
  }
  let wanted = share * total;
  let [low, high] = [0, length - 1];
  let state = 1;
  while (low < high) {
    // Pivots from a fixed linear congruential sequence (Numerical Recipes' constants), so that no order of logits is slow.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const pivotPlace = partition(input, low, high, low + Math.floor((state / 2 ** 32) * (high - low + 1)));
    let before = 0;
    for (let place = low; place < pivotPlace; place++) before += weights[order[place] as number] as number;
    const upTo = before + (weights[order[pivotPlace] as number] as number);
    if (before >= wanted && pivotPlace > low) high = pivotPlace - 1;
    else if (upTo >= wanted) return order[pivotPlace] as number;
    else {
      if (pivotPlace === high) return order[high] as number;
      wanted -= upTo;
      low = pivotPlace + 1;
    }
  }
  return order[low] as number;
}

/** Moves the entries likelier than the pivot before it, the others behind it; returns its place. */
function partition({ logits, order }: NucleusInput, low: number, high: number, pivotAt: number): number {
  const pivot = order[pivotAt] as number;
  const pivotLogit = logits[pivot] as number;
  order[pivotAt] = order[high] as number;
  let place = low;
  for (let at = low; at < high; at++) {
    const index = order[at] as number;
    const logit = logits[index] as number;
    if (logit > pivotLogit || (logit === pivotLogit && index < pivot)) {
      order[at] = order[place] as number;
      order[place++] = index;
    }
  }
  order[high] = order[place] as number;
  order[place] = pivot;
  return place;
}
