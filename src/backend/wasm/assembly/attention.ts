/**
 * Attention over cache pages. The rows a query sees are taken in logical order in blocks of 128; each block gets a softmax
 * of its own (maximum, sum, weighted values) and the blocks are merged in order, so a result does not depend on where in
 * the cache the rows lie, on the rows beside it, or on the number of threads.
 *
 * A unit of work is one key/value head and a tile of rows. Its queries (rows × heads of the group, at most 8) share every
 * load of keys and values.
 *
 * Tape entry: [rows, step, layer offset, heads, key/value heads, key size, value size, window (0: none), scale, q, out or 0,
 * rows per tile, quantized out or 0]. Only values of a multiple of 32 are quantized.
 */
import { claim } from './machine';
import { quantizeRow } from './quantize';
import { exponential, multiplyAdd, sumLanes } from './simd';
import { cacheRowOf, committedOf, maskOf, pageOf, rowRecord, sequenceOf, sequenceRecord, visibleOf } from './step';

const MOST: i32 = 8;
/** Scratch: scaled queries [8, 256], scores of up to three pages [8, 384], weights [8, 128], block result and running
 * result [8, 256] each, addresses of value rows [128], then per query: sum, maximum. */
const QUERIES: usize = 0;
const SCORES: usize = QUERIES + 8 * 256 * 4;
const WEIGHTS: usize = SCORES + 8 * 384 * 4;
const BLOCK: usize = WEIGHTS + 8 * 128 * 4;
const RESULT: usize = BLOCK + 8 * 256 * 4;
const VALUES: usize = RESULT + 8 * 256 * 4;
const MAXIMA: usize = VALUES + 128 * 4;
const SUMS: usize = MAXIMA + 8 * 4;
const COUNTS: usize = SUMS + 8 * 4;

export function attention(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const keyValueHeads = load<i32>(args, 16);
  const tile = load<i32>(args, 44);
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
    if (isPlain(args, first, last)) {
      attend(args, scratch, first, last - first, head, firstHead, heads);
    } else {
      for (let row = first; row < last; row++) attend(args, scratch, row, 1, head, firstHead, heads);
    }
  }
}

/** True where the rows see prefixes only, of one sequence. */
function isPlain(args: usize, first: i32, last: i32): bool {
  const step = <usize>load<u32>(args, 4);
  const sequence = sequenceOf(rowRecord(step, first));
  for (let row = first; row < last; row++) {
    const record = rowRecord(step, row);
    if (maskOf(record) != 0 || sequenceOf(record) != sequence) return false;
  }
  return true;
}

function attend(args: usize, scratch: usize, first: i32, rows: i32, head: i32, firstHead: i32, heads: i32): void {
  const step = <usize>load<u32>(args, 4);
  const keySize = load<i32>(args, 20);
  const valueSize = load<i32>(args, 24);
  const window = load<i32>(args, 28);
  const headOffset = <usize>load<u32>(args, 8) + <usize>head * <usize>(keySize + valueSize) * 512;
  const queries = rows * heads;
  loadQueries(args, scratch, first, rows, firstHead, heads);
  const record = rowRecord(step, first);
  const sequence = sequenceRecord(step, sequenceOf(record));
  const mask = maskOf(record);
  const visible = visibleOf(record);
  // Rows in logical order: the prefix, then (a single row of a tree) the set bits of the mask.
  let longest = 0;
  let shortest = i32.MAX_VALUE;
  for (let r = 0; r < rows; r++) {
    const n = visibleOf(rowRecord(step, first + r)) + <i32>popcnt<u64>(maskOf(rowRecord(step, first + r)));
    store<i32>(scratch + COUNTS + (<usize>r << 2), n);
    longest = max(longest, n);
    shortest = min(shortest, n);
  }
  for (let q = 0; q < queries; q++) {
    store<f32>(scratch + MAXIMA + (<usize>q << 2), -Infinity);
    store<f32>(scratch + SUMS + (<usize>q << 2), 0);
  }
  memory.fill(scratch + RESULT, 0, <usize>queries * 1024);
  const begin = window > 0 ? max(0, shortest - window) : 0;
  const committed = committedOf(sequence);
  for (let start = begin & ~127; start < longest; start += 128) {
    const count = min(128, longest - start);
    if (mask == 0 || start + count <= visible) {
      const page = pageOf(step, sequence, start) + headOffset;
      scorePage(scratch, page, queries, keySize, (count + 3) & ~3, 0);
      copyScores(scratch, queries, count);
      listRows(scratch, page + <usize>keySize * 512, valueSize, count);
    } else {
      gatherBlock(scratch, step, sequence, headOffset, queries, keySize, valueSize, start, count, visible, committed, mask);
    }
    softmaxBlock(scratch, rows, heads, start, count, window);
    weighValues(scratch, queries, valueSize, count);
    mergeBlock(scratch, queries, valueSize);
  }
  storeResults(args, scratch, first, rows, firstHead, heads);
}

