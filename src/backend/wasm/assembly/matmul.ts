/**
 * Matrix products with their epilogues. Tape entry:
 *   [rows, x, x row bytes, inner, residual or 0, function or 0, parts, groups per unit, units] then per part ten words:
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

const PARTS: usize = 36;
const PART_BYTES: usize = 40;
const FLOATS: i32 = 100;

export function matmul(args: usize, scratch: usize): void {
  const units = load<i32>(args, 32);
  const share = load<i32>(args, 28);
  const activates = load<i32>(args, 20) != 0;
  const parts = activates ? 1 : load<i32>(args, 24);
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    let group = unit * share;
    let left = share;
    for (let p = 0; p < parts && left > 0; p++) {
      const part = args + PARTS + <usize>p * PART_BYTES;
      const groups = (load<i32>(part, 16) + 15) >> 4;
      while (group < groups && left > 0) {
        const many = activates && load<u32>(part, 32) != 0 ? 2 : 1;
        if (activates) activatedGroups(args, part, group, many, scratch);
        else plainGroup(args, part, group, scratch);
        group += many;
        left -= many;
      }
      group -= groups;
      if (group < 0) group = 0;
    }
  }
}

/** Sums of up to four rows × 16 columns of a group at out[row * 16 + column], the group's scale applied. */
function sums(args: usize, part: usize, group: i32, x: usize, rows: i32, out: usize): void {
  const layout = load<i32>(part);
  const w = <usize>load<u32>(part, 4) + <usize>group * <usize>load<u32>(part, 8);
  const stride = <usize>load<u32>(args, 8);
  const inner = load<i32>(args, 12);
  if (layout >= FLOATS) {
    if (rows == 1) {
      floatTile1(layout - FLOATS, w, x, inner, out);
    } else {
      floatTile4(layout - FLOATS, w, 0, x, stride, inner, out);
      floatTile4(layout - FLOATS, w, 2, x, stride, inner, out + 32);
    }
    return;
  }
  if (rows == 1) tile1(layout, w, x, stride, inner, out);
  else if (rows == 2) tile2(layout, w, x, stride, inner, out);
  else tile4(layout, w, x, stride, inner, out);
  const scale = f32x4.splat(load<f32>(<usize>load<u32>(part, 12) + (<usize>group << 2)));
  for (let i: usize = 0; i < <usize>rows * 64; i += 16) v128.store(out + i, f32x4.mul(v128.load(out + i), scale));
}

function plainGroup(args: usize, part: usize, group: i32, scratch: usize): void {
  const rows = load<i32>(args);
  const residual = <usize>load<u32>(args, 16);
  const columns = min(16, load<i32>(part, 16) - group * 16);
  const outBytes = <usize>load<u32>(part, 24);
  const bias = <usize>load<u32>(part, 28);
  const offset = <usize>group * 64;
  for (let row = 0; row < rows; row += 4) {
    const many = min(4, rows - row);
    sums(args, part, group, <usize>load<u32>(args, 4) + <usize>row * <usize>load<u32>(args, 8), many, scratch);
    for (let r = 0; r < many; r++) {
      const source = scratch + <usize>r * 64;
      const place = <usize>(row + r) * outBytes + offset;
      finishRow(source, bias ? bias + offset : 0, residual ? residual + place : 0, columns);
      storeRow(<usize>load<u32>(part, 20) + place, source, columns);
    }
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

/** f(gate) · up, or f(gate) where there is no up, of up to four rows × 16 columns at out[row * 32 + column]. */
function activatedSums(args: usize, gate: usize, group: i32, row: i32, many: i32, scratch: usize, out: usize): void {
  const up = load<i32>(args, 24) == 2 ? gate + PART_BYTES : 0;
  const kind = load<i32>(args, 20);
  const columns = min(16, load<i32>(gate, 16) - group * 16);
  const x = <usize>load<u32>(args, 4) + <usize>row * <usize>load<u32>(args, 8);
  biasedSums(args, gate, group, x, many, columns, scratch);
  if (!up) {
    for (let r: usize = 0; r < <usize>many; r++) {
      for (let i: usize = 0; i < 64; i += 16) {
        v128.store(out + r * 128 + i, activated(kind, v128.load(scratch + r * 64 + i)));
      }
    }
    return;
  }
  biasedSums(args, up, group, x, many, columns, scratch + 256);
  const alpha = load<f32>(gate, 36);
  const limit = load<f32>(up, 36);
  for (let r: usize = 0; r < <usize>many; r++) {
    const g = scratch + r * 64;
    for (let i: usize = 0; i < 64; i += 16) {
      const a = v128.load(g + i);
      const b = v128.load(g + 256 + i);
      v128.store(out + r * 128 + i, kind == SILU ? f32x4.mul(silu(a), b) : gated(kind, a, b, alpha, limit));
    }
  }
}

function biasedSums(args: usize, part: usize, group: i32, x: usize, rows: i32, columns: i32, out: usize): void {
  const bias = <usize>load<u32>(part, 28);
  sums(args, part, group, x, rows, out);
  if (!bias) return;
  for (let r: usize = 0; r < <usize>rows; r++) finishRow(out + r * 64, bias + <usize>group * 64, 0, columns);
}

/** A group, or with 8-bit output the two groups that fill a block. */
function activatedGroups(args: usize, gate: usize, group: i32, groups: i32, scratch: usize): void {
  const rows = load<i32>(args);
  const out = <usize>load<u32>(gate, 20);
  const outBytes = <usize>load<u32>(gate, 24);
  const quantized = <usize>load<u32>(gate, 32);
  const blockRowBytes = (outBytes >> 7) * 48;
  const columns = min(16 * groups, load<i32>(gate, 16) - group * 16);
  const result = scratch + 512;
  for (let row = 0; row < rows; row += 4) {
    const many = min(4, rows - row);
    for (let g = 0; g < groups; g++) activatedSums(args, gate, group + g, row, many, scratch, result + <usize>g * 64);
    for (let r: usize = 0; r < <usize>many; r++) {
      const source = result + r * 128;
      const place = <usize>row + r;
      if (quantized) quantizeBlock(source, quantized + place * blockRowBytes + <usize>(group >> 1) * 48);
      if (out) memory.copy(out + place * outBytes + <usize>group * 64, source, <usize>columns * 4);
    }
  }
}
