/** Where in a checkpoint a weight's bytes lie: those of a tensor, or of some of its rows. */
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint, TensorEntry } from '../checkpoint.ts';
import type { WeightValue } from '../graph.ts';
import { printTensorType } from '../tensor.ts';

export interface WeightLocation {
  readonly entry: TensorEntry;
  /** From the tensor's beginning. */
  readonly offsetBytes: number;
  readonly byteLength: number;
}

/** Throws `not-found` where the checkpoint lacks the tensor, `bad-file` where it is of another type or has not those rows. */
export function locateWeight(weight: WeightValue, checkpoint: Checkpoint): WeightLocation {
  const { name, tensor, firstRow, rowCount } = weight;
  const entry = checkpoint.tensors.get(tensor);
  if (!entry) throw new NearfieldError('not-found', `${checkpoint.name} lacks the tensor ${tensor}`);
  const [tensorRows = 0, ...rest] = entry.shape;
  const rowBytes = entry.byteLength / tensorRows;
  const [offsetBytes, byteLength] = [firstRow * rowBytes, rowCount * rowBytes];
  const { format, shape } = weight.type;
  const source = [rowCount, ...rest];
  const fits =
    entry.format === format &&
    firstRow + rowCount <= tensorRows &&
    sizeOf(shape) === sizeOf(source) &&
    (shape.length === 1 || shape.at(-1) === source.at(-1));
  const isWhole = [offsetBytes, byteLength].every((bytes) => Number.isInteger(bytes / format.blockBytes));
  if (!fits || !isWhole) {
    throw new NearfieldError(
      'bad-file',
      `${checkpoint.name}: ${tensor} is ${printTensorType(entry)}, the model needs ${printTensorType(weight.type)}${name === tensor ? '' : ` in it as ${name}`}`,
    );
  }
  return { entry, offsetBytes, byteLength };
}

export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);
