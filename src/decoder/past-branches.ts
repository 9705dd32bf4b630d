/**
 * Branches from the conversation's own past: where the last tokens occurred before, what followed them then may follow
 * again (Saxena, "Prompt lookup decoding", 2023). Several occurrences make a tree, weighted by how often each continuation
 * was seen, as a suffix tree gives them (Oliaro et al., "SuffixDecoding", 2024); how far a match of some length is to be
 * trusted is learnt. Costs nothing to speak of.
 */
import type { CandidateTree } from './candidate-tree.ts';
import { longestMatch, SuffixIndex } from './suffix-index.ts';

/** Branches end where the confidence in them does. */
const leastConfidence = 0.02;
/** How many observations what is believed before any weighs. */
const assumedWeight = 3;
/** An observation's weight shrinks by this with every later one of its kind. */
const fading = 0.97;

/** Places in the tokens that may be what follows a node. */
interface Growth {
  readonly node: number;
  /** Tokens from the root down to the node. */
  readonly path: readonly number[];
  readonly places: readonly number[];
  readonly matchLength: number;
}

export class PastBranches {
  readonly #index = new SuffixIndex();
  /** By length of the match: how often the continuation was said, and how often there was one. */
  readonly #said = new Float64Array(longestMatch + 1);
  readonly #tried = new Float64Array(longestMatch + 1);

  /** Adds what followed earlier occurrences of the end of `tokens`, at most `most` nodes. */
  addTo(tree: CandidateTree, tokens: readonly number[], most: number): void {
    const growing: Growth[] = [];
    for (const { next, length } of this.#index.find(tokens)) {
      const group = growing.find(({ matchLength }) => matchLength === length);
      if (group) growing[growing.indexOf(group)] = { ...group, places: [...group.places, next] };
      else growing.push({ node: 0, path: [], places: [next], matchLength: length });
    }
    growing.sort((a, b) => b.matchLength - a.matchLength);
    const confidence = (growth: Growth | undefined): number => tree.at(growth?.node ?? 0).confidence;
    for (let added = 0; added < most; ) {
      let best = 0;
      for (const at of growing.keys()) if (confidence(growing[at]) > confidence(growing[best])) best = at;
      const [growth] = growing.splice(best, 1);
      if (!growth) return;
      added += this.#extend(tree, tokens, growth, growing);
    }
  }

  /** The target has said these tokens after the root. */
  learn(tree: CandidateTree, drawn: readonly number[]): void {
    let node = 0;
    for (const token of drawn) {
      let best = -1;
      for (const [index, { parent, matchLength, share }] of tree.nodes.entries()) {
        if (parent !== node || matchLength === 0) continue;
        if (best < 0 || share > tree.at(best).share) best = index;
      }
      if (best >= 0) this.#count(tree.at(best).matchLength, tree.at(best).token === token);
      node = tree.child(node, token);
      if (node < 0) return;
    }
  }

  /** Probability that a continuation is said again after a match of this length. */
  share(matchLength: number): number {
    const assumed = 1 - 0.9 / Math.max(2, matchLength);
    return (
      ((this.#said[matchLength] ?? 0) + assumed * assumedWeight) /
      ((this.#tried[matchLength] ?? 0) + assumedWeight)
    );
  }

  #count(matchLength: number, said: boolean): void {
    this.#said[matchLength] = (this.#said[matchLength] ?? 0) * fading + (said ? 1 : 0);
    this.#tried[matchLength] = (this.#tried[matchLength] ?? 0) * fading + 1;
  }

  /** Adds the children of one node; returns how many are new. */
  #extend(tree: CandidateTree, tokens: readonly number[], growth: Growth, growing: Growth[]): number {
    const { node, path, places, matchLength } = growth;
    const byToken = new Map<number, number[]>();
    for (const place of places) {
      // Behind the last token the text goes on with the branch itself, so a period repeats.
      const token = place < tokens.length ? tokens[place] : path[place - tokens.length];
      if (token === undefined) continue;
      const same = byToken.get(token);
      if (same) same.push(place + 1);
      else byToken.set(token, [place + 1]);
    }
    const sizeBefore = tree.size;
    for (const [token, following] of byToken) {
      const share = (this.share(matchLength) * following.length) / places.length;
      if (tree.at(node).confidence * share < leastConfidence) continue;
      const child = tree.add(node, { token, share }, matchLength);
      if (tree.at(child).isEnd) continue;
      growing.push({ node: child, path: [...path, token], places: following, matchLength });
    }
    return tree.size - sizeBefore;
  }
}
