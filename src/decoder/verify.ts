/**
 * One pass of the model over the last token and a tree of candidates for what follows it, and the descent through the
 * tree along the tokens the model draws itself.
 */
import { known } from '../base/error.ts';
import type { DecodedToken, DecodeTarget, TokenTree } from '../decoder.ts';
import type { StepResult, StepRow } from '../executor.ts';
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

export interface Verified {
  /** At least one; all but the last are nodes of the tree. */
  readonly drawn: readonly DecodedToken[];
  /** Cache rows to commit: the last token's, then those of the drawn tokens but the last. */
  readonly path: readonly number[];
  /** Nodes of the tree whose token was drawn. */
  readonly accepted: number;
}

/** Leaves the rows pending in `target.sequence`. The sampler accepts what is drawn. */
export async function verify(
  target: DecodeTarget,
  tree: TokenTree,
  drawing: Drawing,
  signal: AbortSignal | undefined,
): Promise<Verified> {
  const rows = rowsOf(target, tree);
  const kind = drawing.sampler.needsLogits || drawing.logprobs ? 'logits' : 'argmax';
  const step = { rows, select: { kind, rows: rows.map((_, index) => index) } } as const;
  const result = await target.executor.run(step, signal ? { signal } : {});

  // Logits are valid until the executor's next run: everything is drawn here, before anyone else can have a turn.
  const drawn: DecodedToken[] = [];
  const path: number[] = [];
  let accepted = 0;
  for (let node = -1; ; ) {
    path.push(known(result.cacheRows[node + 1], 'cache row of a step row'));
    const token = drawAt(target, result, node, target.tokens.length + drawn.length, drawing);
    drawn.push(token);
    drawing.sampler.accept(token.id);
    node = childOf(tree, node, token.id);
    if (node >= 0) accepted++;
    if (node < 0 || drawing.endIds.has(token.id)) return { drawn, path, accepted };
  }
}

/** Row 0 is the last token, row i + 1 the tree's node i. */
function rowsOf({ sequence, tokens }: DecodeTarget, tree: TokenTree): readonly StepRow[] {
  const last = tokens.length - 1;
  const rows: StepRow[] = [
    { sequence, token: known(tokens[last], 'last token'), position: last, parent: sequence.committed - 1 },
  ];
  for (const [node, token] of tree.tokens.entries()) {
    const row = (tree.parents[node] ?? -1) + 1;
    const position = known(rows[row], 'parent row').position + 1;
    rows.push({ sequence, token, position, parent: { row } });
  }
  return rows;
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
