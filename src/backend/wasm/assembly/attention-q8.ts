/** Attention's inner products over `q8_0` pages, in integers: queries and weights of fourteen bits. */
import { scores_1x4_bytes, scores_1x4_words, scores_2x2_bytes, scores_2x2_words, scores_4x1_words } from './attention.generated';
import { weigh_1x4_bytes, weigh_1x4_words, weigh_2x2_bytes, weigh_2x2_words, weigh_4x1_words } from './attention.generated';
import { QUERY_BYTES, UNIT_BYTES, WEIGHT_BYTES } from './attention.generated';
import { UNIT_SUMS } from './cache';
import { BLOCK, BLOCK_COUNTS, BLOCK_PAGES, CODES, COLUMN_SCALES, PRODUCTS, QUERIES, SCORES } from './attention-scratch';
import { multiplyAdd, sumLanes } from './simd';

/** Queries are rounded to fourteen bits of their largest value, weights to fourteen of the largest in a block. */
const QUERY_MOST: f32 = 8127;
const WEIGHT_MOST: f32 = 16383;

/** 2^23, in whose neighbourhood the low bits of a float32 are a whole number; 1.5 times that; seven ones: four copies each. */
const ROUNDERS: usize = memory.data<u32>([
  0x4b000000, 0x4b000000, 0x4b000000, 0x4b000000, 0x4b400000, 0x4b400000, 0x4b400000, 0x4b400000, 127, 127, 127, 127,
], 16);

/** Whether queries and weights are words; set by each piece of attention, and the same for all in a process. */
let inWords: bool = false;

export function chooseProducts(words: bool): void {
  inWords = words;
}

/** How many of these queries one pass over codes takes. */
@inline
function queriesAtOnce(queries: i32): i32 {
  return inWords && queries >= 4 ? 4 : min(queries, 2);
}

/** Eight bytes at `out`: four values rounded to whole numbers, plus `offset` where they come in parts. */
@inline
function storeRounded(out: usize, x: v128, factor: v128, offset: v128): void {
  if (inWords) {
    const rounder = v128.load(ROUNDERS, 16);
    const whole = i32x4.sub(multiplyAdd(x, factor, rounder), rounder);
    v128.store64_lane(out, i16x8.narrow_i32x4_s(whole, whole), 0);
    return;
  }
  const bits = multiplyAdd(x, factor, f32x4.add(v128.load(ROUNDERS), offset));
  const mask = v128.load(ROUNDERS, 32);
  const parts = i16x8.narrow_i32x4_s(v128.and(i32x4.shr_u(bits, 7), mask), v128.and(bits, mask));
  v128.store64_lane(out, i8x16.narrow_i16x8_s(parts, parts), 0);
}

@inline
function largestLane(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** Writes query `q` in whole numbers; returns their scale. */
export function quantizeQueries(x: usize, scratch: usize, q: usize, keySize: i32): f32 {
  let largest = f32x4.splat(0);
  const bytes = <usize>keySize << 2;
  for (let i: usize = 0; i < bytes; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(x + i)));
  const most = largestLane(largest);
  const inverse = f32x4.splat(most > 1e-30 ? QUERY_MOST / most : 0);
  // Parts have no sign; keys come with what takes this back.
  const offset = f32x4.splat(8192);
  const out = scratch + QUERIES + q * QUERY_BYTES;
  for (let i: usize = 0; i < bytes; i += 16) storeRounded(out + (i >> 1), v128.load(x + i), inverse, offset);
  return most / QUERY_MOST;
}

/** Scores of the page's first `count` rows (rounded up to 16), without the queries' scales. */
export function scoreQ8(
  scratch: usize, keys: usize, from: i32, queries: i32, keySize: i32, count: i32, out: usize,
): void {
  const blocks = keySize >> 5;
  let x = scratch + QUERIES + <usize>from * QUERY_BYTES;
  for (let left = queries; left > 0; ) {
    const taken = queriesAtOnce(left);
    let unit = keys;
    for (let row: usize = 0; row < <usize>count; row += 16) {
      scoreUnit(taken, x, unit, blocks, out + (row << 2));
      unit += <usize>blocks * UNIT_BYTES;
    }
    x += <usize>taken * QUERY_BYTES;
    out += <usize>taken * 1536;
    left -= taken;
  }
}

/** Scores of 16 rows. */
@inline
function scoreUnit(queries: i32, x: usize, unit: usize, blocks: i32, out: usize): void {
  if (queries == 4) {
    for (let v: usize = 0; v < 64; v += 16) scores_4x1_words(x, unit + v, blocks, out + v);
  } else if (queries == 2) {
    for (let v: usize = 0; v < 64; v += 32) {
      if (inWords) scores_2x2_words(x, unit + v, blocks, out + v);
      else scores_2x2_bytes(x, unit + v, unit + UNIT_SUMS + (v >> 1), blocks, out + v);
    }
  } else if (inWords) {
    scores_1x4_words(x, unit, blocks, out);
  } else {
    scores_1x4_bytes(x, unit, unit + UNIT_SUMS, blocks, out);
  }
}

