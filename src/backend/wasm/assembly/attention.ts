/**
 * Attention over cache pages. The rows a query sees are taken in logical order in blocks of 128; each block gets a softmax
 * of its own (maximum, sum, weighted values) and the blocks are merged in order, so a result does not depend on where in
 * the cache the rows lie, on the rows beside it, or on the number of threads.
 *
 * A unit of work is one key/value head and a tile of rows. Its queries (rows × heads of the group, at most 8) share every
 * load of keys and values in the blocks that all of them see alike; what a row of a tree sees of its own comes after.
 *
 * Tape entry: [rows, step, layer offset, heads, key/value heads, key size, value size, cache type, window (0: none), scale,
 * q, out or 0, rows per tile, quantized out or 0, queries in words, cap of scores (0: none), sinks or 0]. Only values
 * of a multiple of 32 are quantized.
 */
import { F16, F32, headBytes, valuesOffset } from './cache';
import { scoreF16, scoreF32, weighF16, weighF32 } from './attention-floats';
import { chooseProducts, quantizeQueries, scoreQ8, weighQ8 } from './attention-q8';
import { capped } from './elementwise';
import { claim } from './machine';
import { quantizeRow } from './quantize';
import { BLOCK, BLOCK_COUNTS, BLOCK_PAGES, COUNTS, FACTORS, MAXIMA, QUERIES, RESULT, SCORES, SUMS } from './attention-scratch';
import { COMPACT, LARGEST, PLACES, TOTALS } from './attention-scratch';
import { clear, copy, exponential, multiplyAdd, sumLanes } from './simd';
import { blockOf, committedOf, maskOf, rowRecord, sequenceOf, sequenceRecord, visibleOf } from './step';

/** Queries of a tile. */
const MOST: i32 = 8;

/**
 * Halves are read as float32 times 2^-112 (`halves` in `simd.ts`): queries and weights go in times 2^60, which keeps
 * products far from both ends of float32's range, and results come out times 2^52.
 */
const LIFT: f32 = 1.152921504606847e18;
const UNLIFT: f32 = 4.503599627370496e15;

export function attention(args: usize, scratch: usize): void {
  chooseProducts(load<i32>(args, 56) != 0);
  const rows = load<i32>(args);
  const keyValueHeads = load<i32>(args, 16);
  const tile = load<i32>(args, 48);
  const group = load<i32>(args, 12) / keyValueHeads;
  const slices = (group + MOST - 1) / MOST;
  const tiles = (rows + tile - 1) / tile;
  const units = tiles * keyValueHeads * slices;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    // Late rows see the most: begin with them, so that the last unit is a short one.
    const part = unit % (keyValueHeads * slices);
    const first = (tiles - 1 - unit / (keyValueHeads * slices)) * tile;
    const head = part / slices;
    const slice = part % slices;
    const heads = min(MOST, group - slice * MOST);
    const firstHead = head * group + slice * MOST;
    const last = min(rows, first + tile);
    if (ofOneSequence(args, first, last)) {
      attend(args, scratch, first, last - first, head, firstHead, heads);
    } else {
      for (let row = first; row < last; row++) attend(args, scratch, row, 1, head, firstHead, heads);
    }
  }
}

function ofOneSequence(args: usize, first: i32, last: i32): bool {
  const step = <usize>load<u32>(args, 4);
  const sequence = sequenceOf(rowRecord(step, first));
  for (let row = first + 1; row < last; row++) if (sequenceOf(rowRecord(step, row)) != sequence) return false;
  return true;
}

