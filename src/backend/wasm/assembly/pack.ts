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

const CODES: usize = 0; // 32 bytes
const SCALES: usize = 32; // 2 float32
const BIASES: usize = 40; // 2 float32

function packGroup(args: usize, group: i32, scratch: usize): void {
  const rows = min(16, load<i32>(args) - group * 16);
  const blocks = load<i32>(args, 4);
  const format = load<i32>(args, 8);
  const rowBytes = <usize>load<u32>(args, 16);
  const source = <usize>load<u32>(args, 12) + <usize>group * 16 * rowBytes;
  const w = <usize>load<u32>(args, 20) + <usize>group * <usize>load<u32>(args, 24);
  const description = <usize>load<u32>(args, 32);
  const factor = load<f32>(args, 40);
  const kind = load<i32>(description);
  const bytes = <usize>load<u32>(description, 12);
  let lift: f32 = 1;
  if (kind != 2) {
    let largest: f32 = 0;
    for (let row = 0; row < rows; row++) {
      for (let block = 0; block < blocks; block++) {
        largest = max(largest, scaleBound(format, source + <usize>row * rowBytes, block));
      }
    }
    lift = powerToTop(largest);
  }
  if (rows < 16) memory.fill(w, 0, bytes * <usize>blocks);
  for (let block = 0; block < blocks; block++) {
    for (let row = 0; row < rows; row++) {
      unpack(format, source + <usize>row * rowBytes, block, scratch);
      storeBlock(description, w + <usize>block * bytes, row, kind, lift, scratch);
    }
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

/** Rounds to the nearest half, ties to even; the value is within the range of halves. */
function halfOf(value: f32): u16 {
  const bits = reinterpret<u32>(value);
  const sign = (bits >> 16) & 0x8000;
  const body = bits & 0x7fffffff;
  if (body < 0x38800000) return <u16>sign; // below the smallest normal half: gone
  const rounded = body + 0xfff + ((body >> 13) & 1);
  return <u16>(sign | ((rounded - (112 << 23)) >> 13));
}

function storeBlock(description: usize, w: usize, row: i32, kind: i32, lift: f32, scratch: usize): void {
  const bias = <usize>load<u32>(description, 4);
  if (kind == 2) {
    store<u8>(w + <usize>row, <u8>(reinterpret<u32>(load<f32>(scratch, SCALES)) >> 23));
  } else {
    store<u16>(w + (<usize>row << 1), halfOf(load<f32>(scratch, SCALES) * lift));
    if (kind == 1) store<u16>(w + 32 + (<usize>row << 1), halfOf(load<f32>(scratch, SCALES + 4) * lift));
    if (bias) {
      store<u16>(w + bias + (<usize>row << 1), halfOf(load<f32>(scratch, BIASES) * lift));
      if (kind == 1) store<u16>(w + bias + 32 + (<usize>row << 1), halfOf(load<f32>(scratch, BIASES + 4) * lift));
    }
  }
  const quad = <usize>(row >> 2);
  const lane = <usize>(row & 3) * 4;
  let shift = 0;
  for (let p = description + 20; load<i32>(p) >= 0; p += 8) {
    shift += storePlane(load<i32>(p), w + <usize>load<u32>(p, 4) + lane, quad, scratch + CODES, shift);
  }
}

/** Stores the bits from `shift` on of a block's codes, four codes to a word; returns how many bits the plane took. */
function storePlane(plane: i32, w: usize, quad: usize, codes: usize, shift: i32): i32 {
  switch (plane) {
    case 0: {
      for (let j: usize = 0; j < 16; j += 4) {
        const low = (load<u32>(codes + j) >> shift) & 0x0f0f0f0f;
        const high = (load<u32>(codes + j, 16) >> shift) & 0x0f0f0f0f;
        store<u32>(w + quad * 64 + j * 4, low | (high << 4));
      }
      return 4;
    }
    case 1: {
      let low: u32 = 0;
      let high: u32 = 0;
      for (let j: i32 = 0; j < 4; j++) {
        low |= ((load<u32>(codes + <usize>j * 4) >> shift) & 0x03030303) << (2 * j);
        high |= ((load<u32>(codes + <usize>j * 4, 16) >> shift) & 0x03030303) << (2 * j);
      }
      store<u32>(w + quad * 32, low);
      store<u32>(w + quad * 32, high, 16);
      return 2;
    }
    case 2: {
      let bits: u32 = 0;
      for (let j: i32 = 0; j < 4; j++) {
        bits |= ((load<u32>(codes + <usize>j * 4) >> shift) & 0x01010101) << j;
        bits |= ((load<u32>(codes + <usize>j * 4, 16) >> shift) & 0x01010101) << (4 + j);
      }
      store<u32>(w + quad * 16, bits);
      return 1;
    }
    default: {
      for (let j: usize = 0; j < 32; j += 4) store<u32>(w + quad * 128 + j * 4, load<u32>(codes + j));
      return 8;
    }
  }
}

/** At least the largest scale or bias of a block: K-quants bound it by their super-block's factors. */
function scaleBound(format: i32, row: usize, block: i32): f32 {
  const at = <usize>block;
  const big = <usize>(block >> 3);
  switch (format) {
    case 0:
    case 10:
      return Mathf.abs(half(row + at * 18));
    case 1:
      return max(Mathf.abs(half(row + at * 20)), Mathf.abs(half(row + at * 20 + 2)));
    case 2:
      return Mathf.abs(half(row + at * 22));
    case 3:
      return max(Mathf.abs(half(row + at * 24)), Mathf.abs(half(row + at * 24 + 2)));
    case 4:
      return Mathf.abs(half(row + at * 34));
    case 5:
      return 15 * max(Mathf.abs(half(row + big * 84 + 80)), Mathf.abs(half(row + big * 84 + 82)));
    case 6:
      return 32 * Mathf.abs(half(row + big * 110 + 108));
    case 7:
      return 63 * max(Mathf.abs(half(row + big * 144)), Mathf.abs(half(row + big * 144 + 2)));
    case 8:
      return 63 * max(Mathf.abs(half(row + big * 176)), Mathf.abs(half(row + big * 176 + 2)));
    case 9:
      return 128 * Mathf.abs(half(row + big * 210 + 208));
    default:
      return 32 * Mathf.abs(half(row + big * 136));
  }
}

// @ts-ignore: decorator
@inline
function half(address: usize): f32 {
  return f32x4.extract_lane(halvesExact(v128.load16_splat(address)), 0);
}

// @ts-ignore: decorator
@inline
function put(scratch: usize, scale: f32, bias: f32): void {
  putPair(scratch, scale, scale, bias, bias);
}

function putPair(scratch: usize, low: f32, high: f32, lowBias: f32, highBias: f32): void {
  store<f32>(scratch, low, SCALES);
  store<f32>(scratch, high, SCALES + 4);
  store<f32>(scratch, lowBias, BIASES);
  store<f32>(scratch, highBias, BIASES + 4);
}

/** Sixteen bytes of nibbles: values 0…15 low, 16…31 high. */
function nibbles(source: usize, out: usize): void {
  const q = v128.load(source);
  v128.store(out, v128.and(q, i8x16.splat(15)));
  v128.store(out, v128.and(i16x8.shr_u(q, 4), i8x16.splat(15)), 16);
}

/** Block `block` of 32 values of a row, by the number the host gives the format (`packing.ts`). */
function unpack(format: i32, row: usize, block: i32, out: usize): void {
  const at = <usize>block;
  const part = block & 7;
  switch (format) {
    case 0: { // q4_0: half d, 16 bytes; d · (q − 8)
      nibbles(row + at * 18 + 2, out);
      put(out, half(row + at * 18), 0);
      break;
    }
    case 1: { // q4_1: half d, half m, 16 bytes; d · q + m
      nibbles(row + at * 20 + 4, out);
      put(out, half(row + at * 20), half(row + at * 20 + 2));
      break;
    }
    case 2: { // q5_0: half d, 32 high bits, 16 bytes; d · (q − 16)
      fifthBits(row + at * 22 + 6, load<u32>(row + at * 22 + 2), out);
      put(out, half(row + at * 22), 0);
      break;
    }
    case 3: { // q5_1: half d, half m, 32 high bits, 16 bytes; d · q + m
      fifthBits(row + at * 24 + 8, load<u32>(row + at * 24 + 4), out);
      put(out, half(row + at * 24), half(row + at * 24 + 2));
      break;
    }
    case 4: { // q8_0: half d, 32 signed bytes; stored plus 128
      const p = row + at * 34;
      v128.store(out, v128.xor(v128.load(p, 2), i8x16.splat(-128)));
      v128.store(out, v128.xor(v128.load(p, 18), i8x16.splat(-128)), 16);
      put(out, half(p), 0);
      break;
    }
    case 5: { // q2_k: 16 bytes of 4-bit scale and minimum, 64 bytes, half d, half dmin
      const p = row + (at >> 3) * 84;
      for (let k: i32 = 0; k < 32; k++) {
        store<u8>(out + <usize>k, (load<u8>(p + 16 + <usize>((part >> 2) * 32 + k)) >> <u8>((part & 3) * 2)) & 3);
      }
      const d = half(p + 80);
      const m = half(p + 82);
      const a = <i32>load<u8>(p + <usize>(part * 2));
      const b = <i32>load<u8>(p + <usize>(part * 2 + 1));
      putPair(out, d * <f32>(a & 15), d * <f32>(b & 15), -m * <f32>(a >> 4), -m * <f32>(b >> 4));
      break;
    }
    case 6: { // q3_k: 32 bytes of high bits, 64 bytes, 12 bytes of 6-bit scales, half d
      const p = row + (at >> 3) * 110;
      for (let k: i32 = 0; k < 32; k++) {
        const low = (load<u8>(p + 32 + <usize>((part >> 2) * 32 + k)) >> <u8>((part & 3) * 2)) & 3;
        const high = (load<u8>(p + <usize>k) >> <u8>part) & 1;
        store<u8>(out + <usize>k, low | (high << 2));
      }
      const d = half(p + 108);
      putPair(out, d * <f32>(threeScale(p + 96, part * 2) - 32), d * <f32>(threeScale(p + 96, part * 2 + 1) - 32), 0, 0);
      break;
    }
    case 7: { // q4_k: half d, half dmin, 12 bytes of 6-bit pairs, 128 bytes
      const p = row + (at >> 3) * 144;
      const q = p + 16 + <usize>(part >> 1) * 32;
      for (let i: usize = 0; i < 32; i += 16) {
        const v = v128.load(q + i);
        v128.store(out + i, v128.and(part & 1 ? i16x8.shr_u(v, 4) : v, i8x16.splat(15)));
      }
      put(out, half(p) * <f32>fourScale(p + 4, part), -half(p + 2) * <f32>fourMinimum(p + 4, part));
      break;
    }
    case 8: { // q5_k: half d, half dmin, 12 bytes of 6-bit pairs, 32 bytes of high bits, 128 bytes
      const p = row + (at >> 3) * 176;
      for (let k: usize = 0; k < 32; k++) {
        const low = (load<u8>(p + 48 + <usize>(part >> 1) * 32 + k) >> <u8>((part & 1) * 4)) & 15;
        store<u8>(out + k, low | (((load<u8>(p + 16 + k) >> <u8>part) & 1) << 4));
      }
      put(out, half(p) * <f32>fourScale(p + 4, part), -half(p + 2) * <f32>fourMinimum(p + 4, part));
      break;
    }
    case 9: { // q6_k: 128 bytes of low nibbles, 64 of high pairs, 16 signed scales, half d
      const p = row + (at >> 3) * 210;
      const side = <usize>(part >> 2);
      const quarter = part & 3;
      for (let k: usize = 0; k < 32; k++) {
        const low = (load<u8>(p + side * 64 + <usize>((quarter & 1) * 32) + k) >> <u8>((quarter >> 1) * 4)) & 15;
        const high = (load<u8>(p + 128 + side * 32 + k) >> <u8>(quarter * 2)) & 3;
        store<u8>(out + k, low | (high << 4));
      }
      const d = half(p + 208);
      const scales = p + 192 + <usize>(part * 2);
      putPair(out, d * <f32>load<i8>(scales), d * <f32>load<i8>(scales, 1), 0, 0);
      break;
    }
    case 10: { // iq4_nl: half d, 16 bytes of table indices
      nibbles(row + at * 18 + 2, out);
      put(out, half(row + at * 18), 0);
      break;
    }
    case 11: { // iq4_xs: half d, 16 bits of high scale pairs, 4 bytes of low scale nibbles, 128 bytes
      const p = row + (at >> 3) * 136;
      nibbles(p + 8 + <usize>part * 16, out);
      const low = (<i32>load<u8>(p + 4 + <usize>(part >> 1)) >> ((part & 1) * 4)) & 15;
      const high = (<i32>load<u16>(p + 2) >> (part * 2)) & 3;
      put(out, half(p) * <f32>((low | (high << 4)) - 32), 0);
      break;
    }
    default: { // mxfp4: exponent byte, 16 bytes of table indices
      nibbles(row + at * 17 + 1, out);
      put(out, reinterpret<f32>(<i32>load<u8>(row + at * 17) << 23), 0);
    }
  }
}

function fifthBits(source: usize, bits: u32, out: usize): void {
  nibbles(source, out);
  for (let k: u32 = 0; k < 32; k++) {
    const place = out + <usize>k;
    store<u8>(place, load<u8>(place) | <u8>(((bits >> k) & 1) << 4));
  }
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
