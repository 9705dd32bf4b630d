/** Pages of the cache for checks: filled with noise in the kernels' layout, and read back as numbers. */
import { floatFromHalf } from '../../../base/half.ts';
import type { CacheType } from '../../../graph.ts';
import { cacheBlockRows } from '../../../plan.ts';
import { bankBits, type CachePart, type CacheShape, cachePlaces } from '../shader/cache.ts';
import { floatBits } from '../shader/kernel.ts';
import { noiseAt, noiseWord } from './noise.ts';

/** Two pages, in the first and the last of the banks, the second not at its bank's beginning. */
export interface PageCase {
  readonly banks: readonly Uint32Array<ArrayBuffer>[];
  /** Of the pages, as a step block holds them. */
  readonly addresses: readonly number[];
  readonly pages: readonly Uint32Array<ArrayBuffer>[];
}

export function pageCase(shape: CacheShape, bankCount: number, filled: boolean): PageCase {
  const { words } = cachePlaces(shape);
  const last = bankCount - 1;
  const banks = Array.from({ length: bankCount }, () => new Uint32Array(2 * words));
  const pages = [0, last].map((bank, page) => {
    const buffer = banks[bank] as Uint32Array<ArrayBuffer>;
    return buffer.subarray(page * words, (page + 1) * words);
  });
  if (filled) for (const [index, page] of pages.entries()) fillPage(page, shape, index);
  return { banks, pages, addresses: [0, last * 2 ** bankBits + words] };
}

function fillPage(page: Uint32Array, shape: CacheShape, stream: number): void {
  const { keys, values, words } = cachePlaces(shape);
  const sized: Record<CacheType, (index: number) => number> = {
    f32: (index) => floatBits(noiseAt(index, stream)),
    // Keys are halves from 1/4 to 1/2, of either sign, values subnormal ones.
    f16: (index) => (noiseWord(index, stream) & 0x83ff83ff) | (index < values.start ? 0x34003400 : 0),
    q8_0: (index) => noiseWord(index, stream),
  };
  const wordOf = sized[shape.type];
  for (let index = 0; index < words; index++) page[index] = wordOf(index);
  if (shape.type !== 'q8_0') return;
  for (const [first, end] of [
    [keys.scales, values.start],
    [values.scales, words],
  ] as const) {
    for (let index = first; index < end; index++) {
      page[index] = floatBits((1.5 + 0.5 * noiseAt(index, stream)) / 256);
    }
  }
}

/** A row of keys or values as numbers. */
export function cachedRow(page: Uint32Array<ArrayBuffer>, type: CacheType, part: CachePart, row: number) {
  const place = row % cacheBlockRows;
  const start = page.byteOffset + 4 * (part.start + place * part.rowWords);
  const { buffer } = page;
  if (type === 'f32') return Float64Array.from(new Float32Array(buffer, start, part.rowWords));
  if (type === 'f16')
    return Float64Array.from(new Uint16Array(buffer, start, 2 * part.rowWords), floatFromHalf);
  const scaleStart = page.byteOffset + 4 * (part.scales + place * part.scaleWords);
  const scales = new Float32Array(buffer, scaleStart, part.scaleWords);
  const codes = new Int8Array(buffer, start, 4 * part.rowWords);
  return Float64Array.from(codes, (code, index) => code * (scales[index >> 5] ?? 0));
}

/** How far a kept value may be from what it was: half a step, as a share of the largest. */
export const keepingShare = { f32: 0, f16: 2 ** -11, q8_0: 1 / 250 } as const satisfies Record<
  CacheType,
  number
>;
