/**
 * The 8-bit form of a row: blocks of 48 bytes for 32 values, scale first. Scales are kept times 2^56, which together with
 * the 2^-112 of unrebased halves leaves sums in the middle of float32's range; a group's own scale takes both back.
 */
import { claim } from './machine';

const LIFT: f32 = 7.2057594037927936e16; // 2^56

/** Quantizes 32 values to a block at `out`. */
export function quantizeBlock(x: usize, out: usize): void {
  let largest = f32x4.abs(v128.load(x));
  for (let i: usize = 16; i < 128; i += 16) largest = f32x4.pmax(largest, f32x4.abs(v128.load(x + i)));
  let most = max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1));
  most = max(most, max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)));
  // Below this the values vanish beside any other block; it also keeps 127 / most finite.
  if (!(most > 1e-30)) {
    memory.fill(out, 0, 48);
    return;
  }
  const scale = most / 127;
  const inverse = f32x4.splat(127 / most);
  let low = 0;
  let high = 0;
  for (let half: usize = 0; half < 2; half++) {
    const source = x + half * 64;
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(source), inverse)));
    const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(source, 16), inverse)));
    const c = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(source, 32), inverse)));
    const d = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(source, 48), inverse)));
    const codes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
    v128.store(out + 16 + half * 16, codes);
    const sums = i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
    const sum =
      i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
    if (half == 0) low = sum;
    else high = sum;
  }
  store<f32>(out, scale * LIFT);
  store<f32>(out, scale * LIFT * <f32>(low + high), 4);
  store<i32>(out, -low, 8);
  store<i32>(out, -low - high, 12);
}

export function quantizeRow(x: usize, out: usize, size: i32): void {
  for (let k: i32 = 0; k < size; k += 32) {
    quantizeBlock(x, out);
    x += 128;
    out += 48;
  }
}

/** Tape entry: [rows, size, x, out, units, blocks per unit]; units cover rows · blocks. */
export function quantize(args: usize): void {
  const blocks = load<i32>(args) * (load<i32>(args, 4) >> 5);
  const x = <usize>load<u32>(args, 8);
  const out = <usize>load<u32>(args, 12);
  const units = load<i32>(args, 16);
  const share = load<i32>(args, 20);
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const end = min(blocks, (unit + 1) * share);
    for (let b = unit * share; b < end; b++) quantizeBlock(x + (<usize>b << 7), out + <usize>b * 48);
  }
}
