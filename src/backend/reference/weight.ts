/**
 * Weights of the reference backend: small ones as float64 values, large ones as the file's bytes, decoded row by row when
 * they are used, so that a quantized model takes about the size of its file.
 */
import type { PackedWeight, ReadWeight } from '../../backend.ts';
import { NearfieldError, throwIfAborted } from '../../base/error.ts';
import { decodeRow, type NumberFormat, rowBytes } from '../../format.ts';
import { evaluateDim, type TensorType } from '../../tensor.ts';
import { denseRows, type Rows } from './rows.ts';

/** Values up to which a weight is kept decoded (2 MiB). */
const decodedValues = 2 ** 18;
/** Bytes asked for at once. */
const pieceBytes = 2 ** 24;

export interface ReferenceWeight extends PackedWeight {
  readonly rows: Rows;
}

interface Size {
  readonly count: number;
  readonly width: number;
  readonly fileBytes: number;
  readonly heldBytes: number;
}

function sizeOf({ format, shape }: TensorType<NumberFormat>): Size {
  const width = evaluateDim(shape.at(-1) ?? 0, []);
  const count = shape.slice(0, -1).reduce<number>((product, dim) => product * evaluateDim(dim, []), 1);
  const fileBytes = count * rowBytes(format, width);
  return {
    count,
    width,
    fileBytes,
    heldBytes: count * width <= decodedValues ? count * width * 8 : fileBytes,
  };
}

export function packedBytes(type: TensorType<NumberFormat>): number {
  return sizeOf(type).heldBytes;
}

export async function packWeight(
  type: TensorType<NumberFormat>,
  read: ReadWeight,
  signal: AbortSignal | undefined,
): Promise<ReferenceWeight> {
  const { count, width, fileBytes, heldBytes } = sizeOf(type);
  const bytes = allocateBytes(fileBytes);
  for (let offset = 0; offset < fileBytes; offset += pieceBytes) {
    throwIfAborted(signal);
    await read(offset, bytes.subarray(offset, Math.min(fileBytes, offset + pieceBytes)));
  }
  throwIfAborted(signal);
  if (count * width > decodedValues) {
    return { type, byteLength: heldBytes, rows: decodedRows(type.format, bytes, count, width) };
  }
  const values = new Float64Array(count * width);
  decodeRow(type.format, bytes, 0, values, 0, values.length);
  return { type, byteLength: heldBytes, rows: denseRows(values, width) };
}

function decodedRows(format: NumberFormat, bytes: Uint8Array, count: number, width: number): Rows {
  const target = new Float64Array(width);
  const stride = rowBytes(format, width);
  return {
    count,
    width,
    row(index) {
      if (!(index >= 0 && index < count)) throw new RangeError(`Row ${index} of ${count}`);
      decodeRow(format, bytes, index * stride, target, 0, width);
      return target;
    },
  };
}

function allocateBytes(byteLength: number): Uint8Array {
  try {
    return new Uint8Array(byteLength);
  } catch (cause) {
    throw new NearfieldError('out-of-budget', `The host refused ${byteLength} bytes for a weight`, { cause });
  }
}
