/** Trees of one size, whatever the draft's confidence: what the other fallbacks are compared with. */
import { pacedBranch } from './adaptive-fallback.ts';
import type { Candidate, CandidateTree } from './candidate-tree.ts';
import { type Fallback, mostConfident } from './fallback.ts';

export interface FixedSize {
  readonly nodes: number;
  /** Confidence from which an alternative opens a branch of its own; 1 for a chain. */
  readonly branching: number;
}

export class FixedFallback implements Fallback {
  readonly alpha = undefined;
  readonly #size: FixedSize;

  constructor(size: FixedSize) {
    this.#size = size;
  }

  wantsDraft(): boolean {
    return true;
  }

  branches(candidates: readonly Candidate[]): readonly Candidate[] {
    return candidates.filter(({ share }, rank) => rank === 0 || share >= this.#size.branching);
  }

  next(tree: CandidateTree): readonly number[] {
    const drafted = tree.nodes.filter(({ isDrafted }) => isDrafted).length;
    const next = drafted < this.#size.nodes ? pacedBranch(tree, tree.frontier()) : undefined;
    return next === undefined ? [] : [next];
  }

  choose(tree: CandidateTree, most: number): readonly number[] {
    return mostConfident(tree, Math.min(most, this.#size.nodes), (index) => tree.at(index).isDrafted);
  }

  observe(): void {}
}
