/** Attention's inner products over `q8_0` pages, in integers: queries and weights in two parts of seven bits. */
import { scores_1x4_dot, scores_1x4_dotByPairs, scores_2x2_dot, scores_2x2_dotByPairs } from './attention.generated';
import { weigh_1x4_dot, weigh_1x4_dotByPairs, weigh_2x2_dot, weigh_2x2_dotByPairs } from './attention.generated';
import { QUERY_BYTES, UNIT_BYTES, WEIGHT_BYTES } from './attention.generated';
import { UNIT_SUMS } from './cache';
import { BLOCK, BLOCK_COUNTS, BLOCK_PAGES, PARTS, PRODUCTS, QUERIES, SCORES } from './attention-scratch';
import { multiplyAdd, sumLanes } from './simd';

/** Queries are rounded to fourteen bits of their largest value, weights to fourteen of the largest in a block. */
const QUERY_MOST: f32 = 8127;
const WEIGHT_MOST: f32 = 16383;

/** 2^23, in whose neighbourhood the low bits of a float32 are a whole number, and seven ones: four copies each. */
const SPLIT: usize = memory.data<u32>([0x4b000000, 0x4b000000, 0x4b000000, 0x4b000000, 127, 127, 127, 127], 16);

/** How this host multiplies bytes best; the same for all attention in a process. */
let byPairs: bool = false;

export function chooseDots(pairs: bool): void {
  byPairs = pairs;
}

function scores_1x4(x: usize, k: usize, sums: usize, blocks: i32, out: usize): void {
  if (byPairs) scores_1x4_dotByPairs(x, k, sums, blocks, out);
  else scores_1x4_dot(x, k, sums, blocks, out);
}

function scores_2x2(x: usize, k: usize, sums: usize, blocks: i32, out: usize): void {
  if (byPairs) scores_2x2_dotByPairs(x, k, sums, blocks, out);
  else scores_2x2_dot(x, k, sums, blocks, out);
}

function weigh_1x4(w: usize, values: usize, steps: i32, out: usize): void {
  if (byPairs) weigh_1x4_dotByPairs(w, values, steps, out);
  else weigh_1x4_dot(w, values, steps, out);
}

function weigh_2x2(w: usize, values: usize, steps: i32, out: usize): void {
  if (byPairs) weigh_2x2_dotByPairs(w, values, steps, out);
  else weigh_2x2_dot(w, values, steps, out);
}

/** Eight bytes at `out`: the upper seven bits of four whole numbers in the low fourteen bits of their lanes, then the lower. */
// @ts-ignore: decorator
@inline
function storeParts(out: usize, bits: v128, mask: v128): void {
  const parts = i16x8.narrow_i32x4_s(v128.and(i32x4.shr_u(bits, 7), mask), v128.and(bits, mask));
  v128.store64_lane(out, i8x16.narrow_i16x8_s(parts, parts), 0);
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
  // Plus 2^13, since parts have no sign; keys come with what takes it back.
  const rounder = f32x4.splat(8388608 + 8192);
  const mask = v128.load(SPLIT, 16);
  let out = scratch + QUERIES + q * QUERY_BYTES;
  for (let i: usize = 0; i < bytes; i += 16) {
    storeParts(out, multiplyAdd(v128.load(x + i), inverse, rounder), mask);
    out += 8;
  }
  return most / QUERY_MOST;
}

/** Scores of the page's first `count` rows (rounded up to 16), without the queries' scales. */
export function scoreQ8(
  scratch: usize, keys: usize, from: i32, queries: i32, keySize: i32, count: i32, out: usize,
): void {
  const blocks = keySize >> 5;
  let x = scratch + QUERIES + <usize>from * QUERY_BYTES;
  let q = 0;
  for (; q + 2 <= queries; q += 2) {
    let unit = keys;
    for (let row: usize = 0; row < <usize>count; row += 16) {
      scores_2x2(x, unit, unit + UNIT_SUMS, blocks, out + (row << 2));
      scores_2x2(x, unit + 32, unit + UNIT_SUMS + 16, blocks, out + (row << 2) + 32);
      unit += <usize>blocks * UNIT_BYTES;
    }
    x += 2 * QUERY_BYTES;
    out += 2 * 1536;
  }
  if (q == queries) return;
  for (let row: usize = 0; row < <usize>count; row += 16) {
    scores_1x4(x, keys, keys + UNIT_SUMS, blocks, out + (row << 2));
    keys += <usize>blocks * UNIT_BYTES;
  }
}

/** block[query] = Σ weight · value over the block's pages, for `queries` queries from `from` on; weights are at SCORES. */
export function weighQ8(scratch: usize, offset: usize, pages: i32, from: i32, queries: i32, valueSize: i32): void {
  const codes = <usize>(valueSize >> 5) * 512;
  for (let half: usize = 0; half < <usize>(valueSize >> 5); half++) {
    const scales = offset + (half << 9);
    for (let q = from; q < from + queries; q += 2) {
      const both = q + 1 < from + queries;
      const block = scratch + BLOCK + <usize>q * 1024 + (half << 7);
      const unit = splitWeights(scratch, scales, pages, q, scratch + PARTS);
      const next: f32 = both ? splitWeights(scratch, scales, pages, q + 1, scratch + PARTS + WEIGHT_BYTES) : 0;
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

/** The 7-bit parts of a query's weights times the scales of 32 values; returns what a product of them is worth. */
function splitWeights(scratch: usize, scales: usize, pages: i32, q: i32, out: usize): f32 {
  const weights = scratch + SCORES + <usize>q * 1536;
  let largest = f32x4.splat(0);
  let sum = f32x4.splat(0);
  for (let page: usize = 0; page < <usize>pages; page++) {
    const scale = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2)) + scales;
    const end = <usize>rowsOf(scratch, page) << 2;
    for (let i: usize = 0; i < end; i += 16) {
      const product = f32x4.mul(v128.load(weights + (page << 9) + i), v128.load(scale + i));
      v128.store(scratch + PRODUCTS + (page << 9) + i, product);
      largest = f32x4.pmax(largest, product);
      sum = f32x4.add(sum, product);
    }
  }
  const most = max(
    max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
    max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  );
  const inverse = f32x4.splat(most > 1e-30 ? WEIGHT_MOST / most : 0);
  const rounder = v128.load(SPLIT);
  const mask = v128.load(SPLIT, 16);
  for (let page: usize = 0; page < <usize>pages; page++) {
    const end = <usize>rowsOf(scratch, page) << 2;
    for (let i: usize = 0; i < end; i += 16) {
      const product = v128.load(scratch + PRODUCTS + (page << 9) + i);
      storeParts(out + (page << 8) + (i >> 1), multiplyAdd(product, inverse, rounder), mask);
    }
  }
  // What `pmax` passes over, NaN, is in the sum.
  const total = sumLanes(sum);
  return most / WEIGHT_MOST + (total - total);
}

/** 32 integer sums to float32, in place. */
function toFloats(block: usize, scale: f32): void {
  const factor = f32x4.splat(scale);
  for (let i: usize = 0; i < 128; i += 16) {
    v128.store(block + i, f32x4.mul(f32x4.convert_i32x4_s(v128.load(block + i)), factor));
  }
}
