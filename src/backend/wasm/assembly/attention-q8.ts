/** Attention's inner products over `q8_0` pages, in integers: queries and weights in two parts of seven bits. */
import { scores_1x4, scores_2x2, weigh_1x4, weigh_2x2 } from './attention.generated';
import { QUERY_BLOCK, QUERY_BYTES, QUERY_START, UNIT_BYTES, WEIGHT_BYTES } from './attention.generated';
import { BLOCK, BLOCK_COUNTS, BLOCK_PAGES, PARTS, PLACES, QUERIES, RANGES, SCORES } from './attention-scratch';
import { SPREAD, SPREAD_RANGE, SPREAD_UNIT } from './attention-scratch';
import { dot, multiplyAdd, sumLanes } from './simd';

/** Parts of a query lie in -64…63, so that pairs of products fit 16 bits whatever the host's dot product does inside. */
const QUERY_MOST: f32 = 8127;
const WEIGHT_MOST: f32 = 16383;

/** Sixteen sign bits, then sixteen zeros. */
const SIGNS: usize = memory.data<u64>([0x8080808080808080, 0x8080808080808080, 0, 0], 16);

/** True where the dot product's second operand counts as unsigned: codes then go in plus 128. */
// @ts-ignore: decorator
@inline
function takesUnsigned(): bool {
  return i32x4.extract_lane(dot(i8x16.splat(-64), i8x16.splat(-1), i32x4.splat(0)), 0) == -64 * 255 * 4;
}

/** Writes the parts of query `q`; returns its scale. */
export function quantizeQueries(x: usize, scratch: usize, q: usize, keySize: i32): f32 {
  let largest = f32x4.splat(0);
  const bytes = <usize>keySize << 2;
  for (let i: usize = 0; i < bytes; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(x + i)));
  const most = max(
    max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
    max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  );
  const inverse = f32x4.splat(most > 1e-30 ? QUERY_MOST / most : 0);
  const offset = takesUnsigned() ? -128 : 0;
  let out = scratch + QUERIES + q * QUERY_BYTES;
  for (let block: usize = 0; block < bytes; block += 128) {
    let sum = i32x4.splat(0);
    for (let g: usize = 0; g < 8; g++) {
      const v = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + block + (g << 4)), inverse)));
      sum = i32x4.add(sum, v);
      const upper = i32x4.shr_s(i32x4.add(v, i32x4.splat(64)), 7);
      const parts = i16x8.narrow_i32x4_s(upper, i32x4.sub(v, i32x4.shl(upper, 7)));
      v128.store64_lane(out + (g << 3), i8x16.narrow_i16x8_s(parts, parts), 0);
    }
    const total =
      i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    store<i32>(out, offset * total, QUERY_START);
    out += QUERY_BLOCK;
  }
  return most / QUERY_MOST;
}

/** Scores of the page's first `count` rows (rounded up to 16), without the queries' scales. */
export function scoreQ8(
  scratch: usize, keys: usize, from: i32, queries: i32, keySize: i32, count: i32, out: usize,
): void {
  const signs = SIGNS + (takesUnsigned() ? 0 : 16);
  const blocks = keySize >> 5;
  let x = scratch + QUERIES + <usize>from * QUERY_BYTES;
  let q = 0;
  for (; q + 2 <= queries; q += 2) {
    let unit = keys;
    for (let row: usize = 0; row < <usize>count; row += 16) {
      scores_2x2(x, unit, signs, blocks, out + (row << 2));
      scores_2x2(x, unit + 32, signs, blocks, out + (row << 2) + 32);
      unit += <usize>blocks * UNIT_BYTES;
    }
    x += 2 * QUERY_BYTES;
    out += 2 * 1536;
  }
  if (q == queries) return;
  for (let row: usize = 0; row < <usize>count; row += 16) {
    scores_1x4(x, keys, signs, blocks, out + (row << 2));
    keys += <usize>blocks * UNIT_BYTES;
  }
}

/**
 * block[query] = Σ weight · value over the block's pages, for `queries` queries from `from` on; weights are at SCORES. With
 * `places` the block's rows are at PLACES, else side by side from the first on.
 */
export function weighQ8(
  scratch: usize, offset: usize, pages: i32, places: bool, from: i32, queries: i32, heads: i32, valueSize: i32,
): void {
  const codes = <usize>(valueSize >> 5) * 512;
  for (let half: usize = 0; half < <usize>(valueSize >> 5); half++) {
    const scales = offset + (half << 9);
    store<i32>(scratch + SPREAD_RANGE, -1);
    for (let q = from; q < from + queries; q += 2) {
      const both = q + 1 < from + queries;
      const block = scratch + BLOCK + <usize>q * 1024 + (half << 7);
      const unit = splitWeights(scratch, scales, pages, places, q, heads, scratch + PARTS);
      const next: f32 = both ? splitWeights(scratch, scales, pages, places, q + 1, heads, scratch + PARTS + WEIGHT_BYTES) : 0;
      for (let page: usize = 0; page < <usize>pages; page++) {
        const values = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2)) + offset + codes + (half << 12);
        const steps = rowsOf(scratch, page) >> 4;
        const w = scratch + PARTS + (page << 8);
        if (both) {
          weigh_2x2(w, values, steps, block);
          weigh_2x2(w, values + 32, steps, block + 32);
          weigh_2x2(w, values + 2048, steps, block + 64);
          weigh_2x2(w, values + 2080, steps, block + 96);
        } else {
          weigh_1x4(w, values, steps, block);
          weigh_1x4(w, values + 2048, steps, block + 64);
        }
      }
      toFloats(block, unit);
      if (both) toFloats(block + 1024, next);
    }
  }
}

