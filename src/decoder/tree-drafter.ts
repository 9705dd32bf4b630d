/** The draft as it grows a tree: follows the known tokens, computes nodes, and carries over what came true. */
import { known, NearfieldError } from '../base/error.ts';
import type { DecodingTerms, DraftModel } from '../decoder.ts';
import { CandidateReader } from './candidate-reader.ts';
import type { CandidateTree } from './candidate-tree.ts';
import { type DraftPass, DraftTimeline } from './draft-timeline.ts';
import type { LogitRow } from './logits.ts';
import { rankCount } from './rank-acceptance.ts';

/** Why a draft sits out. */
export type DraftEnd = 'context-full' | 'out-of-budget';

export class TreeDrafter {
  readonly timeline: DraftTimeline;
  readonly #model: DraftModel;
  /** The loss behind which the rows of the timeline were computed. */
  #epoch: number | undefined;
  /** Set for the rest of a decoding once the draft cannot go on. */
  end: DraftEnd | undefined;
  /** Whether it has the tokens of the last `carryOver` in its vocabulary and its context. */
  isFollowing = false;
  #reader: CandidateReader | undefined;
  #sharedIds = 0;
  /** Whose root is the last committed row of the timeline. */
  #tree: CandidateTree | undefined;
  /** Tokens up to the root of the tree; the loop's own list. */
  #tokens: readonly number[] = [];

  constructor(model: DraftModel, clock: () => number) {
    this.#model = model;
    this.#epoch = model.loss?.epoch;
    this.timeline = new DraftTimeline(model, clock);
  }

  begin(terms: DecodingTerms): void {
    this.end = undefined;
    this.#sharedIds = Math.min(terms.vocabularySize, this.timeline.vocabularySize);
    this.#reader = new CandidateReader(terms.sampling, this.#sharedIds, rankCount);
  }

  /**
   * The tree of the time before, as far as it came true over `tokens`: its root is computed. Undefined where the root is
   * not, or the draft cannot follow. `tokens` stays the loop's own list.
   */
  async carryOver(tokens: readonly number[]): Promise<CandidateTree | undefined> {
    this.#dropLost();
    this.isFollowing = this.#canFollow(tokens);
    if (!this.isFollowing) return undefined;
    this.#tokens = tokens;
    this.#tree = await this.#guarded(() => this.#carryOver(tokens));
    return this.#tree;
  }

  /**
   * Computes the root of a tree over the tokens of the last `carryOver`. False where there are more rows to compute first
   * than `mostRows`, or the draft cannot go on (`end` tells).
   */
  async plant(tree: CandidateTree, mostRows: number, pass: DraftPass): Promise<boolean> {
    if (!this.isFollowing) return false;
    const planted = await this.#guarded(async () => {
      const logits = await this.timeline.follow(this.#tokens, mostRows, pass);
      if (!logits) return false;
      tree.computed(0, this.timeline.length - 1, this.#read(logits, tree, 0));
      this.#tree = tree;
      return true;
    });
    return planted ?? false;
  }

  /** Rows to compute before a tree can be planted. */
  get behind(): number {
    return this.#tokens.length - this.timeline.length;
  }

