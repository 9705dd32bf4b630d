/**
 * LLMCad's fallback (Xu et al., 2023; EdgeLLM, IEEE TMC 2025). The draft extends one branch at a time: that whose share of
 * the tree is most behind its confidence. The target verifies when the most confident branch has fallen below α, and α
 * follows from how that turned out:
 *
 *   α ← α / 2                                        where all of the best branch was right,
 *   α ← α / T_c ^ ((N_all − N_correct) / N_all)      where N_correct of its N_all tokens were,
 *
 * with T_c the greatest confidence of a branch when the target was asked.
 */
import type { Candidate, CandidateTree } from './candidate-tree.ts';
import { type Fallback, mostConfident, type VerifiedTree } from './fallback.ts';

/** Stated confidence from which an alternative opens a branch of its own. */
const branching = 0.3;
const [initialAlpha, leastAlpha, mostAlpha] = [0.01, 1e-6, 0.99];

export class AdaptiveFallback implements Fallback {
  alpha = initialAlpha;
  /** T_c of the tree that was chosen last. */
  #confidence = 1;

  wantsDraft(): boolean {
    return true;
  }

  branches(candidates: readonly Candidate[]): readonly Candidate[] {
    return candidates.filter(({ share }, rank) => rank === 0 || share >= branching);
  }

  next(tree: CandidateTree): readonly number[] {
    const tips = tree.frontier();
    if (confidenceOf(tree, tips) < this.alpha) return [];
    const next = pacedBranch(tree, tips);
    return next === undefined ? [] : [next];
  }

  choose(tree: CandidateTree, most: number): readonly number[] {
    this.#confidence = confidenceOf(tree, tree.frontier());
    // Branches of the past cost the draft nothing; they go as far as the draft would go with them.
    const passes = (index: number): boolean => {
      const { isDrafted, confidence } = tree.at(index);
      return isDrafted || confidence >= this.alpha;
    };
    return mostConfident(tree, most, passes);
  }

  observe({ tree, chosen, reached, drawn }: VerifiedTree): void {
    if (chosen.length === 0) {
      // Where only the past proposes, α may keep all of it back; that it would have been right counts, too.
      const [foreseen] = mostConfident(tree, 1);
      if (foreseen !== undefined && tree.at(foreseen).token === drawn[0]) this.#lower();
      return;
    }
    const correct = tree.at(reached).depth;
    const all = tree.at(bestLeafBelow(tree, chosen, reached)).depth;
    if (all === correct) this.#lower();
    else if (this.#confidence > 0) {
      const raised = this.alpha / this.#confidence ** ((all - correct) / all);
      this.alpha = Math.min(mostAlpha, raised);
    } else this.alpha = mostAlpha;
  }

  #lower(): void {
    this.alpha = Math.max(leastAlpha, this.alpha / 2);
  }
}

/**
 * The branch that the next pass of the draft goes to: with M tokens in the tree, branch i of T_i tokens ought to have
 * M · C_i, and the one that lacks most is extended.
 */
export function pacedBranch(tree: CandidateTree, tips: readonly number[]): number | undefined {
  const size = tree.nodes.filter(({ isDrafted }) => isDrafted).length;
  const deficit = (index: number): number => size * tree.at(index).confidence - tree.at(index).depth;
  let best: number | undefined;
  for (const tip of tips) if (best === undefined || deficit(tip) > deficit(best)) best = tip;
  return best;
}

/** T_c; 0 where no branch can grow. */
function confidenceOf(tree: CandidateTree, tips: readonly number[]): number {
  return tips.reduce((most, tip) => Math.max(most, tree.at(tip).confidence), 0);
}

/** Of the branches through a node, the end of the most confident. */
function bestLeafBelow(tree: CandidateTree, chosen: readonly number[], top: number): number {
  const isChosen = new Set(chosen);
  const below = tree.below(top).filter((index) => isChosen.has(index));
  const parents = new Set(below.map((index) => tree.at(index).parent));
  const leaves = below.filter((index) => !parents.has(index));
  return leaves.reduce((best, leaf) => {
    return best === top || tree.at(leaf).confidence > tree.at(best).confidence ? leaf : best;
  }, top);
}