/** Rows of a page that matter, rounded up to 16. */
// @ts-ignore: decorator
@inline
function rowsOf(scratch: usize, page: usize): i32 {
  return (load<i32>(scratch + BLOCK_COUNTS + (page << 2)) + 15) & ~15;
}

/** 2^23, in whose neighbourhood the low bits of a float32 are a whole number, and seven ones: four copies each. */
const SPLIT: usize = memory.data<u32>([0x4b000000, 0x4b000000, 0x4b000000, 0x4b000000, 127, 127, 127, 127], 16);

/** The 7-bit parts of a query's weights times the scales of 32 values; returns what a product of them is worth. */
function splitWeights(scratch: usize, scales: usize, pages: i32, places: bool, q: i32, heads: i32, out: usize): f32 {
  const range = load<i32>(scratch + RANGES + (<usize>(q / heads) << 2));
  if (range != load<i32>(scratch + SPREAD_RANGE)) spreadScales(scratch, scales, pages, places, range);
  const rounder = v128.load(SPLIT);
  const mask = v128.load(SPLIT, 16);
  for (let page: usize = 0; page < <usize>pages; page++) {
    const weights = scratch + SCORES + <usize>q * 1536 + (page << 9);
    const spread = scratch + SPREAD + (page << 9);
    const target = out + (page << 8);
    const end = <usize>rowsOf(scratch, page) << 2;
    for (let i: usize = 0; i < end; i += 16) {
      const bits = multiplyAdd(v128.load(weights + i), v128.load(spread + i), rounder);
      const parts = i16x8.narrow_i32x4_s(v128.and(i32x4.shr_u(bits, 7), mask), v128.and(bits, mask));
      v128.store64_lane(target + (i >> 1), i8x16.narrow_i16x8_s(parts, parts), 0);
    }
  }
  return load<f32>(scratch + SPREAD_UNIT);
}

/** Largest scale of rows `from`…`to`-1 of the block's page; NaN if one is. */
function largestOf(scratch: usize, scales: usize, from: i32, to: i32): f32 {
  const page = <usize>load<u32>(scratch + BLOCK_PAGES) + scales;
  let all = f32x4.splat(0);
  let sum = f32x4.splat(0);
  for (let i = from; i < to; ) {
    const whole = (i & 3) == 0 && i + 4 <= to;
    const place = page + (<usize>i << 2);
    const scale = whole ? v128.load(place) : v128.load32_zero(place);
    all = f32x4.pmax(all, scale);
    sum = f32x4.add(sum, scale);
    i += whole ? 4 : 1;
  }
  const most = max(
    max(f32x4.extract_lane(all, 0), f32x4.extract_lane(all, 1)),
    max(f32x4.extract_lane(all, 2), f32x4.extract_lane(all, 3)),
  );
  const total = sumLanes(sum);
  return most + (total - total);
}

/** The same of rows at PLACES. */
function largestAt(scratch: usize, scales: usize, range: i32): f32 {
  let largest: f32 = 0;
  for (let i = range & 255; i < range >> 8; i++) {
    const row: usize = load<u32>(scratch + PLACES + (<usize>i << 2));
    const page = <usize>load<u32>(scratch + BLOCK_PAGES + ((row >> 7) << 2)) + scales;
    largest = max(largest, load<f32>(page + ((row & 127) << 2)));
  }
  return largest;
}

/** Spreads the scales of a page's values so that the largest of the rows that are seen is WEIGHT_MOST. */
function spreadScales(scratch: usize, scales: usize, pages: i32, places: bool, range: i32): void {
  const largest = places ? largestAt(scratch, scales, range) : largestOf(scratch, scales, range & 255, range >> 8);
  const inverse = f32x4.splat(largest > 1e-30 ? WEIGHT_MOST / largest : 0);
  for (let page: usize = 0; page < <usize>pages; page++) {
    const source = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2)) + scales;
    const target = scratch + SPREAD + (page << 9);
    const end = <usize>rowsOf(scratch, page) << 2;
    for (let i: usize = 0; i < end; i += 16) v128.store(target + i, f32x4.mul(v128.load(source + i), inverse));
  }
  store<i32>(scratch + SPREAD_RANGE, range);
  store<f32>(scratch + SPREAD_UNIT, largest / WEIGHT_MOST);
}

/** 32 integer sums to float32, in place. */
function toFloats(block: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  for (let i: usize = 0; i < 128; i += 16) {
    v128.store(block + i, f32x4.mul(f32x4.convert_i32x4_s(v128.load(block + i)), factor));
  }
}
