/**
 * Blocks of a file's rows, taken apart: for each format its codes, scales and biases, 32 values at a time. Formats have the
 * numbers that the host gives them (`packing.ts`).
 */
import { halvesExact } from './simd';

/** Scratch of a record: codes of four rows, 32 bytes each, then sixteen float32 of each kind. */
export const SCALES: usize = 128; // of a block, or of its low half
export const HIGH_SCALES: usize = 192;
export const BIASES: usize = 256;
export const HIGH_BIASES: usize = 320;
export const SCRATCH_BYTES: usize = 384;

/** Whether `unpack` leaves a format's scales and biases as the bits of halves in 32-bit words; else they are float32. */
export function hasHalves(format: i32): bool {
  return format < 5 || format == 10;
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
 * Block `block` of 32 values of a row: codes to `out`, scales and biases to their tables from `place` on. `grid` has the level
 * of each value of a format's grid, a byte each.
 */
export function unpack(format: i32, row: usize, block: i32, out: usize, place: usize, grid: usize): void {
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
    case 12: { // mxfp4: exponent byte, 16 bytes of table indices
      nibbles(row + at * 17 + 1, out);
      put(place, reinterpret<f32>(<i32>load<u8>(row + at * 17) << 23), 0);
      break;
    }
    case 13: { // nvfp4: 4 bytes of scales, 32 bytes of table indices, value j + 8 above value j
      const p = row + (at >> 1) * 36;
      const first = <usize>(block & 1) * 2;
      for (let i: usize = 0; i < 2; i++) {
        const q = load<u64>(p + 4 + (first + i) * 8);
        store<u64>(out + i * 16, q & 0x0f0f0f0f0f0f0f0f);
        store<u64>(out + i * 16, (q >> 4) & 0x0f0f0f0f0f0f0f0f, 8);
      }
      putPair(place, halfOfByteFloat(load<u8>(p + first)), halfOfByteFloat(load<u8>(p + first + 1)), 0, 0);
      break;
    }
    case 14: { // iq1_s: half d, 32 bytes of low index bits, 8 × 16 bits: high index bits, scale, shift
      const p = row + (at >> 3) * 50;
      const bits = <i32>load<u16>(p + 34 + <usize>part * 2);
      const flip = bits >> 15;
      for (let i = 0; i < 4; i++) {
        const index = <i32>load<u8>(p + 2 + <usize>(part * 4 + i)) | (((bits >> (3 * i)) & 7) << 8);
        // A shift down is a shift up with all signs changed, the scale's too.
        const levels = load<u64>(grid + <usize>index * 8);
        store<u64>(out + <usize>i * 8, flip ? 0x0202020202020202 - levels : levels);
      }
      const scale = half(p) * odd((bits >> 12) & 7) * 0.125;
      put(place, flip ? -scale : scale, 0);
      break;
    }
    case 15: { // iq1_m: 32 bytes of low index bits, 16 bytes of nibbles: high index bits, shift; 8 bytes of scales and d
      const p = row + (at >> 3) * 56;
      for (let i = 0; i < 4; i++) {
        const bits = <i32>load<u8>(p + 32 + <usize>(part * 2 + (i >> 1))) >> ((i & 1) * 4);
        const index = <i32>load<u8>(p + <usize>(part * 4 + i)) | ((bits & 7) << 8);
        const up: u64 = bits & 8 ? 0 : 0x0101010101010101;
        store<u64>(out + <usize>i * 8, 2 * load<u64>(grid + <usize>index * 8) + up);
      }
      const scales = <i32>load<u16>(p + 48 + <usize>(part >> 1) * 2) >> ((part & 1) * 6);
      const d = f32x4.extract_lane(halvesExact(i16x8.splat(<i16>scatteredHalf(p + 48))), 0) * 0.125;
      putPair(place, d * odd(scales & 7), d * odd((scales >> 3) & 7), 0, 0);
      break;
    }
    case 16: { // iq2_xxs: half d, 8 × 4 bytes of indices and 32 bits of signs and scale
      const p = row + (at >> 3) * 66;
      const q = p + 2 + <usize>part * 8;
      const bits = load<u32>(q + 4);
      for (let i: usize = 0; i < 4; i++) {
        signedLevels(out + i * 8, load<u64>(grid + <usize>load<u8>(q + i) * 8), evenSigns(bits >> <u32>(i * 7)), 3);
      }
      put(place, half(p) * odd(bits >> 28) * 0.125, 0);
      break;
    }
    case 17: { // iq2_xs: half d, 32 × 16 bits of index and signs, 8 bytes of scales
      const p = row + (at >> 3) * 74;
      for (let i: usize = 0; i < 4; i++) {
        const bits = <u32>load<u16>(p + 2 + <usize>part * 8 + i * 2);
        signedLevels(out + i * 8, load<u64>(grid + <usize>(bits & 511) * 8), evenSigns(bits >> 9), 3);
      }
      putNibbleScales(place, half(p) * 0.125, load<u8>(p + 66 + <usize>part));
      break;
    }
    case 18: { // iq2_s: half d, 32 bytes of low index bits, 32 of signs, 8 of high index bits, 8 of scales
      const p = row + (at >> 3) * 82;
      const high = <i32>load<u8>(p + 66 + <usize>part);
      for (let i = 0; i < 4; i++) {
        const q = p + 2 + <usize>(part * 4 + i);
        const index = <i32>load<u8>(q) | (((high >> (2 * i)) & 3) << 8);
        signedLevels(out + <usize>i * 8, load<u64>(grid + <usize>index * 8), load<u8>(q, 32), 3);
      }
      putNibbleScales(place, half(p) * 0.125, load<u8>(p + 74 + <usize>part));
      break;
    }
    case 19: { // iq3_xxs: half d, 64 bytes of indices, 8 × 32 bits of signs and scale
      const p = row + (at >> 3) * 98;
      const bits = load<u32>(p + 66 + <usize>part * 4);
      for (let i: usize = 0; i < 4; i++) {
        const q = p + 2 + <usize>part * 8 + i * 2;
        const levels = fourAndFour(grid, load<u8>(q), load<u8>(q, 1));
        signedLevels(out + i * 8, levels, evenSigns(bits >> <u32>(i * 7)), 8);
      }
      put(place, half(p) * odd(bits >> 28) * 0.25, 0);
      break;
    }
    case 20: { // iq3_s: half d, 64 bytes of low index bits, 8 of the ninth, 32 of signs, 4 of scales
      const p = row + (at >> 3) * 110;
      const high = <i32>load<u8>(p + 66 + <usize>part) << 8;
      for (let i = 0; i < 4; i++) {
        const q = p + 2 + <usize>(part * 8 + i * 2);
        const first = <i32>load<u8>(q) | ((high >> (2 * i)) & 256);
        const second = <i32>load<u8>(q, 1) | ((high >> (2 * i + 1)) & 256);
        const signs = load<u8>(p + 74 + <usize>(part * 4 + i));
        signedLevels(out + <usize>i * 8, fourAndFour(grid, first, second), signs, 8);
      }
      const scale = (<i32>load<u8>(p + 106 + <usize>(part >> 1)) >> ((part & 1) * 4)) & 15;
      put(place, half(p) * odd(scale), 0);
      break;
    }
    case 21: { // tq1_0: 32 + 16 bytes of five digits, 4 of four, half d
      const p = row + (at >> 3) * 54;
      for (let i = 0; i < 32; i++) {
        const k = part * 32 + i;
        if (k < 160) store<u8>(out + <usize>i, ternaryDigit(p + <usize>(k & 31), k >> 5));
        else if (k < 240) store<u8>(out + <usize>i, ternaryDigit(p + 32 + <usize>(k & 15), (k - 160) >> 4));
        else store<u8>(out + <usize>i, ternaryDigit(p + 48 + <usize>(k & 3), (k - 240) >> 2));
      }
      put(place, half(p + 52), 0);
      break;
    }
    case 22: { // tq2_0: 64 bytes, half d
      const p = row + (at >> 3) * 66;
      const q = p + <usize>(part >> 2) * 32;
      for (let i: usize = 0; i < 32; i += 16) v128.store(out + i, bitsOf(q + i, (part & 3) * 2, 3));
      put(place, half(p + 64), 0);
      break;
    }
    case 23: { // q1_0: half d, 16 bytes of bits
      const p = row + (at >> 2) * 18;
      const bits = load<u32>(p + 2 + <usize>(block & 3) * 4);
      for (let i = 0; i < 32; i++) store<u8>(out + <usize>i, <u8>((bits >> i) & 1));
      put(place, half(p), 0);
      break;
    }
    default: { // q2_0: half d, 16 bytes of four codes
      const p = row + (at >> 1) * 18;
      const bits = load<u64>(p + 2 + <usize>(block & 1) * 8);
      for (let i = 0; i < 32; i++) store<u8>(out + <usize>i, <u8>(bits >> <u64>(2 * i)) & 3);
      put(place, half(p), 0);
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

/** Of eight levels 0 to `count` − 1 the codes of both signs: count + level, or, where a bit of `signs` is set, count − 1 − level. */
function signedLevels(out: usize, levels: u64, signs: u32, count: u64): void {
  const ones: u64 = 0x0101010101010101;
  // Bit i of the signs, in the lowest bit of byte i.
  const negative = ((((<u64>(signs & 255) * ones) & 0x8040201008040201) + 0x7f7f7f7f7f7f7f7f) >> 7) & ones;
  const all = negative * 255;
  store<u64>(out, ones * (count - 1) + ((levels + ones) & ~all) - (levels & all));
}

/** Scales of the IQ formats are odd numbers. */
// @ts-ignore: decorator
@inline
function odd(code: i32): f32 {
  return <f32>(code * 2 + 1);
}

// @ts-ignore: decorator
@inline
function fourAndFour(grid: usize, first: i32, second: i32): u64 {
  return <u64>load<u32>(grid + (<usize>first << 2)) | (<u64>load<u32>(grid + (<usize>second << 2)) << 32);
}

/** Eight signs of the lowest seven bits: the eighth makes their number even. */
function evenSigns(bits: u32): u32 {
  const index = bits & 127;
  return index | ((popcnt(index) & 1) << 7);
}

// @ts-ignore: decorator
@inline
function putNibbleScales(place: usize, d: f32, codes: i32): void {
  putPair(place, d * odd(codes & 15), d * odd(codes >> 4), 0, 0);
}

/** Half of an E4M3 number without its sign; NaN stands for 0. */
function halfOfByteFloat(bits: i32): f32 {
  const exponent = (bits >> 3) & 15;
  if (bits == 0x7f) return 0;
  if (exponent == 0) return <f32>(bits & 7) * 0.0009765625;
  return reinterpret<f32>(((exponent + 119) << 23) | ((bits & 7) << 20));
}

/** The bits of a half, four in the top of each of four words. */
function scatteredHalf(p: usize): i32 {
  const top = load<u64>(p) >> 12;
  return <i32>((top & 15) | ((top >> 12) & 0xf0) | ((top >> 24) & 0xf00) | ((top >> 36) & 0xf000));
}

/** Digit `place` of the five, the highest first, of a byte ⌈256 t / 243⌉. */
function ternaryDigit(p: usize, place: i32): u8 {
  let fraction = <i32>load<u8>(p);
  for (let i = 0; i < place; i++) fraction = (fraction * 3) & 255;
  return <u8>((fraction * 3) >> 8);
}

/** At least the largest scale or bias of some rows: K-quants bound it by their super-blocks' factors. */
export function largestScale(format: i32, source: usize, rowBytes: usize, rows: i32, blocks: i32): f32 {
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
    case 11:
      return 32 * largestHalf(source, rowBytes, rows, superBlocks, 136, 0, 0);
    case 13:
      return 240;
    case 14:
      return 2 * largestHalf(source, rowBytes, rows, superBlocks, 50, 0, 0);
    case 15:
      return largestScatteredHalf(source, rowBytes, rows, superBlocks) * 2;
    case 16:
      return 4 * largestHalf(source, rowBytes, rows, superBlocks, 66, 0, 0);
    case 17:
      return 4 * largestHalf(source, rowBytes, rows, superBlocks, 74, 0, 0);
    case 18:
      return 4 * largestHalf(source, rowBytes, rows, superBlocks, 82, 0, 0);
    case 19:
      return 8 * largestHalf(source, rowBytes, rows, superBlocks, 98, 0, 0);
    case 20:
      return 32 * largestHalf(source, rowBytes, rows, superBlocks, 110, 0, 0);
    case 21:
      return largestHalf(source, rowBytes, rows, superBlocks, 54, 52, 52);
    case 22:
      return largestHalf(source, rowBytes, rows, superBlocks, 66, 64, 64);
    case 23:
      return largestHalf(source, rowBytes, rows, blocks >> 2, 18, 0, 0);
    default:
      return largestHalf(source, rowBytes, rows, blocks >> 1, 18, 0, 0);
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

/** Of iq1_m's blocks. */
function largestScatteredHalf(source: usize, rowBytes: usize, rows: i32, blocks: i32): f32 {
  let largest: i32 = 0;
  for (let row = 0; row < rows; row++) {
    const p = source + <usize>row * rowBytes + 48;
    for (let block = 0; block < blocks; block++) {
      largest = max(largest, scatteredHalf(p + <usize>block * 56) & 0x7fff);
    }
  }
  return f32x4.extract_lane(halvesExact(i16x8.splat(<i16>largest)), 0);
}
