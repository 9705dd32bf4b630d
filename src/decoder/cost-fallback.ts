/**
 * The fallback by measured costs: tokens per time are to be greatest. A tree that is expected to yield E tokens in time T
 * is the best where E − ρ · T is greatest, ρ being the rate that is reached (Dinkelbach's rule for a ratio); ρ is that of
 * the best tree by rank (`tree-plan.ts`) or the rate of late, whichever is greater. With C the probability that a node is
 * said, from the root down, a tree is worth
 *
 *   W = max over n of   Σ C of the n most confident nodes − ρ · t_target(1 + n)
 *
 * and these n are verified. A node that the draft computes gives children of C · a_r, a_r being what the r-th child has
 * turned out to be worth, so W is known beforehand of the tree that a pass of the draft would leave. The pass takes so many
 * of the most confident nodes that what they add to W, less ρ · t_draft(nodes), is greatest. The price of a row is that of
 * the last one: nothing while reads take longer than computing, and much beyond.
 */
import type { Candidate, CandidateTree } from './candidate-tree.ts';
import { byConfidence, type Fallback, mostConfident, type VerifiedTree } from './fallback.ts';
import { RankAcceptance } from './rank-acceptance.ts';
import type { StepCosts } from './step-costs.ts';
import { planTree, type TreePlan } from './tree-plan.ts';

export interface CostFallbackOptions {
  readonly target: StepCosts;
  /** Undefined without a draft. */
  readonly draft: () => StepCosts | undefined;
}

/** A tree's rows; the last token's among them. */
const mostRows = 64;
const mostDepth = 16;
/** Verifications after which the plan is made anew. */
const planEvery = 16;
/** Until they are measured: a pass of the draft, of a pass of the target. */
const assumedDraftShare = 1 / 8;
/** Verifications without a tree after which a node is tried: what was measured in a bad moment would stand for ever. */
const tryEvery = 24;
/** How fast the rate of late forgets, per verification. */
const fading = 0.95;

export class CostFallback implements Fallback {
  readonly alpha = undefined;
  readonly #costs: CostFallbackOptions;
  readonly #ranks = new RankAcceptance();
  #plan: TreePlan | undefined;
  #planAge = 0;
  #lateTokens = 0;
  #lateMs = 0;
  #sinceTree = 0;

  constructor(costs: CostFallbackOptions) {
    this.#costs = costs;
  }

  /** Nothing before a pass of the target has been timed. */
  wantsDraft(): boolean {
    if (!this.#costs.target.isKnown) return false;
    const plan = this.#planned();
    if (plan.depth > 0 || this.#isTrying) return true;
    this.#ranks.leave();
    return false;
  }

  branches(candidates: readonly Candidate[]): readonly Candidate[] {
    return candidates.map(({ token, share }, rank) => ({ token, share: this.#ranks.of(rank, share) }));
  }

  next(tree: CandidateTree): readonly number[] {
    if (!this.#costs.draft()) return [];
    const rate = this.#rate();
    const prices = this.#prices(rate);
    const ranked = byConfidence(tree).map((index) => tree.at(index).confidence);
    const worthNow = bestCut(ranked, prices).worth;
    const acceptance = this.#ranks.byRank;
    const tips = tree.frontier().sort((a, b) => tree.at(b).confidence - tree.at(a).confidence);
    let [best, bestCount] = [0, 0];
    for (let count = 1; count <= Math.min(tips.length, mostRows); count++) {
      const { confidence } = tree.at(tips[count - 1] ?? 0);
      for (const share of acceptance) insertRanked(ranked, confidence * share);
      const gain = bestCut(ranked, prices).worth - worthNow - rate * this.#draftMs(count);
      if (gain > best) [best, bestCount] = [gain, count];
    }
    return tips.slice(0, bestCount);
  }

  choose(tree: CandidateTree, most: number): readonly number[] {
    if (!this.#costs.target.isKnown) return [];
    const ranked = byConfidence(tree).slice(0, most);
    const confidences = ranked.map((index) => tree.at(index).confidence);
    const { nodes } = bestCut(confidences, this.#prices(this.#rate()));
    return mostConfident(tree, Math.max(nodes, this.#isTrying ? Math.min(1, ranked.length) : 0));
  }

  observe({ tree, chosen, drawn, elapsedMs }: VerifiedTree): void {
    this.#planAge++;
    this.#sinceTree = chosen.length > 0 ? 0 : this.#sinceTree + 1;
    this.#lateTokens = this.#lateTokens * fading + drawn.length;
    this.#lateMs = this.#lateMs * fading + elapsedMs;
    let node = 0;
    for (const token of drawn) {
      this.#ranks.learn(tree.at(node).candidates, token);
      node = tree.child(node, token);
      if (node < 0) return;
    }
  }

  get #isTrying(): boolean {
    return this.#sinceTree >= tryEvery;
  }

  /** Tokens per millisecond. */
  #rate(): number {
    const late = this.#lateMs > 0 ? this.#lateTokens / this.#lateMs : 0;
    return Math.max(late, this.#planned().tokensPerMs);
  }

  /** By number of nodes, the tokens that the time would give which they add to a pass of the target. */
  #prices(rate: number): number[] {
    const { target } = this.#costs;
    const single = target.at(1);
    const rows = Math.min(mostRows, target.reach);
    return Array.from({ length: rows }, (_, nodes) => rate * (target.at(1 + nodes) - single));
  }

  #draftMs(rows: number): number {
    const draft = this.#costs.draft();
    return draft?.isKnown ? draft.at(rows) : this.#costs.target.at(1) * assumedDraftShare;
  }

  #planned(): TreePlan {
    if (this.#plan && this.#planAge < planEvery) return this.#plan;
    const { target, draft } = this.#costs;
    this.#planAge = 0;
    this.#plan = planTree({
      acceptance: draft() ? this.#ranks.byRank : [],
      mostRows: Math.min(mostRows, target.reach),
      mostDepth: draft() ? mostDepth : 0,
      targetMs: (rows) => target.at(rows),
      draftMs: this.#draftMs(2),
    });
    return this.#plan;
  }
}

interface Cut {
  readonly nodes: number;
  /** In tokens, beyond a pass without a tree. */
  readonly worth: number;
}

/** How many of these nodes, the most confident first, are best verified. */
function bestCut(confidences: readonly number[], prices: readonly number[]): Cut {
  let best: Cut = { nodes: 0, worth: 0 };
  let tokens = 0;
  for (let nodes = 1; nodes < prices.length && nodes <= confidences.length; nodes++) {
    tokens += confidences[nodes - 1] ?? 0;
    const worth = tokens - (prices[nodes] ?? 0);
    if (worth > best.worth) best = { nodes, worth };
  }
  return best;
}

function insertRanked(falling: number[], value: number): void {
  let place = falling.length;
  while (place > 0 && (falling[place - 1] ?? 0) < value) place--;
  falling.splice(place, 0, value);
}