  /** Computes nodes of the frontier of its tree, as many as there is room for. False where none could be. */
  async compute(indices: readonly number[], pass: DraftPass): Promise<boolean> {
    const tree = this.#tree;
    const fitting = indices.slice(0, Math.max(0, this.timeline.room));
    if (!tree || fitting.length === 0 || this.end) return false;
    const done = await this.#guarded(async () => {
      const guesses = fitting.map((index) => {
        const { token, depth, parent } = tree.at(index);
        return { token, position: this.timeline.length - 1 + depth, parentRow: tree.at(parent).row };
      });
      const computed = await this.timeline.compute(guesses, pass);
      for (const [place, index] of fitting.entries()) {
        const { row, logits } = known(computed[place], 'computed row');
        tree.computed(index, row, this.#read(logits, tree, index));
      }
      return true;
    });
    return done ?? false;
  }

  /** The target has said these tokens after the root. */
  learn(tree: CandidateTree, drawn: readonly number[]): void {
    let node = 0;
    for (const token of drawn) {
      const { candidates } = tree.at(node);
      if (candidates.length > 0) this.#reader?.learn(candidates, token);
      node = tree.child(node, token);
      if (node < 0) return;
    }
  }

  /** Gives the draft's memory back; false where it has none. */
  close(): boolean {
    const held = this.timeline.length > 0;
    this.isFollowing = false;
    this.#tree = undefined;
    this.timeline.close();
    return held;
  }

  #canFollow(tokens: readonly number[]): boolean {
    if (this.end || this.#model.loss?.isLost) return false;
    const isShort = tokens.length >= this.timeline.contextLength;
    // Ids that only the target has stand for nothing the draft knows.
    const isStrange = tokens.slice(this.timeline.length).some((id) => id >= this.timeline.vocabularySize);
    if (isShort) this.end = 'context-full';
    if (isShort || isStrange) this.close();
    return !isShort && !isStrange;
  }

  /** Brings the timeline to the tokens as far as it has them; the rest of the tree, where the root came true. */
  async #carryOver(tokens: readonly number[]): Promise<CandidateTree | undefined> {
    const { timeline } = this;
    const tree = this.#tree;
    this.#tree = undefined;
    const common = timeline.commonLength(tokens);
    if (common < timeline.length || !tree) {
      // The last token's logits are wanted, so its row is computed again where it is there.
      timeline.cut(Math.min(common, tokens.length - 1));
      return undefined;
    }
    const path: number[] = [];
    for (let at = 0; common + path.length < tokens.length; ) {
      at = tree.child(at, known(tokens[common + path.length], 'token'));
      if (at < 0 || tree.at(at).row < 0) break;
      path.push(at);
    }
    const ids = path.map((index) => tree.at(index).token);
    const rows = path.map((index) => tree.at(index).row);
    if (common + path.length < tokens.length) {
      await timeline.commit(ids, rows, []);
      return undefined;
    }
    const { tree: rest, origins } = tree.rerooted(path.at(-1) ?? 0);
    const keptRows = origins
      .slice(1)
      .flatMap((index) => (tree.at(index).row < 0 ? [] : [tree.at(index).row]));
    keptRows.sort((a, b) => a - b);
    await timeline.commit(ids, rows, keptRows);
    rest.root.row = timeline.length - 1;
    for (const node of rest.nodes.slice(1)) {
      if (node.row >= 0) node.row = timeline.length + keptRows.indexOf(node.row);
    }
    return rest;
  }

  #read(logits: LogitRow, tree: CandidateTree, index: number) {
    const reader = known(this.#reader, 'reader of candidates');
    const position = this.timeline.length + tree.at(index).depth;
    const history = (most: number): number[] => {
      const path = tree.path(index).map((at) => tree.at(at).token);
      return [...this.#tokens.slice(-most), ...path].slice(-most);
    };
    return reader.read(logits.subarray(0, this.#sharedIds), position, history);
  }

  /** What a lost machine held is computed anew when the draft is next to follow. */
  #dropLost(): boolean {
    const { loss } = this.#model;
    const isGone = loss !== undefined && (loss.isLost || loss.epoch !== this.#epoch);
    if (isGone) this.close();
    this.#epoch = loss?.epoch;
    return isGone;
  }

  /**
   * Undefined where the draft cannot go on: it then sits out, and decoding goes on without it; until the next tree where the
   * machine was lost.
   */
  async #guarded<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await work();
      return this.#dropLost() ? undefined : result;
    } catch (error) {
      const code = error instanceof NearfieldError ? error.code : undefined;
      if (code === 'aborted') throw error;
      if (this.#dropLost()) return undefined;
      this.close();
      if (code !== 'out-of-budget' && code !== 'context-full') throw error;
      this.end = code;
      return undefined;
    }
  }
}