function attend(args: usize, scratch: usize, first: i32, rows: i32, head: i32, firstHead: i32, heads: i32): void {
  const step = <usize>load<u32>(args, 4);
  const window = load<i32>(args, 32);
  const type = load<i32>(args, 28);
  const queries = rows * heads;
  loadQueries(args, scratch, first, rows, firstHead, heads);
  const sequence = sequenceRecord(step, sequenceOf(rowRecord(step, first)));
  let longest = 0;
  let shortest = i32.MAX_VALUE;
  let visible = i32.MAX_VALUE;
  let tree = false;
  for (let r = 0; r < rows; r++) {
    const record = rowRecord(step, first + r);
    const n = visibleOf(record) + <i32>popcnt<u64>(maskOf(record));
    store<i32>(scratch + COUNTS + (<usize>r << 2), n);
    longest = max(longest, n);
    shortest = min(shortest, n);
    visible = min(visible, visibleOf(record));
    if (maskOf(record) != 0) tree = true;
  }
  for (let q = 0; q < queries; q++) {
    store<f32>(scratch + MAXIMA + (<usize>q << 2), -Infinity);
    store<f32>(scratch + SUMS + (<usize>q << 2), 0);
  }
  clear(scratch + RESULT, <usize>queries * 1024);
  const begin = window > 0 ? max(0, shortest - window) & ~127 : 0;
  // Beyond the last whole block that every row sees as a prefix, rows of a tree go their own ways.
  const shared = tree ? visible & ~127 : longest;
  for (let start = begin; start < shared; start += 128) {
    const count = min(128, longest - start);
    store<u32>(scratch + BLOCK_PAGES, <u32>headBlock(args, sequence, start, head));
    store<i32>(scratch + BLOCK_COUNTS, count);
    score(args, scratch, 1, 0, queries);
    for (let r = 0; r < rows; r++) softmaxRow(args, scratch, r, heads, start, count, 0);
    weigh(args, scratch, 1, 0, queries);
  }
  if (tree) for (let r = 0; r < rows; r++) attendOwn(args, scratch, first + r, r, heads, sequence, head, shared);
  storeResults(args, scratch, first, rows, firstHead, heads);
}

/** Where a head's keys and values of the block around a cache row lie. */
@inline
function headBlock(args: usize, sequence: usize, cacheRow: i32, head: i32): usize {
  const bytes = headBytes(load<i32>(args, 28), load<i32>(args, 20), load<i32>(args, 24));
  return blockOf(<usize>load<u32>(args, 4), sequence, cacheRow, <usize>load<u32>(args, 8), <usize>head, bytes);
}

/** The blocks of one row of a tree from `from` on: the rest of its prefix, then the rows of its mask. */
function attendOwn(
  args: usize, scratch: usize, row: i32, r: i32, heads: i32, sequence: usize, head: i32, from: i32,
): void {
  const step = <usize>load<u32>(args, 4);
  const window = load<i32>(args, 32);
  const record = rowRecord(step, row);
  const visible = visibleOf(record);
  const committed = committedOf(sequence);
  const seen = load<i32>(scratch + COUNTS + (<usize>r << 2));
  let bits = maskOf(record);
  for (let start = from; start < seen; start += 128) {
    const count = min(128, seen - start);
    const firstPage = min(start, visible) >> 7;
    // Where in the pages, counted from the first, the block's rows lie.
    let last = 0;
    for (let i = 0; i < count; i++) {
      let cacheRow = start + i;
      if (cacheRow >= visible) {
        cacheRow = committed + <i32>ctz<u64>(bits);
        bits &= bits - 1;
      }
      last = cacheRow - (firstPage << 7);
      store<i32>(scratch + PLACES + (<usize>i << 2), last);
    }
    if (window > 0 && start + 128 <= seen - window) continue;
    const pages = (last >> 7) + 1;
    for (let page = 0; page < pages; page++) {
      const address = headBlock(args, sequence, (firstPage + page) << 7, head);
      store<u32>(scratch + BLOCK_PAGES + (<usize>page << 2), <u32>address);
      store<i32>(scratch + BLOCK_COUNTS + (<usize>page << 2), min(128, last + 1 - (page << 7)));
    }
    const q = r * heads;
    score(args, scratch, pages, q, heads);
    softmaxRow(args, scratch, r, heads, start, count, pages);
    weigh(args, scratch, pages, q, heads);
  }
}

