/**
 * Tensors made of the rows of stored ones, without ever holding one whole: what the containers of one kind of model file
 * call one tensor, those of another call several, or keep in another order.
 */
import { NearfieldError } from '../../base/error.ts';
import type { TensorContent } from '../../checkpoint.ts';
import { decodeRow, encodeRow, formatByName, type NumberFormat, rowBytes } from '../../format.ts';
import { allocateBytes } from '../byte-range.ts';
import { quote } from '../quote.ts';
import { readPart } from '../read-tensor.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import type { TileShelf } from './tile-shelf.ts';

export interface Rows {
  /** Of the tensor it is, or begins with; for messages. */
  readonly name: string;
  readonly format: NumberFormat;
  /** Outermost first. A vector has rows of one value. */
  readonly shape: readonly number[];
  readonly part: number;
  readonly byteOffset: number;
  /** Absent where the rows lie at `byteOffset`, one after the other. */
  readonly content?: TensorContent;
}

const readableTypes: ReadonlyMap<string, NumberFormat> = new Map(
  ['F32', 'F16', 'BF16'].map((dtype) => [dtype, formatByName(dtype)]),
);

/** Throws `unsupported` naming the tensor and its type where that is none that is read. */
export function rowsOf(tensor: StoredTensor): Rows {
  const { name, dtype, shape, part, byteOffset } = tensor;
  const format = readableTypes.get(dtype);
  if (format) return { name, format, shape, part, byteOffset };
  throw new NearfieldError(
    'unsupported',
    `Tensor ${quote(name)} is of type ${quote(dtype)}; weights of type ${[...readableTypes.keys()].join(', ')} are read`,
  );
}

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

export const byteLengthOf = ({ format, shape }: Rows): number => rowBytes(format, product(shape));

const bytesPerRow = ({ format, shape }: Rows): number =>
  rowBytes(format, shape.length > 1 ? (shape.at(-1) ?? 0) : 1);

const rowCountOf = ({ shape }: Rows): number => product(shape.length > 1 ? shape.slice(0, -1) : shape);

function contentOf(rows: Rows): TensorContent {
  if (rows.content) return rows.content;
  return {
    byteLength: byteLengthOf(rows),
    read: (reading, offset, target) => readPart(reading, rows, offset, target),
  };
}

/** The same bytes in another shape. */
export function reshaped(rows: Rows, shape: readonly number[]): Rows {
  if (product(shape) === product(rows.shape)) return { ...rows, shape };
  return misshapen(rows, `cannot be seen as [${shape.join(', ')}]`);
}

/** `count` rows from `first` on; all dimensions but the last are counted together. */
export function sliced(rows: Rows, first: number, count: number): Rows {
  if (first < 0 || count < 1 || first + count > rowCountOf(rows)) {
    return misshapen(rows, `should have the rows ${first} to ${first + count - 1}`);
  }
  const skippedBytes = first * bytesPerRow(rows);
  const part = { ...rows, shape: [count, ...rows.shape.slice(1).slice(-1)] };
  if (!rows.content) return { ...part, byteOffset: rows.byteOffset + skippedBytes };
  const { content } = rows;
  const byteLength = byteLengthOf(part);
  return {
    ...part,
    content: {
      byteLength,
      read: (reading, offset, target) => content.read(reading, skippedBytes + offset, target),
    },
  };
}

/** One after the other, in a shape that all of them fill. */
export function joined(all: readonly Rows[], shape: readonly number[]): Rows {
  const [first] = all;
  if (!first) throw new NearfieldError('internal', 'No rows to join');
  const stranger = all.find(({ format }) => format !== first.format);
  if (stranger) misshapen(stranger, `is ${stranger.format.name}, but ${first.name} is ${first.format.name}`);
  const pieces = all.map((rows) => ({ content: contentOf(rows), end: rows.byteOffset + byteLengthOf(rows) }));
  const byteLength = pieces.reduce((sum, { content }) => sum + content.byteLength, 0);
  const whole: Rows = { ...first, shape };
  if (byteLength !== byteLengthOf(whole)) misshapen(first, `and its like do not fill [${shape.join(', ')}]`);
  return {
    ...whole,
    content: {
      byteLength,
      async read(reading, offset, target) {
        let start = 0;
        for (const { content, end } of pieces) {
          const from = Math.max(0, offset - start);
          const to = Math.min(content.byteLength, offset + target.byteLength - start);
          if (from < to) {
            const room = target.subarray(start + from - offset, start + to - offset);
            // What follows lies elsewhere.
            await content.read({ ...reading, readsOnTo: end }, from, room);
          }
          start += content.byteLength;
        }
      },
    },
  };
}

/** Row `i` of every run of `order.length` rows is row `order[i]` of that run. */
export function reordered(rows: Rows, order: readonly number[], shelf: TileShelf): Rows {
  if (rowCountOf(rows) % order.length !== 0)
    misshapen(rows, `should have a multiple of ${order.length} rows`);
  const content = contentOf(rows);
  const oneRow = bytesPerRow(rows);
  const tileBytes = order.length * oneRow;
  return {
    ...rows,
    content: shelf.tiled(content.byteLength, tileBytes, async (reading, offset, target) => {
      const source = allocateBytes(target.byteLength, 'rows of a tensor');
      await content.read(reading, offset, source);
      for (const [place, from] of order.entries()) {
        target.set(source.subarray(from * oneRow, (from + 1) * oneRow), place * oneRow);
      }
    }),
  };
}

