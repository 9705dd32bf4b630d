/**
 * Matrix products with their epilogues. Tape entry:
 *   [rows, x, x row bytes, inner, residual or 0, function or 0, parts, groups per unit, units,
 *    four words for products by chosen experts (`expert-matmul.ts`)] then per part ten words:
 *   [layout, weights, group bytes, group scales or 0, columns, out or 0, out row bytes, bias or 0, quantized out or 0, *].
 * `inner` is the number of 32-value blocks, or of values for float layouts (number 100 and up). An entry with a function
 * has one part, and writes f(x W), or two of one size, gate and up, and writes f(gate) · up, to the first part's outputs;
 * only it can write 8-bit blocks, and then its columns are a multiple of 32 and a unit an even number of groups. The last
 * words of gate and up are a clamped gate's alpha and limit.
 */
import { activated, gated, SILU, silu } from './activation';
import { floatTile1, floatTile4 } from './floats';
import { claim } from './machine';
import { tile1, tile2, tile4 } from './matmul.generated';
import { quantizeBlock } from './quantize';

export const PARTS: usize = 52;
const PART_BYTES: usize = 40;
const FLOATS: i32 = 100;

/** In a thread's scratch, after sums and results: of up to four rows the addresses, and their places in the result. */
const INPUTS: usize = 1024;
const PLACES: usize = 1040;

export function matmul(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const units = load<i32>(args, 32);
  const share = load<i32>(args, 28);
  const parts = load<i32>(args, 20) != 0 ? 1 : load<i32>(args, 24);
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    let group = unit * share;
    let left = share;
    for (let p = 0; p < parts && left > 0; p++) {
      const part = args + PARTS + <usize>p * PART_BYTES;
      const groups = (load<i32>(part, 16) + 15) >> 4;
      const end = min(groups, group + left);
      if (group < end) {
        runGroups(args, part, group, end, 0, 0, rows, scratch);
        left -= end - group;
      }
      group = max(0, group - groups);
    }
  }
}

/**
 * Groups `group` to `end` - 1 of an expert's weights (0 where there are none) times `count` rows: the first ones, or those
 * of a list of places, of which some number in turn share a row of x.
 */
export function runGroups(
  args: usize,
  part: usize,
  group: i32,
  end: i32,
  expert: i32,
  list: usize,
  count: i32,
  scratch: usize,
): void {
  const activates = load<i32>(args, 20) != 0;
  const many = activates && load<u32>(part, 32) != 0 ? 2 : 1;
  for (; group < end; group += many) {
    for (let row = 0; row < count; row += 4) {
      const rows = min(4, count - row);
      takeRows(args, list, row, rows, scratch);
      if (activates) activatedGroups(args, part, group, many, expert, rows, scratch);
      else plainGroup(args, part, group, expert, rows, scratch);
    }
  }
}

/** Tells where the next rows lie. Those that a tile has beyond the last repeat it. */
function takeRows(args: usize, list: usize, row: i32, rows: i32, scratch: usize): void {
  const x = <usize>load<u32>(args, 4);
  const stride = <usize>load<u32>(args, 8);
  for (let r = 0; r < 4; r++) {
    const index = row + min(r, rows - 1);
    let place = index;
    let input = index;
    if (list) {
      place = load<i32>(list + (<usize>index << 2));
      input = place / load<i32>(args, 48);
    }
    store<u32>(scratch + INPUTS + (<usize>r << 2), <u32>(x + <usize>input * stride));
    store<i32>(scratch + PLACES + (<usize>r << 2), place);
  }
}

@inline
function placeOf(scratch: usize, row: usize): usize {
  return <usize>load<u32>(scratch + PLACES + (row << 2));
}

/** Products of the rows that were taken by the 16 columns of a group at out[row * 16 + column], the group's scale applied. */
function sums(args: usize, part: usize, group: i32, expert: i32, rows: i32, scratch: usize, out: usize): void {
  const layout = load<i32>(part);
  const inGroups = <usize>(expert * ((load<i32>(part, 16) + 15) >> 4) + group);
  const w = <usize>load<u32>(part, 4) + inGroups * <usize>load<u32>(part, 8);
  const inner = load<i32>(args, 12);
  const x = scratch + INPUTS;
  if (layout >= FLOATS) {
    if (rows == 1) {
      floatTile1(layout - FLOATS, w, <usize>load<u32>(x), inner, out);
    } else {
      floatTile4(layout - FLOATS, w, 0, x, inner, out);
      floatTile4(layout - FLOATS, w, 2, x, inner, out + 32);
    }
    return;
  }
  if (rows == 1) tile1(layout, w, x, inner, out);
  else if (rows == 2) tile2(layout, w, x, inner, out);
  else tile4(layout, w, x, inner, out);
  const scale = f32x4.splat(load<f32>(<usize>load<u32>(part, 12) + (inGroups << 2)));
  for (let i: usize = 0; i < <usize>rows * 64; i += 16) v128.store(out + i, f32x4.mul(v128.load(out + i), scale));
}

