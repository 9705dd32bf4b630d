/** Rows of a text that is known: computed and committed a pass at a time, so that other sessions have turns in between. */
import type { Step } from '../executor.ts';
import type { Sequence } from '../kv-cache.ts';
import type { SessionExecutor } from './pausable-executor.ts';

export interface ChainOptions {
  readonly signal?: AbortSignal;
  /** Rows done, after each pass. */
  readonly onProgress?: (doneRows: number) => void;
  /** Takes the logits of each row from `first` on, an index into the tokens; valid until it returns. */
  readonly logits?: {
    readonly first: number;
    take(row: number, logits: Float32Array | Float64Array): void;
  };
}

/**
 * Appends `tokens` to the committed rows of `sequence`. Throws `context-full` or `out-of-budget` before it computes
 * anything; after an abort or a failure the passes done before stay committed.
 */
export async function computeChain(
  executor: SessionExecutor,
  sequence: Sequence,
  tokens: readonly number[],
  { signal, onProgress, logits }: ChainOptions,
): Promise<void> {
  sequence.reserve(tokens.length);
  for (let start = 0; start < tokens.length; start += executor.maxRows) {
    const before = sequence.committed;
    const rows = tokens.slice(start, start + executor.maxRows).map((token, index) => ({
      sequence,
      token,
      position: before + index,
      parent: index === 0 ? before - 1 : { row: index - 1 },
    }));
    const wanted = logits ? rows.flatMap((_, index) => (start + index >= logits.first ? [index] : [])) : [];
    const select: Step['select'] = wanted.length > 0 ? { kind: 'logits', rows: wanted } : { kind: 'nothing' };
    const { cacheRows } = await executor.run(
      { rows, select },
      {
        ...(signal ? { signal } : {}),
        onLogits(selected, values) {
          for (const [place, row] of selected.entries()) {
            const width = executor.vocabularySize;
            logits?.take(start + row, values.subarray(place * width, (place + 1) * width));
          }
        },
      },
    );
    await executor.move(sequence.commit(cacheRows));
    onProgress?.(start + rows.length);
  }
}
