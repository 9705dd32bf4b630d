/**
 * Fallbacks: when the draft stops and the target verifies, which branch the draft goes on with until then, and which nodes
 * are verified. One tree grows by one fallback.
 */
import type { Candidate, CandidateTree } from './candidate-tree.ts';

/** What a pass of the target came to, as a fallback hears of it. */
export interface VerifiedTree {
  readonly tree: CandidateTree;
  /** Nodes that were verified, ascending. */
  readonly chosen: readonly number[];
  /** The deepest of them that the target said too; 0 where it said none. */
  readonly reached: number;
  /** What the target has said after the root. */
  readonly drawn: readonly number[];
  /** What it took, the draft's passes and the target's. */
  readonly elapsedMs: number;
}

export interface Fallback {
  /** Whether a draft is worth asking at all now. */
  wantsDraft(): boolean;
  /** Which of the draft's candidates below one node become nodes, and with what share. */
  branches(candidates: readonly Candidate[]): readonly Candidate[];
  /** Nodes to compute next, in one pass of the draft; none: verify what there is. */
  next(tree: CandidateTree): readonly number[];
  /** The nodes to verify, at most `most`: ascending, each with its ancestors. */
  choose(tree: CandidateTree, most: number): readonly number[];
  observe(verified: VerifiedTree): void;
  /** The threshold of confidence, where there is one. */
  readonly alpha: number | undefined;
}

/** All nodes but the root, the most confident first; an ancestor is never less confident than its descendants. */
export function byConfidence(tree: CandidateTree): number[] {
  const indices = tree.nodes.map((_, index) => index).slice(1);
  return indices.sort((a, b) => tree.at(b).confidence - tree.at(a).confidence || a - b);
}

/** The `most` nodes of greatest confidence that pass, ascending. */
export function mostConfident(
  tree: CandidateTree,
  most: number,
  passes: (index: number) => boolean = () => true,
): number[] {
  return byConfidence(tree)
    .filter(passes)
    .slice(0, most)
    .sort((a, b) => a - b);
}
