/** The values of one block and what an error of each weighs. */
import type { NumberFormat } from '../../format.ts';

export type CloseEncoder = NonNullable<NumberFormat['encodeClosely']>;

/** Blocks one behind the other, as `encodeClosely` is given them. */
export interface BlockRun {
  readonly source: Float32Array | Float64Array;
  readonly sourceOffset: number;
  readonly blockCount: number;
  /** Of the value at `sourceOffset` and those behind it. */
  readonly importance: Float32Array | undefined;
}

/** Filled by `load` and reused from block to block. */
export class WeightedValues {
  readonly values: Float64Array;
  readonly weights: Float64Array;

  constructor(blockValues: number) {
    this.values = new Float64Array(blockValues);
    this.weights = new Float64Array(blockValues);
  }

  /**
   * Takes the values of the run's block of that number. An error weighs the importance of the value's place in its row
   * (where there is none all places count alike), times σ + |v|, σ the root mean square of the block.
   */
  load({ source, sourceOffset, importance }: BlockRun, block: number): void {
    const { values, weights } = this;
    const count = values.length;
    const first = sourceOffset + block * count;
    const firstImportance = block * count;
    let squares = 0;
    for (let i = 0; i < count; i++) {
      const value = source[first + i] ?? 0;
      values[i] = value;
      squares += value * value;
    }
    const deviation = Math.sqrt(squares / count);
    for (let i = 0; i < count; i++) {
      const value = values[i] ?? 0;
      const own = importance ? (importance[firstImportance + i] ?? 0) : 1;
      weights[i] = own * (deviation + Math.abs(value));
    }
  }
}
