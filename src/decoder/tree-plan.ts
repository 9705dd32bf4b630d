/**
 * The size and depth of a tree of candidates that give most tokens per time, by dynamic programming over what candidates
 * are worth by rank (Chen et al., "Sequoia", NeurIPS 2024). With p[b] the probability that the target says the b-th
 * candidate, E[m, l, b] is what a tree of m rows (its root among them), at most l deep, whose root has b children, is
 * expected to yield in tokens:
 *
 *   E[1, l, 0] = 1
 *   E[m, l, b] = max over y of E[y, l, b − 1] + p[b] · E[m − y, l − 1],   E[m, l] = max over b of E[m, l, b]
 *
 * The best (m, d) has the greatest E[m, d] / (d · t_draft + t_target(m)); d = 0 is decoding without a tree.
 */

export interface TreePlanInput {
  /** By rank, falling: probability that the target says the candidate of this rank. */
  readonly acceptance: readonly number[];
  /** The last token's among them. */
  readonly mostRows: number;
  readonly mostDepth: number;
  readonly targetMs: (rows: number) => number;
  /** Of the pass that gives one more level. */
  readonly draftMs: number;
}

export interface TreePlan {
  readonly rows: number;
  readonly depth: number;
  /** Expected per verification. */
  readonly tokens: number;
  readonly tokensPerMs: number;
}

export function planTree(input: TreePlanInput): TreePlan {
  const { mostRows, mostDepth, targetMs, draftMs } = input;
  const rate = (tokens: number, ms: number): number => (ms > 0 ? tokens / ms : tokens);
  let best: TreePlan = { rows: 1, depth: 0, tokens: 1, tokensPerMs: rate(1, targetMs(1)) };
  let shallower = expectedTokens(input, undefined);
  for (let depth = 1; depth <= mostDepth; depth++) {
    const expected = expectedTokens(input, shallower);
    for (let rows = depth + 1; rows <= mostRows; rows++) {
      const tokens = expected[rows] ?? 0;
      const tokensPerMs = rate(tokens, depth * draftMs + targetMs(rows));
      if (tokensPerMs > best.tokensPerMs) best = { rows, depth, tokens, tokensPerMs };
    }
    shallower = expected;
  }
  return best;
}

/** E[m, l] for every m, from E[m, l − 1]; undefined gives l = 0: the root alone. */
export function expectedTokens(
  { acceptance, mostRows }: Pick<TreePlanInput, 'acceptance' | 'mostRows'>,
  shallower: Float64Array | undefined,
): Float64Array {
  const none = Number.NEGATIVE_INFINITY;
  const best = new Float64Array(mostRows + 1).fill(none);
  best[1] = 1;
  if (!shallower) return best;
  let withFewer = best.slice();
  for (const share of acceptance) {
    const withThis = new Float64Array(mostRows + 1).fill(none);
    for (let rows = 2; rows <= mostRows; rows++) {
      for (let before = 1; before < rows; before++) {
        const tokens = (withFewer[before] ?? none) + share * (shallower[rows - before] ?? none);
        if (tokens > (withThis[rows] ?? none)) withThis[rows] = tokens;
      }
      if ((withThis[rows] ?? none) > (best[rows] ?? none)) best[rows] = withThis[rows] ?? none;
    }
    withFewer = withThis;
  }
  return best;
}
