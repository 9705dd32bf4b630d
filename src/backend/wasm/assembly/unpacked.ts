/** What the unpacking of every format is made of: where its results go, and pieces of blocks. */
import { halvesExact } from './simd';

/** Scratch of a record: codes of four rows, 32 bytes each, then sixteen float32 of each kind. */
export const SCALES: usize = 128; // of a block, or of its low half
export const HIGH_SCALES: usize = 192;
export const BIASES: usize = 256;
export const HIGH_BIASES: usize = 320;
export const SCRATCH_BYTES: usize = 384;

@inline
export function half(address: usize): f32 {
  return f32x4.extract_lane(halvesExact(v128.load16_splat(address)), 0);
}

@inline
export function put(place: usize, scale: f32, bias: f32): void {
  store<f32>(place, scale, SCALES);
  store<f32>(place, bias, BIASES);
}

@inline
export function putHalves(place: usize, scale: usize, bias: u32): void {
  store<u32>(place, load<u16>(scale), SCALES);
  store<u32>(place, bias, BIASES);
}

@inline
export function putPair(place: usize, low: f32, high: f32, lowBias: f32, highBias: f32): void {
  store<f32>(place, low, SCALES);
  store<f32>(place, high, HIGH_SCALES);
  store<f32>(place, lowBias, BIASES);
  store<f32>(place, highBias, HIGH_BIASES);
}

/** Sixteen bytes of nibbles: values 0…15 low, 16…31 high. */
export function nibbles(source: usize, out: usize): void {
  const q = v128.load(source);
  v128.store(out, v128.and(q, i8x16.splat(15)));
  v128.store(out, v128.and(i16x8.shr_u(q, 4), i8x16.splat(15)), 16);
}

/** Of sixteen bytes the bits from `shift` on that `mask` leaves. */
@inline
export function bitsOf(source: usize, shift: i32, mask: i8): v128 {
  return v128.and(i16x8.shr_u(v128.load(source), shift), i8x16.splat(mask));
}

/** Largest magnitude of two halves of every block: without the sign, halves have the order of their bits. */
export function largestHalf(
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