/** Queries times the scale, head after head of each row. */
function loadQueries(args: usize, scratch: usize, first: i32, rows: i32, firstHead: i32, heads: i32): void {
  const keySize = load<i32>(args, 20);
  const rowBytes = <usize>(load<i32>(args, 12) * keySize) * 4;
  const scale = f32x4.splat(load<f32>(args, 32));
  for (let r = 0; r < rows; r++) {
    const q = <usize>load<u32>(args, 36) + <usize>(first + r) * rowBytes + <usize>(firstHead * keySize) * 4;
    for (let h = 0; h < heads; h++) {
      const out = scratch + QUERIES + <usize>(r * heads + h) * 1024;
      const source = q + <usize>(h * keySize) * 4;
      for (let i: usize = 0; i < <usize>keySize * 4; i += 16) {
        v128.store(out + i, f32x4.mul(v128.load(source + i), scale));
      }
    }
  }
}

/** Scores of `count` (a multiple of 4) rows of a page into scores[query][column…]. */
function scorePage(scratch: usize, keys: usize, queries: i32, keySize: i32, count: i32, column: i32): void {
  const end = <usize>count * 4;
  for (let q = 0; q < queries; q += 4) {
    const x = scratch + QUERIES + <usize>q * 1024;
    const out = scratch + SCORES + <usize>q * 1536 + <usize>column * 4;
    let i: usize = 0;
    if (queries - q == 1) for (; i + 128 <= end; i += 128) scoreWide(x, keys + i * <usize>keySize, out + i, keySize);
    for (; i + 32 <= end; i += 32) scoreTile(x, keyColumn(keys, keySize, i), out + i, keySize, queries - q);
    if (i < end) scoreNarrow(x, keyColumn(keys, keySize, i), out + i, keySize, queries - q);
  }
}

/** Keys of the row whose byte offset among scores is `i`; see `rope.ts` for the layout. */
// @ts-ignore: decorator
@inline
function keyColumn(keys: usize, keySize: i32, i: usize): usize {
  return keys + (i & ~127) * <usize>keySize + (i & 127);
}

/** One query × 32 rows: eight sums, so that none waits for the one before it. */
function scoreWide(x: usize, keys: usize, out: usize, keySize: i32): void {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let e = f32x4.splat(0);
  let f = f32x4.splat(0);
  let g = f32x4.splat(0);
  let h = f32x4.splat(0);
  for (let i: i32 = 0; i < keySize; i++) {
    const s = v128.load32_splat(x);
    a = multiplyAdd(v128.load(keys), s, a);
    b = multiplyAdd(v128.load(keys, 16), s, b);
    c = multiplyAdd(v128.load(keys, 32), s, c);
    d = multiplyAdd(v128.load(keys, 48), s, d);
    e = multiplyAdd(v128.load(keys, 64), s, e);
    f = multiplyAdd(v128.load(keys, 80), s, f);
    g = multiplyAdd(v128.load(keys, 96), s, g);
    h = multiplyAdd(v128.load(keys, 112), s, h);
    x += 4;
    keys += 128;
  }
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
  v128.store(out, e, 64);
  v128.store(out, f, 80);
  v128.store(out, g, 96);
  v128.store(out, h, 112);
}