/** Queries as the cache type wants them, head after head of each row, and per query the factor of its scores. */
function loadQueries(args: usize, scratch: usize, first: i32, rows: i32, firstHead: i32, heads: i32): void {
  const keySize = load<i32>(args, 20);
  const type = load<i32>(args, 28);
  const scale = load<f32>(args, 36);
  const rowBytes = <usize>(load<i32>(args, 12) * keySize) * 4;
  for (let r = 0; r < rows; r++) {
    const source = <usize>load<u32>(args, 40) + <usize>(first + r) * rowBytes + <usize>(firstHead * keySize) * 4;
    for (let h = 0; h < heads; h++) {
      const q = <usize>(r * heads + h);
      const x = source + <usize>(h * keySize) * 4;
      let factor = scale;
      if (type == F32 || type == F16) {
        const lift = f32x4.splat(type == F16 ? LIFT : 1);
        const out = scratch + QUERIES + q * 1024;
        for (let i: usize = 0; i < <usize>keySize * 4; i += 16) v128.store(out + i, f32x4.mul(v128.load(x + i), lift));
        if (type == F16) factor *= UNLIFT;
      } else {
        factor *= quantizeQueries(x, scratch, q, keySize);
      }
      store<f32>(scratch + FACTORS + (q << 2), factor);
    }
  }
}

/** Scores of the block's pages, page after page, for queries `from` and on. */
function score(args: usize, scratch: usize, pages: i32, from: i32, queries: i32): void {
  const keySize = load<i32>(args, 20);
  const type = load<i32>(args, 28);
  for (let page: usize = 0; page < <usize>pages; page++) {
    const keys = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2));
    const count = load<i32>(scratch + BLOCK_COUNTS + (page << 2));
    const out = scratch + SCORES + <usize>from * 1536 + (page << 9);
    if (type == F32) scoreF32(scratch, keys, from, queries, keySize, count, out);
    else if (type == F16) scoreF16(scratch, keys, from, queries, keySize, count, out);
    else scoreQ8(scratch, keys, from, queries, keySize, count, out);
  }
}

/**
 * Turns a row's scores into weights e^(score − block maximum), zero for rows it does not see; per query the block's
 * maximum and sum. With `pages` the scores of the block's rows are at PLACES, else side by side from the first on.
 */
function softmaxRow(args: usize, scratch: usize, r: i32, heads: i32, start: i32, count: i32, pages: i32): void {
  const window = load<i32>(args, 32);
  const lift: f32 = load<i32>(args, 28) == F16 ? LIFT : 1;
  const cap = load<f32>(args, 60);
  const seen = load<i32>(scratch + COUNTS + (<usize>r << 2));
  const from = window > 0 ? max(0, min(count, seen - window - start)) : 0;
  const to = max(0, min(count, seen - start));
  for (let h = 0; h < heads; h++) {
    const q = <usize>(r * heads + h);
    const scores = scratch + SCORES + q * 1536;
    if (pages == 0) {
      softmax(scratch, scores, q, from, to, (count + 15) & ~15, lift, cap);
      continue;
    }
    const compact = scratch + COMPACT;
    for (let i: usize = 0; i < <usize>count; i++) {
      store<f32>(compact + (i << 2), load<f32>(scores + (<usize>load<u32>(scratch + PLACES + (i << 2)) << 2)));
    }
    softmax(scratch, compact, q, from, to, (count + 15) & ~15, lift, cap);
    clear(scores, <usize>pages << 9);
    for (let i: usize = 0; i < <usize>count; i++) {
      store<f32>(scores + (<usize>load<u32>(scratch + PLACES + (i << 2)) << 2), load<f32>(compact + (i << 2)));
    }
  }
}

/** Scores times their factor, then cap · tanh(score / cap), of the first `count`. */
function capScores(w: usize, count: i32, factor: v128, cap: v128): void {
  const whole = <usize>(count & ~3) << 2;
  for (let i: usize = 0; i < whole; i += 16) v128.store(w + i, capped(f32x4.mul(v128.load(w + i), factor), cap));
  for (let i: usize = whole; i < <usize>count << 2; i += 4) {
    const score = capped(f32x4.mul(v128.load32_splat(w + i), factor), cap);
    store<f32>(w + i, f32x4.extract_lane(score, 0));
  }
}

/** Four copies each; loaded before the loop, since V8 rebuilds literals at every use. */
const EXP2: usize = memory.data<f32>([
  1.4426950408889634, 1.4426950408889634, 1.4426950408889634, 1.4426950408889634,
  12582912, 12582912, 12582912, 12582912, -126, -126, -126, -126,
  1.5461444697198852e-4, 1.5461444697198852e-4, 1.5461444697198852e-4, 1.5461444697198852e-4,
  1.3400428177874346e-3, 1.3400428177874346e-3, 1.3400428177874346e-3, 1.3400428177874346e-3,
  9.618056678533549e-3, 9.618056678533549e-3, 9.618056678533549e-3, 9.618056678533549e-3,
  5.5503272266696914e-2, 5.5503272266696914e-2, 5.5503272266696914e-2, 5.5503272266696914e-2,
  0.24022650922288458, 0.24022650922288458, 0.24022650922288458, 0.24022650922288458,
  0.6931472067028331, 0.6931472067028331, 0.6931472067028331, 0.6931472067028331, 1, 1, 1, 1,
], 16);

