/**
 * The tree that grows while candidates are looked for: what the draft has computed, what it gave as continuations, and
 * what earlier text suggests, each with the confidence that the target says it too.
 */
import { known } from '../base/error.ts';
import type { TokenTree } from '../decoder.ts';

/** A token that may follow, and how likely that is, in [0, 1]. */
export interface Candidate {
  readonly token: number;
  readonly share: number;
  /** Of a foreseen draw: how far the random number lies from the token's interval of the cumulative distribution. */
  readonly distance?: number;
}

export interface CandidateNode {
  readonly token: number;
  /** Index of its parent; -1 for the root, the last known token. */
  parent: number;
  /** 0 for the root. */
  depth: number;
  /** Of this token after its parent. */
  share: number;
  /** Product of the shares from the root down; 1 for the root. */
  confidence: number;
  /** Row in the draft's cache; -1 while the draft has not computed it. */
  row: number;
  /** What the draft says may follow, the likeliest first; empty while it has not computed the node. */
  candidates: readonly Candidate[];
  /** Whether the draft suggested it. */
  isDrafted: boolean;
  /** Length of the match in earlier text that suggested it; 0 where none did. */
  matchLength: number;
  /** Nothing follows: the text ends here. */
  readonly isEnd: boolean;
  /** Came while its tree was being verified. */
  isProvisional: boolean;
}

/** Parents come before children; node 0 is the root. */
export class CandidateTree {
  readonly nodes: CandidateNode[] = [];
  readonly #endIds: ReadonlySet<number>;

  constructor(rootToken: number, endIds: ReadonlySet<number>) {
    this.#endIds = endIds;
    this.nodes.push({ ...this.#node(rootToken, -1, 0, 1), isEnd: false });
  }

  at(index: number): CandidateNode {
    return known(this.nodes[index], 'node');
  }

  /** Nodes but the root. */
  get size(): number {
    return this.nodes.length - 1;
  }

  get root(): CandidateNode {
    return this.at(0);
  }

  child(parent: number, token: number): number {
    return this.nodes.findIndex((node) => node.parent === parent && node.token === token);
  }

  /**
   * A new child, or the one that holds this token, whose share becomes the greater of both. `matchLength` where earlier
   * text suggests it.
   */
  add(parent: number, { token, share }: Candidate, matchLength = 0): number {
    const before = this.child(parent, token);
    const above = this.at(parent);
    const confidence = above.confidence * share;
    if (before < 0) {
      const node = this.#node(token, parent, above.depth + 1, share);
      this.nodes.push({ ...node, confidence, matchLength, isDrafted: matchLength === 0 });
      return this.nodes.length - 1;
    }
    const node = this.at(before);
    node.isDrafted ||= matchLength === 0;
    if (share > node.share) {
      node.share = share;
      this.#weigh();
    }
    if (matchLength > 0) node.matchLength ||= matchLength;
    return before;
  }

  /** The draft has computed a node: its row, and what may follow. Its children are added by who grows the tree. */
  computed(index: number, row: number, candidates: readonly Candidate[]): void {
    const node = this.at(index);
    node.row = row;
    node.candidates = candidates;
  }

  /** Nodes that the draft can compute next: their parents are computed, they are not, and something may follow. */
  frontier(): number[] {
    const open: number[] = [];
    for (const [index, { row, parent, isEnd }] of this.nodes.entries()) {
      if (row < 0 && !isEnd && parent >= 0 && this.at(parent).row >= 0) open.push(index);
    }
    return open;
  }

  /** Indices from the root's child down to `index`. */
  path(index: number): number[] {
    const path: number[] = [];
    for (let at = index; at > 0; at = this.at(at).parent) path.unshift(at);
    return path;
  }

  /** The nodes below `index`, ascending. */
  below(index: number): number[] {
    const inside = new Set([index]);
    const found: number[] = [];
    for (let at = index + 1; at < this.nodes.length; at++) {
      if (!inside.has(this.at(at).parent)) continue;
      inside.add(at);
      found.push(at);
    }
    return found;
  }

  /**
   * The tree below a node as a tree of its own, of what the draft has computed and what it proposed after that; rows are
   * to be set anew by the caller.
   */
  rerooted(index: number): { readonly tree: CandidateTree; readonly origins: readonly number[] } {
    const top = this.at(index);
    const tree = new CandidateTree(top.token, this.#endIds);
    tree.nodes[0] = { ...top, parent: -1, depth: 0, share: 1, confidence: 1, isEnd: false };
    const origins = [index];
    for (const at of this.below(index)) {
      const node = this.at(at);
      const parent = origins.indexOf(node.parent);
      if (parent < 0 || this.at(node.parent).row < 0) continue;
      tree.nodes.push({ ...node, parent, depth: node.depth - top.depth, matchLength: 0 });
      origins.push(at);
    }
    tree.#weigh();
    return { tree, origins };
  }

  /** The chosen nodes (ascending, each with its ancestors) as the loop takes them. */
  chosen(indices: readonly number[]): TokenTree {
    const places = new Map(indices.map((index, place) => [index, place]));
    return {
      tokens: indices.map((index) => this.at(index).token),
      parents: indices.map((index) => places.get(this.at(index).parent) ?? -1),
    };
  }

  #weigh(): void {
    for (const node of this.nodes) {
      if (node.parent >= 0) node.confidence = this.at(node.parent).confidence * node.share;
    }
  }

  #node(token: number, parent: number, depth: number, share: number): CandidateNode {
    const isEnd = this.#endIds.has(token);
    const fresh = { row: -1, candidates: [], matchLength: 0, isDrafted: false, isProvisional: false };
    return { token, parent, depth, share, confidence: 1, isEnd, ...fresh };
  }
}