/** Up to 4 queries × 8 rows. Queries beyond `queries` are computed from stale scratch and not stored. */
function scoreTile(x: usize, keys: usize, out: usize, keySize: i32, queries: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  if (queries == 1) {
    for (let d: i32 = 0; d < keySize; d++) {
      const s = v128.load32_splat(x);
      a0 = multiplyAdd(v128.load(keys), s, a0);
      a1 = multiplyAdd(v128.load(keys, 16), s, a1);
      x += 4;
      keys += 128;
    }
    v128.store(out, a0);
    v128.store(out, a1, 16);
    return;
  }
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  for (let d: i32 = 0; d < keySize; d++) {
    const k0 = v128.load(keys);
    const k1 = v128.load(keys, 16);
    const s0 = v128.load32_splat(x);
    a0 = multiplyAdd(k0, s0, a0);
    a1 = multiplyAdd(k1, s0, a1);
    const s1 = v128.load32_splat(x, 1024);
    b0 = multiplyAdd(k0, s1, b0);
    b1 = multiplyAdd(k1, s1, b1);
    const s2 = v128.load32_splat(x, 2048);
    c0 = multiplyAdd(k0, s2, c0);
    c1 = multiplyAdd(k1, s2, c1);
    const s3 = v128.load32_splat(x, 3072);
    d0 = multiplyAdd(k0, s3, d0);
    d1 = multiplyAdd(k1, s3, d1);
    x += 4;
    keys += 128;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 1536);
  v128.store(out, b1, 1552);
  if (queries < 3) return;
  v128.store(out, c0, 3072);
  v128.store(out, c1, 3088);
  if (queries < 4) return;
  v128.store(out, d0, 4608);
  v128.store(out, d1, 4624);
}

/** Up to 4 queries × 4 rows. */
function scoreNarrow(x: usize, keys: usize, out: usize, keySize: i32, queries: i32): void {
  for (let q = 0; q < min(4, queries); q++) {
    let sum = f32x4.splat(0);
    for (let d: usize = 0; d < <usize>keySize; d++) sum = multiplyAdd(v128.load(keys + d * 128), v128.load32_splat(x + d * 4), sum);
    v128.store(out, sum);
    x += 1024;
    out += 1536;
  }
}

function copyScores(scratch: usize, queries: i32, count: i32): void {
  for (let q = 0; q < queries; q++) {
    memory.copy(scratch + WEIGHTS + <usize>q * 512, scratch + SCORES + <usize>q * 1536, <usize>count * 4);
  }
}

function listRows(scratch: usize, values: usize, valueSize: i32, count: i32): void {
  for (let i = 0; i < count; i++) store<u32>(scratch + VALUES + (<usize>i << 2), <u32>(values + <usize>(i * valueSize) * 4));
}

/** A block with rows picked by the mask: scores of whole pages first, then the wanted ones in logical order. */
function gatherBlock(
  scratch: usize, step: usize, sequence: usize, headOffset: usize, queries: i32, keySize: i32, valueSize: i32,
  start: i32, count: i32, visible: i32, committed: i32, mask: u64,
): void {
  const lastRow = committed + 63 - <i32>clz<u64>(mask);
  const firstPage = min(start, visible) >> 7;
  for (let page = firstPage; page <= lastRow >> 7; page++) {
    const rows = min(128, lastRow + 1 - (page << 7));
    scorePage(scratch, pageOf(step, sequence, page << 7) + headOffset, queries, keySize, (rows + 3) & ~3, (page - firstPage) << 7);
  }
  let bits = mask;
  for (let logical = visible; logical < start; logical++) bits &= bits - 1;
  for (let i = 0; i < count; i++) {
    let row = start + i;
    if (row >= visible) {
      row = committed + <i32>ctz<u64>(bits);
      bits &= bits - 1;
    }
    const column = <usize>(row - (firstPage << 7)) << 2;
    for (let q: usize = 0; q < <usize>queries; q++) {
      store<f32>(scratch + WEIGHTS + q * 512 + (<usize>i << 2), load<f32>(scratch + SCORES + q * 1536 + column));
    }
    const values = pageOf(step, sequence, row) + headOffset + <usize>keySize * 512;
    store<u32>(scratch + VALUES + (<usize>i << 2), <u32>(values + <usize>((row & 127) * valueSize) * 4));
  }
}

