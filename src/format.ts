/**
 * Number formats: how the values of a tensor sit in bytes.
 *
 * A format groups `blockValues` consecutive values of a row into `blockBytes` bytes. Members are one file each in
 * `format/`; nothing outside a member compares its name: what callers need to know is a property here.
 */
import { NearfieldError } from './base/error.ts';
import { bf16 } from './format/bf16.ts';
import { e0m4_32, e0m4_64, e0m4_128 } from './format/e0m4.ts';
import type { E0m4Reading } from './format/e0m4-reading.ts';
import { f16 } from './format/f16.ts';
import { f32 } from './format/f32.ts';
import type { Grid } from './format/grid.ts';
import { iq1_m } from './format/iq1-m.ts';
import { iq1_s } from './format/iq1-s.ts';
import { iq2_s } from './format/iq2-s.ts';
import { iq2_xs } from './format/iq2-xs.ts';
import { iq2_xxs } from './format/iq2-xxs.ts';
import { iq3_s } from './format/iq3-s.ts';
import { iq3_xxs } from './format/iq3-xxs.ts';
import { iq4_nl } from './format/iq4-nl.ts';
import { iq4_xs } from './format/iq4-xs.ts';
import type { Ladder } from './format/ladder.ts';
import { mxfp4 } from './format/mxfp4.ts';
import { nvfp4 } from './format/nvfp4.ts';
import { q1_0 } from './format/q1-0.ts';
import { q2_0 } from './format/q2-0.ts';
import { q2_k } from './format/q2-k.ts';
import { q3_k } from './format/q3-k.ts';
import { q4_0 } from './format/q4-0.ts';
import { q4_1 } from './format/q4-1.ts';
import { q4_k } from './format/q4-k.ts';
import { q5_0 } from './format/q5-0.ts';
import { q5_1 } from './format/q5-1.ts';
import { q5_k } from './format/q5-k.ts';
import { q6_k } from './format/q6-k.ts';
import { q8_0 } from './format/q8-0.ts';
import { tq1_0 } from './format/tq1-0.ts';
import { tq2_0 } from './format/tq2-0.ts';

export interface NumberFormat {
  /** Lower-case name as people write it: `q4_0`, `f16`. */
  readonly name: string;
  /** Type number in a GGUF tensor directory; undefined for formats GGUF does not carry. */
  readonly ggufType?: number;
  readonly blockValues: number;
  readonly blockBytes: number;
  /**
   * Decodes `blockCount` blocks that start at `source[sourceOffset]` into `target[targetOffset…]`. Values are exact in
   * float64; a Float32Array target rounds each of them once. No alignment is required of `sourceOffset`.
   */
  decode(
    source: Uint8Array,
    sourceOffset: number,
    target: Float32Array | Float64Array,
    targetOffset: number,
    blockCount: number,
  ): void;
  /**
   * Encodes `blockCount` blocks from `source[sourceOffset…]`. Absent where the format cannot be written yet. The error
   * bound is stated beside each implementation; it holds for finite values whose scales are zero or normal numbers of
   * the scale's own format (a half: 2^-14 to 65504). Other values are written too: they come back coarser, infinite or NaN.
   */
  encode?(
    source: Float32Array | Float64Array,
    sourceOffset: number,
    target: Uint8Array,
    targetOffset: number,
    blockCount: number,
  ): void;
  /**
   * As `encode`, but looks for the scales and codes that leave the least sum of squared errors, each times its weight (see
   * `format/search/weighted-values.ts`). `importance`, where given, has one number per value, from `sourceOffset` on. Takes
   * ten to a hundred times as long; absent where there is little to look for.
   */
  encodeClosely?(
    source: Float32Array | Float64Array,
    sourceOffset: number,
    target: Uint8Array,
    targetOffset: number,
    blockCount: number,
    importance?: Float32Array,
  ): void;
  /** A uint32 that the metadata of a GGUF file with such tensors must have: the version of a format that is not GGUF's own. */
  readonly ggufMark?: { readonly key: string; readonly value: number };
  /** Of formats whose codes are rows of a table. */
  readonly grid?: Grid;
  /** How a device takes blocks of this format as groups of E0M4; where 16 evenly spaced levels allow it. */
  readonly e0m4?: E0m4Reading;
  /** Of formats whose blocks have evenly spaced levels: how a caller chooses the codes itself. */
  readonly ladder?: Ladder;
}

export type { E0m4Groups, E0m4Reading } from './format/e0m4-reading.ts';
export type { Grid } from './format/grid.ts';
export type { Ladder } from './format/ladder.ts';

