/**
 * Packing: sixteen rows of a file's blocks become records. Each format unpacks 32 values at a time to codes, one or two
 * scales and as many biases; the layouts store them. A group's scales are multiplied by a power of two that brings its
 * largest to just below the largest half, so that none that matters is subnormal; the group's own scale takes it back.
 */
import { claim } from './machine';
import { halvesExact } from './simd';
import { hasHalves, largestScale, unpack } from './unpack';
import { BIASES, HIGH_BIASES, HIGH_SCALES, SCALES, SCRATCH_BYTES } from './unpacked';

/**
 * Tape entry: [rows, blocks, format, source, source row bytes, weights, group bytes, group scales, description,
 * units (groups), scale factor (of the format: 1, or 0.5 where the layout's table is doubled), grid (levels of its values, a byte
 * each; 0 without)].
 * Rows beyond `rows` in the last group become zeros.
 */
export function pack(args: usize, scratch: usize): void {
  const units = load<i32>(args, 36);
  for (let group = claim(units); group < units; group = claim(units)) packGroup(args, group, scratch);
}

function packGroup(args: usize, group: i32, scratch: usize): void {
  const rows = min(16, load<i32>(args) - group * 16);
  const blocks = load<i32>(args, 4);
  const format = load<i32>(args, 8);
  const rowBytes = <usize>load<u32>(args, 16);
  const source = <usize>load<u32>(args, 12) + <usize>group * 16 * rowBytes;
  const description = <usize>load<u32>(args, 32);
  const factor = load<f32>(args, 40);
  const grid = <usize>load<u32>(args, 44);
  const kind = load<i32>(description);
  const bias = <usize>load<u32>(description, 4);
  const bytes = <usize>load<u32>(description, 12);
  const further = load<i32>(description, 20);
  const blockBytes = <usize>load<u32>(description, 24);
  const asHalves = hasHalves(format);
  const lift: f32 = kind == 2 ? 1 : powerToTop(largestScale(format, source, rowBytes, rows, blocks));
  let w = <usize>load<u32>(args, 20) + <usize>group * <usize>load<u32>(args, 24);
  // Rows that are not there have zeros for codes and scales.
  if (rows < 16) memory.fill(scratch, 0, SCRATCH_BYTES);
  for (let block = 0; block < blocks; block++) {
    const codes = w + <usize>(block & further) * blockBytes;
    for (let quad: i32 = 0; quad < 4; quad++) {
      const end = min(rows, quad * 4 + 4);
      if (end < quad * 4 + 4) memory.fill(scratch, 0, 128);
      for (let row = quad * 4; row < end; row++) {
        const place = scratch + <usize>(row << 2);
        unpack(format, source + <usize>row * rowBytes, block, scratch + (<usize>(row & 3) << 5), place, grid);
      }
      storeQuad(description, codes, quad, scratch);
    }
    if (kind == 2) {
      storeExponents(w, scratch + SCALES);
    } else {
      storeHalves(w, scratch + SCALES, lift, asHalves);
      if (kind == 1) storeHalves(w + 32, scratch + HIGH_SCALES, lift, false);
      if (bias) {
        storeHalves(w + bias, scratch + BIASES, lift, asHalves);
        if (kind == 1) storeHalves(w + bias + 32, scratch + HIGH_BIASES, lift, false);
      }
    }
    // Blocks of one record have the same scales, which are stored with each.
    if ((block & further) == further) w += bytes;
  }
  // Sums carry 2^56 from the activations and, with half scales, 2^-112 from unrebased halves.
  const back: f32 = kind == 2 ? 1.3877787807814457e-17 : 7.2057594037927936e16;
  store<f32>(<usize>load<u32>(args, 28) + (<usize>group << 2), (back / lift) * factor);
}

/** The power of two that takes `largest` to [16384, 32768). */
function powerToTop(largest: f32): f32 {
  if (!(largest > 0) || largest > 1e30) return 1;
  const exponent = ((reinterpret<i32>(largest) >> 23) & 255) - 127;
  return reinterpret<f32>(max(1, min(254, 14 - exponent + 127)) << 23);
}

/**
 * Sixteen values times `lift` as halves, rounded to the nearest, ties to even; they are within the range of halves. They are
 * float32, or (`asHalves`) the bits of halves in 32-bit words.
 */