/**
 * Weights of one query in place, of scores `from`…`to`-1 of `padded` (a multiple of 16); the others get 0. e^x is
 * 2^n · 2^f with x · log2 e = n + f, |f| ≤ 1/2: n by adding 1.5 · 2^23, 2^f by a polynomial of degree 6 fitted at Chebyshev
 * nodes (relative error 3e-9); below 2^-126 it is 0. The rounding of x · log2 e costs a relative |x| · 2^-24, which is least
 * where weights are large.
 */
function softmax(scratch: usize, w: usize, q: usize, from: i32, to: i32, padded: i32, lift: f32, cap: f32): void {
  const end = <usize>padded << 2;
  let factor = f32x4.splat(load<f32>(scratch + FACTORS + (q << 2)));
  if (cap > 0) {
    capScores(w, to, factor, f32x4.splat(cap));
    factor = f32x4.splat(1);
  }
  for (let i = 0; i < from; i++) store<f32>(w + (<usize>i << 2), -Infinity);
  // `pmax` is one instruction where `max` is seven; a NaN that it passes over comes out in the sum.
  let largest = f32x4.splat(-Infinity);
  // Scores beyond `to` are left over from before: only what is sure to be there is scaled as it is.
  const whole = (<usize>to & ~3) << 2;
  for (let i: usize = 0; i < whole; i += 16) {
    const score = f32x4.mul(v128.load(w + i), factor);
    v128.store(w + i, score);
    largest = f32x4.pmax(largest, score);
  }
  for (let i = <i32>(whole >> 2); i < to; i++) {
    const place = w + (<usize>i << 2);
    const score = load<f32>(place) * f32x4.extract_lane(factor, 0);
    store<f32>(place, score);
    largest = f32x4.pmax(largest, f32x4.splat(score));
  }
  for (let i = to; i < padded; i++) store<f32>(w + (<usize>i << 2), -Infinity);
  const most = max(
    max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
    max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  );
  store<f32>(scratch + LARGEST + (q << 2), most);
  // Nothing seen in this block: weights of zero, whatever the scores.
  const base = f32x4.splat(most == -Infinity ? 0 : most);
  const logarithm = v128.load(EXP2);
  const rounder = v128.load(EXP2, 16);
  const lowest = v128.load(EXP2, 32);
  const c6 = v128.load(EXP2, 48);
  const c5 = v128.load(EXP2, 64);
  const c4 = v128.load(EXP2, 80);
  const c3 = v128.load(EXP2, 96);
  const c2 = v128.load(EXP2, 112);
  const c1 = v128.load(EXP2, 128);
  const one = v128.load(EXP2, 144);
  const up = f32x4.splat(lift);
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const t = f32x4.mul(f32x4.sub(v128.load(w + i), base), logarithm);
    const n = f32x4.add(t, rounder);
    const f = f32x4.sub(t, f32x4.sub(n, rounder));
    let p = multiplyAdd(c6, f, c5);
    p = multiplyAdd(p, f, c4);
    p = multiplyAdd(p, f, c3);
    p = multiplyAdd(p, f, c2);
    p = multiplyAdd(p, f, c1);
    p = multiplyAdd(p, f, one);
    const weight = v128.andnot(i32x4.add(p, i32x4.shl(n, 23)), f32x4.lt(t, lowest));
    v128.store(w + i, f32x4.mul(weight, up));
    sum = f32x4.add(sum, weight);
  }
  store<f32>(scratch + TOTALS + (q << 2), sumLanes(sum));
}