export const formats: readonly NumberFormat[] = [
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  mxfp4,
  nvfp4,
  iq1_s,
  iq1_m,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  tq1_0,
  tq2_0,
  q1_0,
  q2_0,
  e0m4_32,
  e0m4_64,
  e0m4_128,
];

/** Types that GGUF defines and no member decodes; named so that a message can say what a file holds. */
const otherGgufTypes: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [15, 'Q8_K'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
]);

const formatNames = formats.map((format) => format.name).join(', ');

/** Any case. Throws `unsupported` where no member has the name. */
export function formatByName(name: string): NumberFormat {
  const format = formats.find((member) => member.name === name.toLowerCase());
  if (format) return format;
  throw new NearfieldError('unsupported', `No number format is named '${name}'; there are ${formatNames}`);
}

/** Throws `unsupported` for a type of GGUF that no member decodes, `bad-file` for a number that is no type. */
export function formatByGgufType(type: number): NumberFormat {
  const format = formats.find((member) => member.ggufType === type);
  if (format) return format;
  const otherName = otherGgufTypes.get(type);
  if (otherName) {
    throw new NearfieldError(
      'unsupported',
      `Tensors of GGUF type ${type} (${otherName}) are not supported; use a file quantized to one of ${formatNames}`,
    );
  }
  throw new NearfieldError(
    'bad-file',
    `${type} is not a tensor type of GGUF: the file is damaged or too new`,
  );
}

/** Bytes of a row of `valueCount` values. Throws `bad-file` where blocks would not fill it exactly. */
export function rowBytes(format: NumberFormat, valueCount: number): number {
  return blocksOfRow(format, valueCount) * format.blockBytes;
}

/**
 * Decodes `valueCount` values (whole blocks) from `source[sourceOffset…]` into `target[targetOffset…]`. Throws `bad-file`
 * where blocks do not fill the row, `internal` where either array is too short.
 */
export function decodeRow(
  format: NumberFormat,
  source: Uint8Array,
  sourceOffset: number,
  target: Float32Array | Float64Array,
  targetOffset: number,
  valueCount: number,
): void {
  const blockCount = blocksOfRow(format, valueCount);
  expectRoom(source, sourceOffset, blockCount * format.blockBytes, `bytes of ${format.name}`);
  expectRoom(target, targetOffset, valueCount, 'decoded values');
  format.decode(source, sourceOffset, target, targetOffset, blockCount);
}

/** The reverse of `decodeRow`, with the same errors; `unsupported` where the format cannot be written. */
export function encodeRow(
  format: NumberFormat,
  source: Float32Array | Float64Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  valueCount: number,
): void {
  if (!format.encode) throw new NearfieldError('unsupported', `${format.name} can be read but not written`);
  const blockCount = blocksOfRow(format, valueCount);
  expectRoom(source, sourceOffset, valueCount, 'values to encode');
  expectRoom(target, targetOffset, blockCount * format.blockBytes, `bytes of ${format.name}`);
  format.encode(source, sourceOffset, target, targetOffset, blockCount);
}

/** As `encodeRow`, by the format's close search where it has one. `importance` has a number for each of the row's values. */
export function encodeRowClosely(
  format: NumberFormat,
  source: Float32Array | Float64Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  valueCount: number,
  importance?: Float32Array,
): void {
  if (!format.encodeClosely) {
    encodeRow(format, source, sourceOffset, target, targetOffset, valueCount);
    return;
  }
  const blockCount = blocksOfRow(format, valueCount);
  expectRoom(source, sourceOffset, valueCount, 'values to encode');
  expectRoom(target, targetOffset, blockCount * format.blockBytes, `bytes of ${format.name}`);
  if (importance) expectRoom(importance, 0, valueCount, 'importances');
  format.encodeClosely(source, sourceOffset, target, targetOffset, blockCount, importance);
}

function blocksOfRow({ name, blockValues }: NumberFormat, valueCount: number): number {
  const blockCount = valueCount / blockValues;
  if (Number.isSafeInteger(blockCount) && blockCount >= 0) return blockCount;
  throw new NearfieldError(
    'bad-file',
    `A row of ${valueCount} values does not divide into blocks of ${name}, which hold ${blockValues}`,
  );
}

function expectRoom(array: ArrayLike<number>, offset: number, count: number, what: string): void {
  if (offset >= 0 && offset + count <= array.length) return;
  throw new NearfieldError(
    'internal',
    `${count} ${what} from ${offset} on exceed an array of length ${array.length}`,
  );
}