/** Address of a group's biases, or 0. */
@inline
function biasOf(part: usize, group: i32, expert: i32): usize {
  const bias = <usize>load<u32>(part, 28);
  return bias ? bias + (<usize>(expert * load<i32>(part, 16) + group * 16) << 2) : 0;
}

function plainGroup(args: usize, part: usize, group: i32, expert: i32, rows: i32, scratch: usize): void {
  const residual = <usize>load<u32>(args, 16);
  const columns = min(16, load<i32>(part, 16) - group * 16);
  const outBytes = <usize>load<u32>(part, 24);
  const bias = biasOf(part, group, expert);
  sums(args, part, group, expert, rows, scratch, scratch);
  for (let r: usize = 0; r < <usize>rows; r++) {
    const source = scratch + r * 64;
    const offset = placeOf(scratch, r) * outBytes + <usize>group * 64;
    finishRow(source, bias, residual ? residual + offset : 0, columns);
    storeRow(<usize>load<u32>(part, 20) + offset, source, columns);
  }
}

function finishRow(row: usize, bias: usize, residual: usize, columns: i32): void {
  if (columns == 16) {
    for (let i: usize = 0; i < 64; i += 16) {
      let v = v128.load(row + i);
      if (bias) v = f32x4.add(v, v128.load(bias + i));
      if (residual) v = f32x4.add(v, v128.load(residual + i));
      v128.store(row + i, v);
    }
    return;
  }
  for (let i: usize = 0; i < <usize>columns * 4; i += 4) {
    let v = load<f32>(row + i);
    if (bias) v += load<f32>(bias + i);
    if (residual) v += load<f32>(residual + i);
    store<f32>(row + i, v);
  }
}

function storeRow(out: usize, row: usize, columns: i32): void {
  if (columns == 16) {
    for (let i: usize = 0; i < 64; i += 16) v128.store(out + i, v128.load(row + i));
  } else {
    memory.copy(out, row, <usize>columns * 4);
  }
}

/** f(gate) · up, or f(gate) where there is no up, of the rows that were taken × 16 columns at out[row * 32 + column]. */
function activatedSums(args: usize, gate: usize, group: i32, expert: i32, rows: i32, scratch: usize, out: usize): void {
  const up = load<i32>(args, 24) == 2 ? gate + PART_BYTES : 0;
  const kind = load<i32>(args, 20);
  biasedSums(args, gate, group, expert, rows, scratch, scratch);
  if (!up) {
    for (let r: usize = 0; r < <usize>rows; r++) {
      for (let i: usize = 0; i < 64; i += 16) {
        v128.store(out + r * 128 + i, activated(kind, v128.load(scratch + r * 64 + i)));
      }
    }
    return;
  }
  biasedSums(args, up, group, expert, rows, scratch, scratch + 256);
  const alpha = load<f32>(gate, 36);
  const limit = load<f32>(up, 36);
  for (let r: usize = 0; r < <usize>rows; r++) {
    const g = scratch + r * 64;
    for (let i: usize = 0; i < 64; i += 16) {
      const a = v128.load(g + i);
      const b = v128.load(g + 256 + i);
      v128.store(out + r * 128 + i, kind == SILU ? f32x4.mul(silu(a), b) : gated(kind, a, b, alpha, limit));
    }
  }
}

function biasedSums(args: usize, part: usize, group: i32, expert: i32, rows: i32, scratch: usize, out: usize): void {
  const columns = min(16, load<i32>(part, 16) - group * 16);
  const bias = biasOf(part, group, expert);
  sums(args, part, group, expert, rows, scratch, out);
  if (!bias) return;
  for (let r: usize = 0; r < <usize>rows; r++) finishRow(out + r * 64, bias, 0, columns);
}

/** A group, or with 8-bit output the two groups that fill a block. */
function activatedGroups(
  args: usize,
  gate: usize,
  group: i32,
  groups: i32,
  expert: i32,
  rows: i32,
  scratch: usize,
): void {
  const out = <usize>load<u32>(gate, 20);
  const outBytes = <usize>load<u32>(gate, 24);
  const quantized = <usize>load<u32>(gate, 32);
  const blockRowBytes = (outBytes >> 7) * 48;
  const columns = min(16 * groups, load<i32>(gate, 16) - group * 16);
  const result = scratch + 512;
  for (let g = 0; g < groups; g++) {
    activatedSums(args, gate, group + g, expert, rows, scratch, result + <usize>g * 64);
  }
  for (let r: usize = 0; r < <usize>rows; r++) {
    const source = result + r * 128;
    const place = placeOf(scratch, r);
    if (quantized) quantizeBlock(source, quantized + place * blockRowBytes + <usize>(group >> 1) * 48);
    if (out) memory.copy(out + place * outBytes + <usize>group * 64, source, <usize>columns * 4);
  }
}