/** weights = e^(score − block maximum), zero for rows a query does not see; per query the block's maximum and sum. */
function softmaxBlock(scratch: usize, rows: i32, heads: i32, start: i32, count: i32, window: i32): void {
  const padded = (count + 3) & ~3;
  for (let r = 0; r < rows; r++) {
    const seen = load<i32>(scratch + COUNTS + (<usize>r << 2));
    const from = window > 0 ? max(0, seen - window - start) : 0;
    const to = min(count, seen - start);
    for (let h = 0; h < heads; h++) {
      const q = <usize>(r * heads + h);
      const w = scratch + WEIGHTS + q * 512;
      for (let i = 0; i < min(from, count); i++) store<f32>(w + (<usize>i << 2), -Infinity);
      for (let i = max(0, to); i < padded; i++) store<f32>(w + (<usize>i << 2), -Infinity);
      let largest = v128.load(w);
      for (let i: usize = 16; i < <usize>padded * 4; i += 16) largest = f32x4.max(largest, v128.load(w + i));
      const most = max(
        max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
        max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
      );
      store<f32>(scratch + SCORES + q * 4, most);
      // Nothing seen in this block: weights of zero, whatever the scores.
      const base = f32x4.splat(most == -Infinity ? 0 : most);
      let sum = f32x4.splat(0);
      for (let i: usize = 0; i < <usize>padded * 4; i += 16) {
        const weight = exponential(f32x4.sub(v128.load(w + i), base));
        v128.store(w + i, weight);
        sum = f32x4.add(sum, weight);
      }
      store<f32>(scratch + SCORES + 64 + q * 4, sumLanes(sum));
    }
  }
}

/** block[query] = Σ weight · value, row after row. */
function weighValues(scratch: usize, queries: i32, valueSize: i32, count: i32): void {
  const list = scratch + VALUES;
  for (let q = 0; q < queries; q += 4) {
    const w = scratch + WEIGHTS + <usize>q * 512;
    const out = scratch + BLOCK + <usize>q * 1024;
    const many = queries - q;
    let i: usize = 0;
    if (many == 1) for (; i + 128 <= <usize>valueSize * 4; i += 128) valueWide(w, list, out + i, i, count);
    for (; i + 32 <= <usize>valueSize * 4; i += 32) valueTile(w, list, out + i, i, count, many);
    for (; i < <usize>valueSize * 4; i += 16) valueNarrow(w, list, out + i, i, count, many);
  }
}

/** One query × 32 values. */
function valueWide(w: usize, list: usize, out: usize, offset: usize, count: i32): void {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let e = f32x4.splat(0);
  let f = f32x4.splat(0);
  let g = f32x4.splat(0);
  let h = f32x4.splat(0);
  for (let i: i32 = 0; i < count; i++) {
    const v = <usize>load<u32>(list) + offset;
    const s = v128.load32_splat(w);
    a = multiplyAdd(v128.load(v), s, a);
    b = multiplyAdd(v128.load(v, 16), s, b);
    c = multiplyAdd(v128.load(v, 32), s, c);
    d = multiplyAdd(v128.load(v, 48), s, d);
    e = multiplyAdd(v128.load(v, 64), s, e);
    f = multiplyAdd(v128.load(v, 80), s, f);
    g = multiplyAdd(v128.load(v, 96), s, g);
    h = multiplyAdd(v128.load(v, 112), s, h);
    list += 4;
    w += 4;
  }
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
  v128.store(out, e, 64);
  v128.store(out, f, 80);
  v128.store(out, g, 96);
  v128.store(out, h, 112);
}

