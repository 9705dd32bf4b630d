/**
 * Blocks of the formats of one to three bits, and NVFP4, taken apart as in `unpack.ts`. Rows of grids are looked up here, so that
 * no kernel has to: their levels become codes.
 */
import { halvesExact } from './simd';
import { bitsOf, half, largestHalf, put, putPair } from './unpacked';

/** `grid` has the level of each value of a format's grid, a byte each. */
export function unpackLowBits(format: i32, row: usize, block: i32, out: usize, place: usize, grid: usize): void {
  const at = <usize>block;
  const part = block & 7;
  switch (format) {
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

/** Of eight levels 0 to `count` − 1 the codes of both signs: count + level, or, where a bit of `signs` is set, count − 1 − level. */
function signedLevels(out: usize, levels: u64, signs: u32, count: u64): void {
  const ones: u64 = 0x0101010101010101;
  // Bit i of the signs, in the lowest bit of byte i.
  const negative = ((((<u64>(signs & 255) * ones) & 0x8040201008040201) + 0x7f7f7f7f7f7f7f7f) >> 7) & ones;
  const all = negative * 255;
  store<u64>(out, ones * (count - 1) + ((levels + ones) & ~all) - (levels & all));
}

/** Scales of the IQ formats are odd numbers. */
@inline
function odd(code: i32): f32 {
  return <f32>(code * 2 + 1);
}

@inline
function fourAndFour(grid: usize, first: i32, second: i32): u64 {
  return <u64>load<u32>(grid + (<usize>first << 2)) | (<u64>load<u32>(grid + (<usize>second << 2)) << 32);
}

/** Eight signs of the lowest seven bits: the eighth makes their number even. */
function evenSigns(bits: u32): u32 {
  const index = bits & 127;
  return index | ((popcnt(index) & 1) << 7);
}

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

/** At least the largest scale of some rows. */
export function largestLowBitScale(format: i32, source: usize, rowBytes: usize, rows: i32, blocks: i32): f32 {
  const superBlocks = blocks >> 3;
  switch (format) {
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