const fewRowsBytes = 1 << 20;

/** Every `step`-th row from `first` on. */
export function everyOther(
  rows: Rows,
  first: number,
  step: number,
  shape: readonly number[],
  shelf: TileShelf,
): Rows {
  const count = rowCountOf(rows) / step;
  const oneRow = bytesPerRow(rows);
  const whole: Rows = { ...rows, shape };
  if (count !== rowCountOf(whole) || oneRow !== bytesPerRow(whole))
    misshapen(rows, `does not give [${shape.join(', ')}]`);
  const content = contentOf(rows);
  const tileBytes = Math.max(1, Math.floor(fewRowsBytes / oneRow)) * oneRow;
  return {
    ...whole,
    content: shelf.tiled(count * oneRow, tileBytes, async (reading, offset, target) => {
      const source = allocateBytes(target.byteLength * step, 'rows of a tensor');
      await content.read(reading, offset * step, source);
      for (let at = 0; at < target.byteLength; at += oneRow) {
        const from = at * step + first * oneRow;
        target.set(source.subarray(from, from + oneRow), at);
      }
    }),
  };
}

const f32 = formatByName('f32');

/** In f32, each value increased by `addend`. */
export function asFloats(rows: Rows, addend: number, shelf: TileShelf): Rows {
  if (rows.format === f32 && addend === 0) return rows;
  const content = contentOf(rows);
  const { format } = rows;
  const byteLength = rowBytes(f32, product(rows.shape));
  return {
    ...rows,
    format: f32,
    content: shelf.tiled(byteLength, fewRowsBytes, async (reading, offset, target) => {
      const count = target.byteLength / f32.blockBytes;
      const source = allocateBytes(rowBytes(format, count), 'rows of a tensor');
      await content.read(reading, rowBytes(format, offset / f32.blockBytes), source);
      const values = new Float32Array(count);
      decodeRow(format, source, 0, values, 0, count);
      if (addend !== 0) for (let i = 0; i < count; i++) values[i] = (values[i] ?? 0) + addend;
      encodeRow(f32, values, 0, target, 0, count);
    }),
  };
}

/** The source is read once for each tile, so tiles are large. */
const transposedTileBytes = 16 << 20;

/** Columns become rows. */
export function transposed(rows: Rows, shelf: TileShelf): Rows {
  const [sourceRows = 0, sourceColumns = 0, ...more] = rows.shape;
  const valueBytes = rows.format.blockBytes;
  if (sourceColumns === 0 || more.length > 0 || rows.format.blockValues !== 1) {
    misshapen(rows, 'should be a matrix of plain values');
  }
  const content = contentOf(rows);
  const oneRow = sourceRows * valueBytes;
  const sourceRowBytes = sourceColumns * valueBytes;
  const tileBytes = Math.max(1, Math.floor(transposedTileBytes / oneRow)) * oneRow;
  const pieceRows = Math.max(1, Math.floor(fewRowsBytes / sourceRowBytes));
  return {
    ...rows,
    shape: [sourceColumns, sourceRows],
    content: shelf.tiled(content.byteLength, tileBytes, async (reading, offset, target) => {
      const firstColumn = offset / oneRow;
      const columns = target.byteLength / oneRow;
      const piece = allocateBytes(Math.min(pieceRows, sourceRows) * sourceRowBytes, 'rows of a tensor');
      const source = valuesOf(piece, valueBytes);
      const turned = allocateBytes(target.byteLength, 'columns of a tensor');
      const values = valuesOf(turned, valueBytes);
      for (let row = 0; row < sourceRows; row += pieceRows) {
        const count = Math.min(pieceRows, sourceRows - row);
        await content.read(reading, row * sourceRowBytes, piece.subarray(0, count * sourceRowBytes));
        for (let column = 0; column < columns; column++) {
          const to = column * sourceRows + row;
          const from = firstColumn + column;
          for (let own = 0; own < count; own++) values[to + own] = source[own * sourceColumns + from] ?? 0;
        }
      }
      target.set(turned);
    }),
  };
}

/** Bit patterns of plain values of two or four bytes. */
const valuesOf = ({ buffer }: Uint8Array<ArrayBuffer>, valueBytes: number): Uint16Array | Uint32Array =>
  valueBytes === 2 ? new Uint16Array(buffer) : new Uint32Array(buffer);

/** Values that are in no file. */
export function madeUp(name: string, values: Float32Array): Rows {
  const bytes = new Uint8Array(rowBytes(f32, values.length));
  encodeRow(f32, values, 0, bytes, 0, values.length);
  return {
    ...{ name, format: f32, shape: [values.length], part: 0, byteOffset: 0 },
    content: {
      byteLength: bytes.byteLength,
      async read(_reading, offset, target) {
        target.set(bytes.subarray(offset, offset + target.byteLength));
      },
    },
  };
}

function misshapen(rows: Rows, problem: string): never {
  throw new NearfieldError(
    'bad-file',
    `Tensor ${quote(rows.name)} of shape [${rows.shape.join(', ')}] ${problem}: the file is damaged or its config.json is another model's`,
  );
}
