/**
 * One pass of the model over the last token and a tree of candidates for what follows it, and the descent through the
 * tree along the tokens the model draws itself.
 */
import { known } from '../base/error.ts';
import type { DecodedToken, DecodeTarget, TokenTree } from '../decoder.ts';
import type { RunOptions, Step, StepResult, StepRow } from '../executor.ts';
import type { LogprobReader } from './logprob-reader.ts';
import type { Sampler } from './sampler.ts';
import { childOf } from './token-tree.ts';

export interface Drawing {
  readonly sampler: Sampler;
  /** Undefined where no log-probabilities are wanted. */
  readonly logprobs: LogprobReader | undefined;
  /** Ids after which nothing is drawn. */
  readonly endIds: ReadonlySet<number>;
}

/** Verifies one tree after the other; what it makes for one is used again for the next. */
export class Verifier {
  /** Of the last tree. At least one; all but the last are nodes of the tree. */
  readonly drawn: DecodedToken[] = [];
  /** Cache rows to commit: the last token's, then those of the drawn tokens but the last. */
  readonly path: number[] = [];
  /** Nodes of the tree whose token was drawn. */
  accepted = 0;
  readonly #target: DecodeTarget;
  readonly #drawing: Drawing;
  readonly #options: RunOptions;
  /** Row 0 is the last token, row i + 1 the tree's node i; all of them are selected. */
  readonly #rows: StepRow[] = [];
  readonly #selected: number[] = [];
  readonly #step: Step;

  constructor(target: DecodeTarget, drawing: Drawing, signal: AbortSignal | undefined) {
    this.#target = target;
    this.#drawing = drawing;
    this.#options = signal ? { signal } : {};
    const kind = drawing.sampler.needsLogits || drawing.logprobs ? 'logits' : 'argmax';
    this.#step = { rows: this.#rows, select: { kind, rows: this.#selected } };
  }

  /** One pass of the model; its rows are then pending in the target's sequence. */
  run(tree: TokenTree): Promise<StepResult> {
    const { sequence, tokens, executor } = this.#target;
    const rows = this.#rows;
    const last = tokens.length - 1;
    const token = known(tokens[last], 'last token');
    rows[0] = { sequence, token, position: last, parent: sequence.committed - 1 };
    this.#selected[0] = 0;
    for (let node = 0; node < tree.tokens.length; node++) {
      const row = (tree.parents[node] ?? -1) + 1;
      const position = known(rows[row], 'parent row').position + 1;
      rows[node + 1] = { sequence, token: tree.tokens[node] ?? -1, position, parent: { row } };
      this.#selected[node + 1] = node + 1;
    }
    cut(rows, tree.tokens.length + 1);
    cut(this.#selected, tree.tokens.length + 1);
    return executor.run(this.#step, this.#options);
  }

  /** A token that was drawn elsewhere, without a tree. */
  accept(id: number): void {
    this.accepted = 0;
    this.drawn[0] = { id };
    cut(this.drawn, 1);
    cut(this.path, 0);
    this.#drawing.sampler.accept(id);
  }

  /**
   * Draws the model's tokens along the tree; the sampler accepts them. Logits are valid until the executor's next run: to
   * be called before anyone else can have a turn.
   */
  draw(tree: TokenTree, result: StepResult): void {
    const { sampler, endIds } = this.#drawing;
    this.accepted = 0;
    let node = -1;
    for (let depth = 0; ; depth++) {
      this.path[depth] = known(result.cacheRows[node + 1], 'cache row of a step row');
      const token = drawAt(this.#target, result, node, this.#target.tokens.length + depth, this.#drawing);
      this.drawn[depth] = token;
      sampler.accept(token.id);
      node = childOf(tree, node, token.id);
      if (node >= 0) this.accepted++;
      if (node >= 0 && !endIds.has(token.id)) continue;
      cut(this.path, depth + 1);
      cut(this.drawn, depth + 1);
      return;
    }
  }
}

function drawAt(
  { executor }: DecodeTarget,
  result: StepResult,
  node: number,
  position: number,
  { sampler, logprobs }: Drawing,
): DecodedToken {
  const row = node + 1;
  if (!sampler.needsLogits && !logprobs) return { id: known(result.argmax[row], 'arg-max of a row') };
  const size = executor.vocabularySize;
  const logits = result.logits.subarray(row * size, (row + 1) * size);
  const id = sampler.draw(logits, position);
  return logprobs ? { id, ...logprobs.read(logits, id) } : { id };
}

/** An array that is emptied and filled again is new memory each time; one that keeps its length is not. */
function cut(items: unknown[], length: number): void {
  if (items.length > length) items.length = length;
}
