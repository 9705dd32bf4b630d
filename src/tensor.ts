/** Tensor types: a block format and a shape whose sizes may be bounded symbols. No data lives here. */
import { NearfieldError } from './base/error.ts';
import { ceilingDivideDim, type Dim, multiplyDims } from './tensor/dim.ts';

export {
  addDims,
  alignDim,
  type Bounds,
  ceilingDivideDim,
  type Dim,
  DimExpression,
  type DimSymbol,
  dimBounds,
  dimsEqual,
  evaluateDim,
  isAtLeast,
  maximumDim,
  multiplyDims,
  subtractDims,
  symbolDim,
} from './tensor/dim.ts';

/** What a size needs to know of a format: NumberFormat and the private forms of backends both satisfy it. */
export interface BlockFormat {
  readonly name: string;
  readonly blockValues: number;
  readonly blockBytes: number;
}

/** Row-major; blocks run along the last dimension. */
export interface TensorType<Format extends BlockFormat = BlockFormat> {
  readonly format: Format;
  readonly shape: readonly Dim[];
}

/** Activations of an unplaced graph: real numbers whose storage the backend decides. */
export const real: BlockFormat = { name: 'real', blockValues: 1, blockBytes: 0 };

/** Bytes of a tensor; rows are padded to whole blocks. */
export function tensorBytes({ format, shape }: TensorType): Dim {
  const last = shape.at(-1);
  if (last === undefined) throw new NearfieldError('internal', 'A tensor needs at least one dimension');
  return multiplyDims(...shape.slice(0, -1), ceilingDivideDim(last, format.blockValues), format.blockBytes);
}

/** `f16[4096, 11008]`. */
export function printTensorType({ format, shape }: TensorType): string {
  return `${format.name}[${shape.join(', ')}]`;
}
