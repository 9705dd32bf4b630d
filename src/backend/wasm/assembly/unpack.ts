/**
 * Blocks of a file's rows, taken apart: for each format its codes, scales and biases, 32 values at a time. Formats have the
 * numbers that the host gives them (`packing.ts`).
 */
import { largestLowBitScale, unpackLowBits } from './unpack-low-bits';
import { bitsOf, half, largestHalf, nibbles, put, putHalves, putPair } from './unpacked';

/** Whether `unpack` leaves a format's scales and biases as the bits of halves in 32-bit words; else they are float32. */
export function hasHalves(format: i32): bool {
  return format < 5 || format == 10;
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
    case 25: { // e0m4_32: half s, half b, 16 bytes; s · (1 + q/16) + b
      const p = row + at * 20;
      nibbles(p + 4, out);
      put(place, half(p) * 0.0625, half(p) + half(p + 2));
      break;
    }
    case 26: { // e0m4_64: the same with 32 bytes
      const p = row + (at >> 1) * 36;
      nibbles(p + 4 + <usize>(block & 1) * 16, out);
      put(place, half(p) * 0.0625, half(p) + half(p + 2));
      break;
    }
    case 27: { // e0m4_128: the same with 64 bytes
      const p = row + (at >> 2) * 68;
      nibbles(p + 4 + <usize>(block & 3) * 16, out);
      put(place, half(p) * 0.0625, half(p) + half(p + 2));
      break;
    }
    default:
      unpackLowBits(format, row, block, out, place, grid);
  }
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
    case 25:
      return 2 * largestHalf(source, rowBytes, rows, blocks, 20, 0, 2);
    case 26:
      return 2 * largestHalf(source, rowBytes, rows, blocks >> 1, 36, 0, 2);
    case 27:
      return 2 * largestHalf(source, rowBytes, rows, blocks >> 2, 68, 0, 2);
    default:
      return largestLowBitScale(format, source, rowBytes, rows, blocks);
  }
}
