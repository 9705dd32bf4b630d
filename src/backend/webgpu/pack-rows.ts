/** Turns rows of a weight's file form into the bytes of a part's planes, a piece of rows at a time. */

import { known } from '../../base/error.ts';
import { bfloatFromFloat, halfFromFloat } from '../../base/half.ts';
import { decodeRow, type NumberFormat } from '../../format.ts';
import { blockReaders, readerByLevels, type TakenBlock } from './unpack-blocks.ts';
import {
  type BlockLayout,
  type Plane,
  planeBits,
  scaleCount,
  type WeightPart,
  type WeightSize,
  wordsPerFloatBlock,
} from './weight-layout.ts';

/** Bytes that belong at an offset of the packed weight, a multiple of four as is their length. */
export interface PackedPiece {
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** `source`: the rows `firstRow`… (within the part) of the file; their number is even, or they end the part. */
export function packPiece(
  size: WeightSize,
  part: WeightPart,
  format: NumberFormat,
  source: Uint8Array,
  firstRow: number,
  rowCount: number,
): PackedPiece[] {
  const { layout, columns } = size;
  if (layout.kind === 'block') {
    return packBlocks(layout, part, columns, format, source, firstRow, rowCount);
  }
  if (size.isPlain) {
    const values = new Float32Array(rowCount * columns);
    decodeRow(format, source, 0, values, 0, rowCount * columns);
    return [{ offset: part.offset + firstRow * columns * 4, bytes: new Uint8Array(values.buffer) }];
  }
  const rowBytes = (columns / 4) * wordsPerFloatBlock(layout) * 4;
  return [{ offset: part.offset + firstRow * rowBytes, bytes: source.slice(0, rowCount * rowBytes) }];
}

/** Stores one plane of 32 codes, whose bits begin at `shift`; `target` is zero there. */
const storePlane: Readonly<
  Record<Plane, (codes: Uint8Array, shift: number, target: Uint8Array, at: number) => void>
> = {
  nibble(codes, shift, target, at) {
    for (let j = 0; j < 16; j++) {
      target[at + j] = (((codes[j] ?? 0) >> shift) & 15) | ((((codes[16 + j] ?? 0) >> shift) & 15) << 4);
    }
  },
  byte(codes, _shift, target, at) {
    for (let j = 0; j < 32; j++) target[at + j] = codes[j] ?? 0;
  },
  pair(codes, shift, target, at) {
    for (let j = 0; j < 32; j++) {
      const byte = at + (j >> 2);
      target[byte] = (target[byte] ?? 0) | ((((codes[j] ?? 0) >> shift) & 3) << (2 * (j & 3)));
    }
  },
  bit(codes, shift, target, at) {
    for (let j = 0; j < 32; j++) {
      const byte = at + (j >> 3);
      target[byte] = (target[byte] ?? 0) | ((((codes[j] ?? 0) >> shift) & 1) << (j & 7));
    }
  },
};

function copyFlipped(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  byteLength: number,
  flipped: number,
): void {
  for (let index = 0; index < byteLength; index++) target[to + index] = (source[from + index] ?? 0) ^ flipped;
}

function packBlocks(
  layout: BlockLayout,
  part: WeightPart,
  columns: number,
  format: NumberFormat,
  source: Uint8Array,
  firstRow: number,
  rowCount: number,
): PackedPiece[] {
  const reader = blockReaders.get(format.name) ?? readerByLevels(format, layout.levels ?? []);
  const blocks = columns / 32;
  const partsOfBlock = format.blockValues / 32;
  const planes = layout.planes.map((plane) => {
    const bits = planeBits[plane];
    return { bits, bytes: new Uint8Array(rowCount * blocks * bits * 4), store: storePlane[plane] };
  });
  const perBlock = scaleCount(layout);
  // Whole words, also after an odd number of the part's last rows.
  const rowScales = new Float64Array((blocks / layout.blocksPerScale) * perBlock);
  const scales = new Uint16Array(Math.ceil((rowCount * rowScales.length) / 2) * 2);
  const factors = new Float32Array(rowCount);
  const taken: TakenBlock = {
    codes: new Uint8Array(32),
    scales: new Float64Array(2),
    biases: new Float64Array(2),
  };
  let at = 0;
  for (let row = 0; row < rowCount; row++) {
    for (let block = 0; block < blocks; block++) {
      const part = block % partsOfBlock;
      reader.scales(source, at, part, taken);
      reader.codes?.(source, at, part, taken.codes);
      let shift = 0;
      for (let index = 0; index < planes.length; index++) {
        const { bits, bytes, store } = known(planes[index], 'plane');
        const to = (row * blocks + block) * bits * 4;
        const from = reader.planes?.[index];
        if (from === undefined) store(taken.codes, shift, bytes, to);
        else copyFlipped(source, at + from + part * bits * 4, bytes, to, bits * 4, reader.flipped ?? 0);
        shift += bits;
      }
      if (part === partsOfBlock - 1) at += format.blockBytes;
      for (let half = 0; half < layout.scales; half++) {
        const place = Math.floor(block / layout.blocksPerScale) * perBlock + half;
        rowScales[place] = taken.scales[half] ?? 0;
        if (layout.bias) rowScales[place + layout.scales] = taken.biases[half] ?? 0;
      }
    }
    factors[row] = storeScales(layout, rowScales, scales, row * rowScales.length);
  }
  const rowsBefore = (bytesPerRow: number): number => firstRow * bytesPerRow;
  return [
    ...layout.planes.map((plane, index) => ({
      offset: part.offset + known(part.planes[index], 'plane') + rowsBefore(blocks * planeBits[plane] * 4),
      bytes: known(planes[index], 'plane').bytes,
    })),
    {
      offset: part.offset + part.scales + rowsBefore(rowScales.length * 2),
      bytes: new Uint8Array(scales.buffer),
    },
    { offset: part.offset + part.factors + rowsBefore(4), bytes: new Uint8Array(factors.buffer) },
  ];
}

/** Returns the row's factor: with it the largest scale or bias is from 2^14 to 2^15, far from where halves end. */
function storeScales(layout: BlockLayout, row: Float64Array, target: Uint16Array, at: number): number {
  if (layout.scale === 'bfloat') {
    for (let index = 0; index < row.length; index++) target[at + index] = bfloatFromFloat(row[index] ?? 0);
    return 1;
  }
  let largest = 0;
  for (let index = 0; index < row.length; index++) largest = Math.max(largest, Math.abs(row[index] ?? 0));
  const factor =
    largest > 0 && largest < Number.POSITIVE_INFINITY ? 2 ** (Math.floor(Math.log2(largest)) - 14) : 1;
  for (let index = 0; index < row.length; index++)
    target[at + index] = halfFromFloat((row[index] ?? 0) / factor);
  return factor;
}