function storeHalves(w: usize, values: usize, lift: f32, asHalves: bool): void {
  const factor = f32x4.splat(lift);
  for (let i: usize = 0; i < 2; i++) {
    let low = v128.load(values + i * 32);
    let high = v128.load(values + i * 32, 16);
    if (asHalves) {
      const bits = i16x8.narrow_i32x4_u(low, high);
      low = halvesExact(bits);
      high = halvesExact(i8x16.shuffle(bits, bits, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
    }
    v128.store(w + i * 16, i16x8.narrow_i32x4_u(halfBits(f32x4.mul(low, factor)), halfBits(f32x4.mul(high, factor))));
  }
}

@inline
function halfBits(value: v128): v128 {
  const sign = v128.and(i32x4.shr_u(value, 16), i32x4.splat(0x8000));
  const body = v128.and(value, i32x4.splat(0x7fffffff));
  // What is below the smallest normal half is gone.
  const normal = i32x4.ge_u(body, i32x4.splat(0x38800000));
  const odd = v128.and(i32x4.shr_u(body, 13), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(body, i32x4.splat(0xfff)), odd);
  const bits = i32x4.shr_u(i32x4.sub(rounded, i32x4.splat(112 << 23)), 13);
  return v128.or(sign, v128.and(v128.and(bits, i32x4.splat(0xffff)), normal));
}

/** The exponents of sixteen powers of two, a byte each. */
function storeExponents(w: usize, values: usize): void {
  for (let row: usize = 0; row < 16; row++) store<u8>(w + row, <u8>(load<u32>(values + (row << 2)) >> 23));
}

/** Stores the codes of four rows, plane by plane: vector j of the eight holds codes 4j to 4j + 3 of each row. */
function storeQuad(description: usize, w: usize, quad: i32, codes: usize): void {
  const a0 = v128.load(codes);
  const a1 = v128.load(codes, 32);
  const a2 = v128.load(codes, 64);
  const a3 = v128.load(codes, 96);
  const b0 = v128.load(codes, 16);
  const b1 = v128.load(codes, 48);
  const b2 = v128.load(codes, 80);
  const b3 = v128.load(codes, 112);
  // Two steps of interleaving words transpose them.
  const a02 = i8x16.shuffle(a0, a2, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const a13 = i8x16.shuffle(a1, a3, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const a46 = i8x16.shuffle(a0, a2, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const a57 = i8x16.shuffle(a1, a3, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const b02 = i8x16.shuffle(b0, b2, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const b13 = i8x16.shuffle(b1, b3, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const b46 = i8x16.shuffle(b0, b2, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const b57 = i8x16.shuffle(b1, b3, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  let v0 = i8x16.shuffle(a02, a13, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  let v1 = i8x16.shuffle(a02, a13, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  let v2 = i8x16.shuffle(a46, a57, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  let v3 = i8x16.shuffle(a46, a57, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  let v4 = i8x16.shuffle(b02, b13, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  let v5 = i8x16.shuffle(b02, b13, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  let v6 = i8x16.shuffle(b46, b57, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  let v7 = i8x16.shuffle(b46, b57, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  for (let p = description + 28; load<i32>(p) >= 0; p += 8) {
    const plane = w + <usize>load<u32>(p, 4);
    let taken = 0;
    switch (load<i32>(p)) {
      case 0: {
        const to = plane + <usize>quad * 64;
        v128.store(to, nibblePair(v0, v4));
        v128.store(to, nibblePair(v1, v5), 16);
        v128.store(to, nibblePair(v2, v6), 32);
        v128.store(to, nibblePair(v3, v7), 48);
        taken = 4;
        break;
      }
      case 1: {
        const to = plane + <usize>quad * 32;
        v128.store(to, fourPairs(v0, v1, v2, v3));
        v128.store(to, fourPairs(v4, v5, v6, v7), 16);
        taken = 2;
        break;
      }
      case 2: {
        const low = fourBits(v0, v1, v2, v3);
        const high = fourBits(v4, v5, v6, v7);
        v128.store(plane + <usize>quad * 16, v128.or(low, i16x8.shl(high, 4)));
        taken = 1;
        break;
      }
      default: {
        const to = plane + <usize>quad * 128;
        v128.store(to, v0);
        v128.store(to, v1, 16);
        v128.store(to, v2, 32);
        v128.store(to, v3, 48);
        v128.store(to, v4, 64);
        v128.store(to, v5, 80);
        v128.store(to, v6, 96);
        v128.store(to, v7, 112);
        return;
      }
    }
    if (load<i32>(p, 8) < 0) return;
    v0 = i16x8.shr_u(v0, taken);
    v1 = i16x8.shr_u(v1, taken);
    v2 = i16x8.shr_u(v2, taken);
    v3 = i16x8.shr_u(v3, taken);
    v4 = i16x8.shr_u(v4, taken);
    v5 = i16x8.shr_u(v5, taken);
    v6 = i16x8.shr_u(v6, taken);
    v7 = i16x8.shr_u(v7, taken);
  }
}

@inline
function nibblePair(low: v128, high: v128): v128 {
  return v128.or(v128.and(low, i8x16.splat(15)), i16x8.shl(v128.and(high, i8x16.splat(15)), 4));
}

@inline
function fourPairs(a: v128, b: v128, c: v128, d: v128): v128 {
  const three = i8x16.splat(3);
  const low = v128.or(v128.and(a, three), i16x8.shl(v128.and(b, three), 2));
  return v128.or(low, v128.or(i16x8.shl(v128.and(c, three), 4), i16x8.shl(v128.and(d, three), 6)));
}

@inline
function fourBits(a: v128, b: v128, c: v128, d: v128): v128 {
  const one = i8x16.splat(1);
  const low = v128.or(v128.and(a, one), i16x8.shl(v128.and(b, one), 1));
  return v128.or(low, v128.or(i16x8.shl(v128.and(c, one), 2), i16x8.shl(v128.and(d, one), 3)));
}

/** Tape entry: [rows, values per row, bytes per value, source, weights, units (groups)]: float matrices, [K, 16] a group. */
export function packFloats(args: usize): void {
  const total = load<i32>(args);
  const size = <usize>load<u32>(args, 4);
  const width = <usize>load<u32>(args, 8);
  const units = load<i32>(args, 20);
  for (let group = claim(units); group < units; group = claim(units)) {
    const source = <usize>load<u32>(args, 12) + <usize>group * 16 * size * width;
    const w = <usize>load<u32>(args, 16) + <usize>group * 16 * size * width;
    const rows = <usize>min(16, total - group * 16);
    if (rows < 16) memory.fill(w, 0, 16 * size * width);
    for (let row: usize = 0; row < rows; row++) {
      for (let k: usize = 0; k < size; k++) {
        if (width == 4) store<u32>(w + (k * 16 + row) * 4, load<u32>(source + (row * size + k) * 4));
        else store<u16>(w + (k * 16 + row) * 2, load<u16>(source + (row * size + k) * 2));
      }
    }
  }
}
