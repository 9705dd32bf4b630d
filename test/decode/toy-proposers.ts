/** Proposers for tests of the loop: right, wrong, wild. */
import { uniformAt } from '../../src/base/random.ts';
import type { Proposer, TokenTree } from '../../src/decoder.ts';

/** Knows the text beforehand and proposes it, as a chain. */
export function rightProposer(text: readonly number[]): Proposer {
  return {
    name: 'right',
    propose(tokens, limit) {
      const chain = text.slice(tokens.length, tokens.length + limit);
      return { tokens: chain, parents: chain.map((_, node) => node - 1) };
    },
  };
}

/** Knows the text beforehand and proposes anything else. */
export function wrongProposer(text: readonly number[], vocabularySize: number): Proposer {
  return {
    name: 'wrong',
    propose(tokens, limit) {
      const chain = Array.from(
        { length: limit },
        (_, node) => ((text[tokens.length + node] ?? 0) + 1 + (node % 3)) % vocabularySize,
      );
      return { tokens: chain, parents: chain.map((_, node) => node - 1) };
    },
  };
}

/**
 * Random trees of random size whose nodes follow the text with some probability and stray otherwise; siblings may hold
 * the same token, and children of the right path come late and out of order.
 */
export function wildProposer(text: readonly number[], vocabularySize: number, seed: number): Proposer {
  let calls = 0;
  const dice = (node: number, stream: number) => uniformAt(seed, calls * 64 + node, stream);
  return {
    name: 'wild',
    async propose(tokens, limit): Promise<TokenTree> {
      calls++;
      if (dice(0, 9) < 0.1) return { tokens: [], parents: [] };
      const tree = { tokens: [] as number[], parents: [] as number[] };
      const depths: number[] = [];
      const size = 1 + Math.floor(dice(0, 1) * limit);
      for (let node = 0; node < size; node++) {
        const parent = Math.floor(dice(node, 2) ** 0.5 * (node + 1)) - 1;
        const depth = parent < 0 ? 0 : (depths[parent] ?? 0) + 1;
        const token = dice(node, 3) < 0.7 ? text[tokens.length + depth] : undefined;
        tree.tokens.push(token ?? Math.floor(dice(node, 4) * vocabularySize));
        tree.parents.push(parent);
        depths.push(depth);
      }
      return tree;
    },
  };
}
