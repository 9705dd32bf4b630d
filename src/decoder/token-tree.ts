/** Checks of what a proposer gives, and the way down its tree. */
import { NearfieldError } from '../base/error.ts';
import type { TokenTree } from '../decoder.ts';

export const emptyTree: TokenTree = Object.freeze({ tokens: [], parents: [] });

/** Throws `internal` for a tree that breaks the proposer's contract. */
export function checkTree(tree: TokenTree, limit: number, vocabularySize: number, proposer: string): void {
  const { tokens, parents } = tree;
  if (tokens.length > limit || tokens.length !== parents.length) {
    throw new NearfieldError(
      'internal',
      `Proposer ${proposer} gave ${tokens.length} tokens with ${parents.length} parents where at most ${limit} were asked for`,
    );
  }
  for (let node = 0; node < parents.length; node++) {
    const parent = parents[node] ?? node;
    const token = tokens[node] ?? -1;
    if (!Number.isInteger(parent) || parent < -1 || parent >= node) {
      throw new NearfieldError('internal', `Proposer ${proposer} gave node ${node} the parent ${parent}`);
    }
    if (!Number.isInteger(token) || token < 0 || token >= vocabularySize) {
      throw new NearfieldError(
        'internal',
        `Proposer ${proposer} gave the token ${token}, which does not exist`,
      );
    }
  }
}

/** The first child of `node` (-1: the root) that holds `token`, or -1. */
export function childOf(tree: TokenTree, node: number, token: number): number {
  for (let child = node + 1; child < tree.tokens.length; child++) {
    if (tree.parents[child] === node && tree.tokens[child] === token) return child;
  }
  return -1;
}