/** Up to 4 queries × 8 values. */
function valueTile(w: usize, list: usize, out: usize, offset: usize, count: i32, queries: i32): void {
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  if (queries == 1) {
    for (let i: i32 = 0; i < count; i++) {
      const v = <usize>load<u32>(list) + offset;
      const s = v128.load32_splat(w);
      a0 = multiplyAdd(v128.load(v), s, a0);
      a1 = multiplyAdd(v128.load(v, 16), s, a1);
      list += 4;
      w += 4;
    }
    v128.store(out, a0);
    v128.store(out, a1, 16);
    return;
  }
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  for (let i: i32 = 0; i < count; i++) {
    const v = <usize>load<u32>(list) + offset;
    const v0 = v128.load(v);
    const v1 = v128.load(v, 16);
    const s0 = v128.load32_splat(w);
    a0 = multiplyAdd(v0, s0, a0);
    a1 = multiplyAdd(v1, s0, a1);
    const s1 = v128.load32_splat(w, 512);
    b0 = multiplyAdd(v0, s1, b0);
    b1 = multiplyAdd(v1, s1, b1);
    const s2 = v128.load32_splat(w, 1024);
    c0 = multiplyAdd(v0, s2, c0);
    c1 = multiplyAdd(v1, s2, c1);
    const s3 = v128.load32_splat(w, 1536);
    d0 = multiplyAdd(v0, s3, d0);
    d1 = multiplyAdd(v1, s3, d1);
    list += 4;
    w += 4;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 1024);
  v128.store(out, b1, 1040);
  if (queries < 3) return;
  v128.store(out, c0, 2048);
  v128.store(out, c1, 2064);
  if (queries < 4) return;
  v128.store(out, d0, 3072);
  v128.store(out, d1, 3088);
}

/** Up to 4 queries × 4 values. */
function valueNarrow(w: usize, list: usize, out: usize, offset: usize, count: i32, queries: i32): void {
  for (let q = 0; q < min(4, queries); q++) {
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < <usize>count; i++) {
      sum = multiplyAdd(v128.load(<usize>load<u32>(list + i * 4) + offset), v128.load32_splat(w + i * 4), sum);
    }
    v128.store(out, sum);
    w += 512;
    out += 1024;
  }
}

/** Merges the block's softmax into the running one: Milakov and Gimelshein, Online normalizer calculation for softmax. */
function mergeBlock(scratch: usize, queries: i32, valueSize: i32): void {
  for (let q: usize = 0; q < <usize>queries; q++) {
    const blockMaximum = load<f32>(scratch + SCORES + q * 4);
    if (blockMaximum == -Infinity) continue;
    const before = load<f32>(scratch + MAXIMA + q * 4);
    const most = max(before, blockMaximum);
    const factors = exponential(f32x4.sub(f32x4(before, blockMaximum, 0, 0), f32x4.splat(most)));
    const old = f32x4.splat(before == -Infinity ? 0 : f32x4.extract_lane(factors, 0));
    const fresh = f32x4.splat(f32x4.extract_lane(factors, 1));
    const sum = scratch + SUMS + q * 4;
    const blockSum = load<f32>(scratch + SCORES + 64 + q * 4);
    store<f32>(sum, load<f32>(sum) * f32x4.extract_lane(old, 0) + blockSum * f32x4.extract_lane(fresh, 0));
    store<f32>(scratch + MAXIMA + q * 4, most);
    const result = scratch + RESULT + q * 1024;
    const block = scratch + BLOCK + q * 1024;
    for (let i: usize = 0; i < <usize>valueSize * 4; i += 16) {
      v128.store(result + i, multiplyAdd(v128.load(block + i), fresh, f32x4.mul(v128.load(result + i), old)));
    }
  }
}

function storeResults(args: usize, scratch: usize, first: i32, rows: i32, firstHead: i32, heads: i32): void {
  const valueSize = load<i32>(args, 24);
  const out = <usize>load<u32>(args, 40);
  const quantized = <usize>load<u32>(args, 48);
  const rowValues = <usize>(load<i32>(args, 12) * valueSize);
  const bytes = <usize>valueSize * 4;
  for (let r = 0; r < rows; r++) {
    for (let h = 0; h < heads; h++) {
      const q = <usize>(r * heads + h);
      const inverse = f32x4.splat(<f32>1 / load<f32>(scratch + SUMS + q * 4));
      const result = scratch + RESULT + q * 1024;
      for (let i: usize = 0; i < bytes; i += 16) v128.store(result + i, f32x4.mul(v128.load(result + i), inverse));
      const place = <usize>(first + r) * rowValues + <usize>((firstHead + h) * valueSize);
      if (quantized) quantizeRow(result, quantized + (place >> 5) * 48, valueSize);
      if (out) memory.copy(out + place * 4, result, bytes);
    }
  }
}
