/** Attention's inner products over pages of floats; halves are read times 2^-112 (see `attention.ts`). */
import { scores_f16_1x2, scores_f16_1x8, scores_f16_4x2, scores_f32_1x2, scores_f32_1x8, scores_f32_4x2 } from './attention.generated';
import { weigh_f16_1x2, weigh_f16_1x8, weigh_f16_4x1, weigh_f16_4x2 } from './attention.generated';
import { weigh_f32_1x2, weigh_f32_1x8, weigh_f32_4x1, weigh_f32_4x2 } from './attention.generated';
import { QUERIES } from './attention-scratch';

/** Byte offset of a row's first key value. */
@inline
function column(row: i32, keySize: i32, bytes: usize): usize {
  return <usize>((row & ~31) * keySize + (row & 31)) * bytes;
}

/** f32 pages: scores of the first `count` rows (rounded up to 8) for `queries` queries from `from` on. */
export function scoreF32(
  scratch: usize, keys: usize, from: i32, queries: i32, keySize: i32, count: i32, out: usize,
): void {
  for (let q = 0; q < queries; q += 4) {
    const x = scratch + QUERIES + <usize>(from + q) * 1024;
    const scores = out + <usize>q * 1536;
    const many = queries - q;
    let row = 0;
    if (many == 1) {
      for (; row + 32 <= count; row += 32) scores_f32_1x8(x, keys + column(row, keySize, 4), keySize, scores + (<usize>row << 2), 1);
    }
    for (; row < count; row += 8) {
      const place = keys + column(row, keySize, 4);
      if (many == 1) scores_f32_1x2(x, place, keySize, scores + (<usize>row << 2), 1);
      else scores_f32_4x2(x, place, keySize, scores + (<usize>row << 2), many);
    }
  }
}

/** f32 pages: adds Σ weight · value over `count` rows to block[query]; weights are [query · 384 + row]. */
export function weighF32(w: usize, values: usize, block: usize, queries: i32, valueSize: i32, count: i32): void {
  const rowBytes = <usize>valueSize * 4;
  for (let q = 0; q < queries; q += 4) {
    const many = queries - q;
    let i = 0;
    if (many == 1) {
      for (; i + 32 <= valueSize; i += 32) weigh_f32_1x8(w, values + <usize>i * 4, rowBytes, count, block + (<usize>i << 2), 1);
    }
    for (; i + 8 <= valueSize; i += 8) {
      const place = values + <usize>i * 4;
      if (many == 1) weigh_f32_1x2(w, place, rowBytes, count, block + (<usize>i << 2), 1);
      else weigh_f32_4x2(w, place, rowBytes, count, block + (<usize>i << 2), many);
    }
    for (; i < valueSize; i += 4) weigh_f32_4x1(w, values + <usize>i * 4, rowBytes, count, block + (<usize>i << 2), many);
    w += 4 * 1536;
    block += 4 * 1024;
  }
}

/** f16 pages: scores of the first `count` rows (rounded up to 8) for `queries` queries from `from` on. */
export function scoreF16(
  scratch: usize, keys: usize, from: i32, queries: i32, keySize: i32, count: i32, out: usize,
): void {
  for (let q = 0; q < queries; q += 4) {
    const x = scratch + QUERIES + <usize>(from + q) * 1024;
    const scores = out + <usize>q * 1536;
    const many = queries - q;
    let row = 0;
    if (many == 1) {
      for (; row + 32 <= count; row += 32) scores_f16_1x8(x, keys + column(row, keySize, 2), keySize, scores + (<usize>row << 2), 1);
    }
    for (; row < count; row += 8) {
      const place = keys + column(row, keySize, 2);
      if (many == 1) scores_f16_1x2(x, place, keySize, scores + (<usize>row << 2), 1);
      else scores_f16_4x2(x, place, keySize, scores + (<usize>row << 2), many);
    }
  }
}

/** f16 pages: adds Σ weight · value over `count` rows to block[query]; weights are [query · 384 + row]. */
export function weighF16(w: usize, values: usize, block: usize, queries: i32, valueSize: i32, count: i32): void {
  const rowBytes = <usize>valueSize * 2;
  for (let q = 0; q < queries; q += 4) {
    const many = queries - q;
    let i = 0;
    if (many == 1) {
      for (; i + 32 <= valueSize; i += 32) weigh_f16_1x8(w, values + <usize>i * 2, rowBytes, count, block + (<usize>i << 2), 1);
    }
    for (; i + 8 <= valueSize; i += 8) {
      const place = values + <usize>i * 2;
      if (many == 1) weigh_f16_1x2(w, place, rowBytes, count, block + (<usize>i << 2), 1);
      else weigh_f16_4x2(w, place, rowBytes, count, block + (<usize>i << 2), many);
    }
    for (; i < valueSize; i += 4) weigh_f16_4x1(w, values + <usize>i * 2, rowBytes, count, block + (<usize>i << 2), many);
    w += 4 * 1536;
    block += 4 * 1024;
  }
}
