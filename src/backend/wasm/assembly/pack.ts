/**
 * Packing: sixteen rows of a file's blocks become records. Each format unpacks 32 values at a time to codes, one or two
 * scales and as many biases; the layouts store them. A group's scales are multiplied by a power of two that brings its
 * largest to just below the largest half, so that none that matters is subnormal; the group's own scale takes it back.
 */
import { claim } from './machine';
import { halvesExact } from './simd';

/**
 * Tape entry: [rows, blocks, format, source, source row bytes, weights, group bytes, group scales, description,
 * units (groups), scale factor (of the format: 1, or 0.5 where the layout's table is doubled)].
 * Rows beyond `rows` in the last group become zeros.
 */
export function pack(args: usize, scratch: usize): void {
  const units = load<i32>(args, 36);
  for (let group = claim(units); group < units; group = claim(units)) packGroup(args, group, scratch);
}

/** Scratch of a record: codes of four rows, 32 bytes each, then sixteen float32 of each kind. */
const SCALES: usize = 128; // of a block, or of its low half
const HIGH_SCALES: usize = 192;
const BIASES: usize = 256;
const HIGH_BIASES: usize = 320;
const SCRATCH_BYTES: usize = 384;

function packGroup(args: usize, group: i32, scratch: usize): void {
  const rows = min(16, load<i32>(args) - group * 16);
  const blocks = load<i32>(args, 4);
  const format = load<i32>(args, 8);
  const rowBytes = <usize>load<u32>(args, 16);
  const source = <usize>load<u32>(args, 12) + <usize>group * 16 * rowBytes;
  const description = <usize>load<u32>(args, 32);
  const factor = load<f32>(args, 40);
  const kind = load<i32>(description);
  const bias = <usize>load<u32>(description, 4);
  const bytes = <usize>load<u32>(description, 12);
  const asHalves = format < 5 || format == 10;
  const lift: f32 = kind == 2 ? 1 : powerToTop(largestScale(format, source, rowBytes, rows, blocks));
  let w = <usize>load<u32>(args, 20) + <usize>group * <usize>load<u32>(args, 24);
  // Rows that are not there have zeros for codes and scales.
  if (rows < 16) memory.fill(scratch, 0, SCRATCH_BYTES);
  for (let block = 0; block < blocks; block++) {
    for (let quad: i32 = 0; quad < 4; quad++) {
      const end = min(rows, quad * 4 + 4);
      if (end < quad * 4 + 4) memory.fill(scratch, 0, 128);
      for (let row = quad * 4; row < end; row++) {
        const place = scratch + <usize>(row << 2);
        unpack(format, source + <usize>row * rowBytes, block, scratch + (<usize>(row & 3) << 5), place);
      }
      storeQuad(description, w, quad, scratch);
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
    w += bytes;
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

// @ts-ignore: decorator
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
  for (let p = description + 20; load<i32>(p) >= 0; p += 8) {
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

// @ts-ignore: decorator
@inline
function nibblePair(low: v128, high: v128): v128 {
  return v128.or(v128.and(low, i8x16.splat(15)), i16x8.shl(v128.and(high, i8x16.splat(15)), 4));
}

// @ts-ignore: decorator
@inline
function fourPairs(a: v128, b: v128, c: v128, d: v128): v128 {
  const three = i8x16.splat(3);
  const low = v128.or(v128.and(a, three), i16x8.shl(v128.and(b, three), 2));
  return v128.or(low, v128.or(i16x8.shl(v128.and(c, three), 4), i16x8.shl(v128.and(d, three), 6)));
}

// @ts-ignore: decorator
@inline
function fourBits(a: v128, b: v128, c: v128, d: v128): v128 {
  const one = i8x16.splat(1);
  const low = v128.or(v128.and(a, one), i16x8.shl(v128.and(b, one), 1));
  return v128.or(low, v128.or(i16x8.shl(v128.and(c, one), 2), i16x8.shl(v128.and(d, one), 3)));
}

/** At least the largest scale or bias of some rows: K-quants bound it by their super-blocks' factors. */
function largestScale(format: i32, source: usize, rowBytes: usize, rows: i32, blocks: i32): f32 {
  const superBlocks = blocks >> 3;
  switch (format) {
    case 0:
    case 10:
      return largestHalf(source, rowBytes, rows, blocks, 18, 0, 0);
    case 1:
      return largestHalf(source, rowBytes, rows, blocks, 20, 0, 2);
    case 2:
      return largestHalf(source, rowBytes, rows, blocks, 22, 0, 0);
    case 3:
      return largestHalf(source, rowBytes, rows, blocks, 24, 0, 2);
    case 4:
      return largestHalf(source, rowBytes, rows, blocks, 34, 0, 0);
    case 5:
      return 15 * largestHalf(source, rowBytes, rows, superBlocks, 84, 80, 82);
    case 6:
      return 32 * largestHalf(source, rowBytes, rows, superBlocks, 110, 108, 108);
    case 7:
      return 63 * largestHalf(source, rowBytes, rows, superBlocks, 144, 0, 2);
    case 8:
      return 63 * largestHalf(source, rowBytes, rows, superBlocks, 176, 0, 2);
    case 9:
      return 128 * largestHalf(source, rowBytes, rows, superBlocks, 210, 208, 208);
    default:
      return 32 * largestHalf(source, rowBytes, rows, superBlocks, 136, 0, 0);
  }
}

/** Largest magnitude of two halves of every block: without the sign, halves have the order of their bits. */
function largestHalf(
  source: usize,
  rowBytes: usize,
  rows: i32,
  blocks: i32,
  blockBytes: usize,
  first: usize,
  second: usize,
): f32 {
  let largest: i32 = 0;
  for (let row = 0; row < rows; row++) {
    let p = source + <usize>row * rowBytes;
    for (let block = 0; block < blocks; block++) {
      largest = max(largest, max(<i32>load<u16>(p + first) & 0x7fff, <i32>load<u16>(p + second) & 0x7fff));
      p += blockBytes;
    }
  }
  return f32x4.extract_lane(halvesExact(i16x8.splat(<i16>largest)), 0);
}

// @ts-ignore: decorator
@inline
function half(address: usize): f32 {
  return f32x4.extract_lane(halvesExact(v128.load16_splat(address)), 0);
}

// @ts-ignore: decorator
@inline
function put(place: usize, scale: f32, bias: f32): void {
  store<f32>(place, scale, SCALES);
  store<f32>(place, bias, BIASES);
}

/** The bits of a scale and a bias that are halves in the file, too. */
// @ts-ignore: decorator
@inline
function putHalves(place: usize, scale: usize, bias: u32): void {
  store<u32>(place, load<u16>(scale), SCALES);
  store<u32>(place, bias, BIASES);
}

// @ts-ignore: decorator
@inline
function putPair(place: usize, low: f32, high: f32, lowBias: f32, highBias: f32): void {
  store<f32>(place, low, SCALES);
  store<f32>(place, high, HIGH_SCALES);
  store<f32>(place, lowBias, BIASES);
  store<f32>(place, highBias, HIGH_BIASES);
}

/** Sixteen bytes of nibbles: values 0…15 low, 16…31 high. */
function nibbles(source: usize, out: usize): void {
  const q = v128.load(source);
  v128.store(out, v128.and(q, i8x16.splat(15)));
  v128.store(out, v128.and(i16x8.shr_u(q, 4), i8x16.splat(15)), 16);
}

/**
 * Block `block` of 32 values of a row, by the number the host gives the format (`packing.ts`): codes to `out`, scales and
 * biases to their tables from `place` on.
 */
function unpack(format: i32, row: usize, block: i32, out: usize, place: usize): void {
  const at = <usize>block;
  const part = block & 7;
  switch (format) {
    case 0: { // q4_0: half d, 16 bytes; d · (q − 8)
      nibbles(row + at * 18 + 2, out);
      putHalves(place, row + at * 18, 0);
      break;
    }
    case 1: { // q4_1: half d, half m, 16 bytes; d · q + m
      nibbles(row + at * 20 + 4, out);
      putHalves(place, row + at * 20, load<u16>(row + at * 20 + 2));
      break;
    }
    case 2: { // q5_0: half d, 32 high bits, 16 bytes; d · (q − 16)
      fifthBits(row + at * 22 + 6, load<u32>(row + at * 22 + 2), out);
      putHalves(place, row + at * 22, 0);
      break;
    }
    case 3: { // q5_1: half d, half m, 32 high bits, 16 bytes; d · q + m
      fifthBits(row + at * 24 + 8, load<u32>(row + at * 24 + 4), out);
      putHalves(place, row + at * 24, load<u16>(row + at * 24 + 2));
      break;
    }
    case 4: { // q8_0: half d, 32 signed bytes; stored plus 128
      const p = row + at * 34;
      v128.store(out, v128.xor(v128.load(p, 2), i8x16.splat(-128)));
      v128.store(out, v128.xor(v128.load(p, 18), i8x16.splat(-128)), 16);
      putHalves(place, p, 0);
      break;
    }
    case 5: { // q2_k: 16 bytes of 4-bit scale and minimum, 64 bytes, half d, half dmin
      const p = row + (at >> 3) * 84;
      const q = p + 16 + <usize>(part >> 2) * 32;
      for (let i: usize = 0; i < 32; i += 16) v128.store(out + i, bitsOf(q + i, (part & 3) * 2, 3));
      const d = half(p + 80);
      const m = half(p + 82);
      const a = <i32>load<u8>(p + <usize>(part * 2));
      const b = <i32>load<u8>(p + <usize>(part * 2 + 1));
      putPair(place, d * <f32>(a & 15), d * <f32>(b & 15), -m * <f32>(a >> 4), -m * <f32>(b >> 4));
      break;
    }
    case 6: { // q3_k: 32 bytes of high bits, 64 bytes, 12 bytes of 6-bit scales, half d
      const p = row + (at >> 3) * 110;
      const q = p + 32 + <usize>(part >> 2) * 32;
      for (let i: usize = 0; i < 32; i += 16) {
        const high = i16x8.shl(bitsOf(p + i, part, 1), 2);
        v128.store(out + i, v128.or(bitsOf(q + i, (part & 3) * 2, 3), high));
      }
      const d = half(p + 108);
      putPair(place, d * <f32>(threeScale(p + 96, part * 2) - 32), d * <f32>(threeScale(p + 96, part * 2 + 1) - 32), 0, 0);
      break;
    }
    case 7: { // q4_k: half d, half dmin, 12 bytes of 6-bit pairs, 128 bytes
      const p = row + (at >> 3) * 144;
      const q = p + 16 + <usize>(part >> 1) * 32;
      for (let i: usize = 0; i < 32; i += 16) v128.store(out + i, bitsOf(q + i, (part & 1) * 4, 15));
      put(place, half(p) * <f32>fourScale(p + 4, part), -half(p + 2) * <f32>fourMinimum(p + 4, part));
      break;
    }
    case 8: { // q5_k: half d, half dmin, 12 bytes of 6-bit pairs, 32 bytes of high bits, 128 bytes
      const p = row + (at >> 3) * 176;
      const q = p + 48 + <usize>(part >> 1) * 32;
      for (let i: usize = 0; i < 32; i += 16) {
        const high = i16x8.shl(bitsOf(p + 16 + i, part, 1), 4);
        v128.store(out + i, v128.or(bitsOf(q + i, (part & 1) * 4, 15), high));
      }
      put(place, half(p) * <f32>fourScale(p + 4, part), -half(p + 2) * <f32>fourMinimum(p + 4, part));
      break;
    }
    case 9: { // q6_k: 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, half d
      const p = row + (at >> 3) * 210;
      const side = <usize>(part >> 2);
      const quarter = part & 3;
      const q = p + side * 64 + <usize>(quarter & 1) * 32;
      for (let i: usize = 0; i < 32; i += 16) {
        const high = i16x8.shl(bitsOf(p + 128 + side * 32 + i, quarter * 2, 3), 4);
        v128.store(out + i, v128.or(bitsOf(q + i, (quarter >> 1) * 4, 15), high));
      }
      const d = half(p + 208);
      const scales = p + 192 + <usize>(part * 2);
      putPair(place, d * <f32>load<i8>(scales), d * <f32>load<i8>(scales, 1), 0, 0);
      break;
    }
    case 10: { // iq4_nl: half d, 16 bytes of table indices
      nibbles(row + at * 18 + 2, out);
      putHalves(place, row + at * 18, 0);
      break;
    }
    case 11: { // iq4_xs: half d, 16 bits of high scale pairs, 4 bytes of low scale nibbles, 128 bytes
      const p = row + (at >> 3) * 136;
      nibbles(p + 8 + <usize>part * 16, out);
      const low = (<i32>load<u8>(p + 4 + <usize>(part >> 1)) >> ((part & 1) * 4)) & 15;
      const high = (<i32>load<u16>(p + 2) >> (part * 2)) & 3;
      put(place, half(p) * <f32>((low | (high << 4)) - 32), 0);
      break;
    }
    default: { // mxfp4: exponent byte, 16 bytes of table indices
      nibbles(row + at * 17 + 1, out);
      put(place, reinterpret<f32>(<i32>load<u8>(row + at * 17) << 23), 0);
    }
  }
}

/** Of sixteen bytes the bits from `shift` on that `mask` leaves. */
// @ts-ignore: decorator
@inline
function bitsOf(source: usize, shift: i32, mask: i8): v128 {
  return v128.and(i16x8.shr_u(v128.load(source), shift), i8x16.splat(mask));
}

/** Nibbles, with bit k of `bits` above the k-th. */
function fifthBits(source: usize, bits: u32, out: usize): void {
  const q = v128.load(source);
  const one = i64x2.splat(<i64>0x8040201008040201);
  const all = i32x4.splat(<i32>bits);
  const low = v128.and(i8x16.shuffle(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), one);
  const high = v128.and(i8x16.shuffle(all, all, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3), one);
  const fifth = i8x16.splat(16);
  const nibble = i8x16.splat(15);
  v128.store(out, v128.or(v128.and(q, nibble), v128.and(i8x16.eq(low, one), fifth)));
  v128.store(out, v128.or(v128.and(i16x8.shr_u(q, 4), nibble), v128.and(i8x16.eq(high, one), fifth)), 16);
}

/** 6-bit scale `j` of 16 in twelve bytes: low nibbles in the first eight, high pairs in the last four. */
function threeScale(p: usize, j: i32): i32 {
  const low = (<i32>load<u8>(p + <usize>(j & 7)) >> (j >= 8 ? 4 : 0)) & 15;
  const high = (<i32>load<u8>(p + 8 + <usize>(j & 3)) >> ((j >> 2) * 2)) & 3;
  return low | (high << 4);
}

/** 6-bit scale `j` of 8 in twelve bytes: the first four whole, the rest a nibble and two bits from above. */
function fourScale(p: usize, j: i32): i32 {
  if (j < 4) return <i32>load<u8>(p + <usize>j) & 63;
  return (<i32>load<u8>(p + <usize>(j + 4)) & 15) | ((<i32>load<u8>(p + <usize>(j - 4)) >> 6) << 4);
}

function fourMinimum(p: usize, j: i32): i32 {
  if (j < 4) return <i32>load<u8>(p + <usize>(j + 4)) & 63;
  return (<i32>load<u8>(p + <usize>(j + 4)) >> 4) | ((<i32>load<u8>(p + <usize>j) >> 6) << 4);
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
