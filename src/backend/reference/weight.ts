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
  /** What is held of it: float64 values, or the file's bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
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
  const weight = placeWeight(type, allocateBytes(sizeOf(type).heldBytes), 0);
  await packRows(weight, 0, sizeOf(type).count, read, signal);
  return weight;
}

/** A weight whose bytes lie in `buffer` from an offset on, a multiple of eight. */
export function placeWeight(
  type: TensorType<NumberFormat>,
  buffer: ArrayBuffer,
  offsetBytes: number,
): ReferenceWeight {
  const { count, width, heldBytes } = sizeOf(type);
  const bytes = new Uint8Array(buffer, offsetBytes, heldBytes);
  const rows =
    count * width > decodedValues
      ? decodedRows(type.format, bytes, count, width)
      : denseRows(new Float64Array(buffer, offsetBytes, count * width), width);
  return { type, byteLength: heldBytes, rows, bytes };
}

/** Puts `rowCount` rows from `firstRow` on in their places; `read` counts from the first of them. */
export async function packRows(
  { type, bytes }: ReferenceWeight,
  firstRow: number,
  rowCount: number,
  read: ReadWeight,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { count, width } = sizeOf(type);
  const isDecoded = count * width <= decodedValues;
  const stride = rowBytes(type.format, width);
  const target = isDecoded
    ? new Uint8Array(allocateBytes(rowCount * stride))
    : bytes.subarray(firstRow * stride, (firstRow + rowCount) * stride);
  for (let offset = 0; offset < target.length; offset += pieceBytes) {
    throwIfAborted(signal);
    await read(offset, target.subarray(offset, Math.min(target.length, offset + pieceBytes)));
  }
  throwIfAborted(signal);
  if (!isDecoded) return;
  const values = new Float64Array(bytes.buffer, bytes.byteOffset, count * width);
  decodeRow(type.format, target, 0, values, firstRow * width, rowCount * width);
}

/** Bytes of file form that `packRows` holds of a whole weight beside what it packs. */
export function packingBytes(type: TensorType<NumberFormat>): number {
  const { count, width, fileBytes } = sizeOf(type);
  return count * width <= decodedValues ? fileBytes : 0;
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

function allocateBytes(byteLength: number): ArrayBuffer {
  try {
    return new ArrayBuffer(byteLength);
  } catch (cause) {
    throw new NearfieldError('out-of-budget', `The host refused ${byteLength} bytes for a weight`, { cause });
  }
}