/** block[query] = Σ weight · value over the block's pages, for `queries` queries from `from` on; weights are at SCORES. */
export function weighQ8(scratch: usize, offset: usize, pages: i32, from: i32, queries: i32, valueSize: i32): void {
  const columns = <usize>(valueSize >> 5);
  for (let q = from; q < from + queries; ) {
    const taken = queriesAtOnce(from + queries - q);
    for (let t = 0; t < taken; t++) quantizeWeights(scratch, offset, pages, q + t, t, columns);
    for (let column: usize = 0; column < columns; column++) {
      const block = scratch + BLOCK + <usize>q * 1024 + (column << 7);
      for (let page: usize = 0; page < <usize>pages; page++) {
        const codes = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2)) + offset + (columns << 9) + (column << 12);
        const w = scratch + CODES + column * 4 * WEIGHT_BYTES + (page << 8);
        weighUnit(taken, w, codes, rowsOf(scratch, page) >> 4, block);
        weighUnit(taken, w, codes + 2048, rowsOf(scratch, page) >> 4, block + 64);
      }
      for (let t: usize = 0; t < <usize>taken; t++) {
        toFloats(block + t * 1024, load<f32>(scratch + COLUMN_SCALES + (t << 5) + (column << 2)));
      }
    }
    q += taken;
  }
}

/** Adds the weighted codes of 16 values. */
@inline
function weighUnit(queries: i32, w: usize, codes: usize, steps: i32, block: usize): void {
  if (queries == 4) {
    for (let v: usize = 0; v < 64; v += 16) weigh_4x1_words(w, codes + v, steps, block + v);
  } else if (queries == 2) {
    for (let v: usize = 0; v < 64; v += 32) {
      if (inWords) weigh_2x2_words(w, codes + v, steps, block + v);
      else weigh_2x2_bytes(w, codes + v, steps, block + v);
    }
  } else if (inWords) {
    weigh_1x4_words(w, codes, steps, block);
  } else {
    weigh_1x4_bytes(w, codes, steps, block);
  }
}

/** Rows of a page that matter, rounded up to 16. */
@inline
function rowsOf(scratch: usize, page: usize): i32 {
  return (load<i32>(scratch + BLOCK_COUNTS + (page << 2)) + 15) & ~15;
}

/**
 * A query's weights times the scales of each column of 32 values, in whole numbers, and what one of those is worth. First
 * all products: so the scales of every column are on their way at once.
 */
function quantizeWeights(scratch: usize, offset: usize, pages: i32, q: i32, place: i32, columns: usize): void {
  const weights = scratch + SCORES + <usize>q * 1536;
  const worths = scratch + COLUMN_SCALES + (<usize>place << 5);
  for (let column: usize = 0; column < columns; column++) {
    const products = scratch + PRODUCTS + column * 1536;
    let largest = f32x4.splat(0);
    let sum = f32x4.splat(0);
    for (let page: usize = 0; page < <usize>pages; page++) {
      const scale = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2)) + offset + (column << 9);
      const end = <usize>rowsOf(scratch, page) << 2;
      for (let i: usize = 0; i < end; i += 16) {
        const product = f32x4.mul(v128.load(weights + (page << 9) + i), v128.load(scale + i));
        v128.store(products + (page << 9) + i, product);
        largest = f32x4.pmax(largest, product);
        sum = f32x4.add(sum, product);
      }
    }
    // What `pmax` passes over, NaN, is in the sum.
    const total = sumLanes(sum);
    store<f32>(worths + (column << 2), largestLane(largest) / WEIGHT_MOST + (total - total));
  }
  const offsets = f32x4.splat(0);
  for (let column: usize = 0; column < columns; column++) {
    const most = load<f32>(worths + (column << 2)) * WEIGHT_MOST;
    const inverse = f32x4.splat(most > 1e-30 ? WEIGHT_MOST / most : 0);
    const out = scratch + CODES + (column * 4 + place) * WEIGHT_BYTES;
    for (let page: usize = 0; page < <usize>pages; page++) {
      const end = <usize>rowsOf(scratch, page) << 2;
      for (let i: usize = 0; i < end; i += 16) {
        const product = v128.load(scratch + PRODUCTS + column * 1536 + (page << 9) + i);
        storeRounded(out + (page << 8) + (i >> 1), product, inverse, offsets);
      }
    }
  }
}

/** 32 integer sums to float32, in place. */
function toFloats(block: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  for (let i: usize = 0; i < 128; i += 16) {
    v128.store(block + i, f32x4.mul(f32x4.convert_i32x4_s(v128.load(block + i)), factor));
  }
}