/** block[query] = Σ weight · value over the block's pages, then merged into the result. */
function weigh(args: usize, scratch: usize, pages: i32, from: i32, queries: i32): void {
  const valueSize = load<i32>(args, 24);
  const type = load<i32>(args, 28);
  const offset = valuesOffset(type, load<i32>(args, 20));
  const block = scratch + BLOCK + <usize>from * 1024;
  for (let q: usize = 0; q < <usize>queries; q++) clear(block + q * 1024, <usize>valueSize * 4);
  if (type == F32 || type == F16) {
    for (let page: usize = 0; page < <usize>pages; page++) {
      const values = <usize>load<u32>(scratch + BLOCK_PAGES + (page << 2)) + offset;
      const count = load<i32>(scratch + BLOCK_COUNTS + (page << 2));
      const w = scratch + SCORES + <usize>from * 1536 + (page << 9);
      if (type == F32) weighF32(w, values, block, queries, valueSize, count);
      else weighF16(w, values, block, queries, valueSize, count);
    }
  } else {
    weighQ8(scratch, offset, pages, from, queries, valueSize);
  }
  mergeBlock(scratch, from, queries, valueSize, type == F16 ? UNLIFT : 1);
}

/** Merges the block's softmax into the running one: Milakov and Gimelshein, Online normalizer calculation for softmax. */
function mergeBlock(scratch: usize, from: i32, queries: i32, valueSize: i32, unlift: f32): void {
  for (let q = <usize>from; q < <usize>(from + queries); q++) {
    const blockMaximum = load<f32>(scratch + LARGEST + (q << 2));
    if (blockMaximum == -Infinity) continue;
    const before = load<f32>(scratch + MAXIMA + (q << 2));
    const most = max(before, blockMaximum);
    const factors = exponential(f32x4.sub(f32x4(before, blockMaximum, 0, 0), f32x4.splat(most)));
    const kept: f32 = before == -Infinity ? 0 : f32x4.extract_lane(factors, 0);
    const added = f32x4.extract_lane(factors, 1);
    const sum = scratch + SUMS + (q << 2);
    store<f32>(sum, load<f32>(sum) * kept + load<f32>(scratch + TOTALS + (q << 2)) * added);
    store<f32>(scratch + MAXIMA + (q << 2), most);
    const old = f32x4.splat(kept);
    const fresh = f32x4.splat(added * unlift);
    const result = scratch + RESULT + q * 1024;
    const block = scratch + BLOCK + q * 1024;
    for (let i: usize = 0; i < <usize>valueSize * 4; i += 16) {
      v128.store(result + i, multiplyAdd(v128.load(block + i), fresh, f32x4.mul(v128.load(result + i), old)));
    }
  }
}

function storeResults(args: usize, scratch: usize, first: i32, rows: i32, firstHead: i32, heads: i32): void {
  const valueSize = load<i32>(args, 24);
  const out = <usize>load<u32>(args, 44);
  const quantized = <usize>load<u32>(args, 52);
  const sinks = <usize>load<u32>(args, 64);
  const rowValues = <usize>(load<i32>(args, 12) * valueSize);
  const bytes = <usize>valueSize * 4;
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      const q = <usize>(r * heads + h);
      const inverse = f32x4.splat(inverseSum(scratch, q, sinks, firstHead + h));
      const result = scratch + RESULT + q * 1024;
      for (let i: usize = 0; i < bytes; i += 16) v128.store(result + i, f32x4.mul(v128.load(result + i), inverse));
      const place = <usize>(first + r) * rowValues + <usize>((firstHead + h) * valueSize);
      if (quantized) quantizeRow(result, quantized + (place >> 5) * 48, valueSize);
      if (out) copy(out + place * 4, result, bytes);
    }
  }
}

/** What weighted values are multiplied by. A sink takes part in the sum, and may be larger than all scores. */
function inverseSum(scratch: usize, q: usize, sinks: usize, head: i32): f32 {
  const sum = load<f32>(scratch + SUMS + (q << 2));
  if (!sinks) return <f32>1 / sum;
  const sink = load<f32>(sinks + (<usize>head << 2));
  const before = load<f32>(scratch + MAXIMA + (q << 2));
  const most = max(before, sink);
  const factors = exponential(f32x4.sub(f32x4(before, sink, 0, 0), f32x4.splat(most)));
  const kept = f32x4.extract_lane(factors, 0);
  return kept / (sum * kept + f32x4.extract_lane(factors, 1));
}
