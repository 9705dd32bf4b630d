/**
 * The fallback by measured costs: tokens per time are to be greatest. A tree that is expected to yield E tokens in time T
 * is the best where E − ρ · T is greatest, ρ being the rate that is reached (Dinkelbach's rule for a ratio); ρ is that of
 * the best tree by rank (`tree-plan.ts`) or the rate of late, whichever is greater. So with C the probability that a node
 * is said, from the root down, and a_r that its r-th child is said after it:
 *
 *   a node is computed by the draft where   Σ_r max(0, C · a_r − ρ · t_row) > ρ · t_draft
 *   so many of the most confident nodes are verified that   Σ C − ρ · t_target(rows)   is greatest
 *
 * t_row is what a row adds to a pass of the target. All nodes worth it are computed in one pass of the draft, since a row
 * more costs less there than another pass.
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

  constructor(costs: CostFallbackOptions) {
    this.#costs = costs;
  }

  /** Nothing before a pass of the target has been timed. */
  wantsDraft(): boolean {
    if (!this.#costs.target.isKnown) return false;
    const plan = this.#planned();
    if (plan.depth > 0) return true;
    this.#ranks.leave();
    return false;
  }

  branches(candidates: readonly Candidate[]): readonly Candidate[] {
    return candidates.map(({ token, share }, rank) => ({ token, share: this.#ranks.of(rank, share) }));
  }

  next(tree: CandidateTree): readonly number[] {
    const draft = this.#costs.draft();
    if (!draft) return [];
    const rate = this.#rate();
    const passMs = this.#draftMs(1);
    const draftRowMs = Math.min(draft.rowMs, passMs);
    const rowMs = this.#rowMs();
    const acceptance = this.#ranks.byRank;
    let gain = rate * (draftRowMs - passMs);
    const worth: number[] = [];
    for (const index of tree.frontier()) {
      const { confidence } = tree.at(index);
      let tokens = 0;
      for (const share of acceptance) tokens += Math.max(0, confidence * share - rate * rowMs);
      const net = tokens - rate * draftRowMs;
      if (net <= 0) continue;
      gain += net;
      worth.push(index);
    }
    return gain > 0 ? worth : [];
  }

  choose(tree: CandidateTree, most: number): readonly number[] {
    const { target } = this.#costs;
    if (!target.isKnown) return [];
    const rate = this.#rate();
    let [gain, bestGain, bestSize] = [0, 0, 0];
    for (const [place, index] of byConfidence(tree).slice(0, most).entries()) {
      gain += tree.at(index).confidence;
      const net = gain - rate * (target.at(place + 2) - target.at(1));
      if (net > bestGain) [bestGain, bestSize] = [net, place + 1];
    }
    return mostConfident(tree, bestSize);
  }

  observe({ tree, drawn, elapsedMs }: VerifiedTree): void {
    this.#planAge++;
    this.#lateTokens = this.#lateTokens * fading + drawn.length;
    this.#lateMs = this.#lateMs * fading + elapsedMs;
    let node = 0;
    for (const token of drawn) {
      this.#ranks.learn(tree.at(node).candidates, token);
      node = tree.child(node, token);
      if (node < 0) return;
    }
  }

  /** Tokens per millisecond. */
  #rate(): number {
    const late = this.#lateMs > 0 ? this.#lateTokens / this.#lateMs : 0;
    return Math.max(late, this.#planned().tokensPerMs);
  }

  /** What a row adds to a pass of the target about as large as the best tree. */
  #rowMs(): number {
    const { target } = this.#costs;
    const { rows } = this.#planned();
    return rows > 1 ? (target.at(rows) - target.at(1)) / (rows - 1) : target.rowMs;
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
      mostRows,
      mostDepth: draft() ? mostDepth : 0,
      targetMs: (rows) => target.at(rows),
      draftMs: this.#draftMs(2),
    });
    return this.#plan;
  }
}
