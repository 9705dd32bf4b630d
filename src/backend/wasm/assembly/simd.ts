/** Vector pieces with a relaxed and a plain form, chosen by the features the module is compiled for. */

/** Sums of two neighbouring products, a (signed) · b (0…127), in 16 bits. */
@inline
export function dotPairs(a: v128, b: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(a, b);
  const low = i16x8.extmul_low_i8x16_s(a, b);
  const high = i16x8.extmul_high_i8x16_s(a, b);
  const even = i8x16.shuffle(low, high, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29);
  const odd = i8x16.shuffle(low, high, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  return i16x8.add(even, odd);
}

/** The same as `dot`, b at most 127, by products of two. */
@inline
export function dotByPairs(a: v128, b: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.extadd_pairwise_i16x8_s(dotPairs(a, b)));
}

/** Σ over four bytes per lane of a (signed) · b (0…127), added to `sum`; b up to 255 where `dotTakesBytes` says so. */
@inline
export function dot(a: v128, b: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, sum);
  return dotByPairs(a, b, sum);
}

/** Sums of neighbours of int32: a0 + a1, a2 + a3, b0 + b1, b2 + b3. */
@inline
export function addNeighbours(a: v128, b: v128): v128 {
  const even = i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  const odd = i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  return i32x4.add(even, odd);
}

/** a · b + c, fused where the machine fuses; the same choice everywhere in one process. */
@inline
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * Four halves in the low 64 bits to float32 times 2^-112: the exponent is not rebased, callers make up for it. `keep` is
 * 0x8fffe000 in every lane.
 */
@inline
export function halves(bits: v128, keep: v128): v128 {
  return widened(i32x4.extend_low_i16x8_s(bits), keep);
}

/** The same of halves that are sign-extended to 32 bits. */
@inline
export function widened(bits: v128, keep: v128): v128 {
  return v128.and(i32x4.shl(bits, 13), keep);
}

/** Four exponent bytes in the low 32 bits to 2^(e - 127); 0 stands for 0. */
@inline
export function exponents(bits: v128): v128 {
  return i32x4.shl(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bits)), 23);
}

/** Four halves in the low 64 bits to float32, exact for every half; no subnormal operand ever meets the multiplier. */
@inline
export function halvesExact(bits: v128): v128 {
  const wide = i32x4.extend_low_i16x8_u(bits);
  const sign = i32x4.shl(v128.and(wide, i32x4.splat(0x8000)), 16);
  const body = i32x4.shl(v128.and(wide, i32x4.splat(0x7fff)), 13);
  const small = i32x4.lt_s(body, i32x4.splat(1 << 23));
  const large = i32x4.ge_s(body, i32x4.splat(0x7c00 << 13));
  const normal = i32x4.add(i32x4.add(body, i32x4.splat(112 << 23)), v128.and(large, i32x4.splat(112 << 23)));
  const subnormal = f32x4.sub(i32x4.add(body, i32x4.splat(113 << 23)), f32x4.splat(6.103515625e-5));
  return v128.or(sign, v128.bitselect(subnormal, normal, small));
}

/** Four bfloat16 in the low 64 bits to float32. */
@inline
export function bfloats(bits: v128): v128 {
  return i32x4.shl(i32x4.extend_low_i16x8_u(bits), 16);
}

/** Sum of the four lanes in a fixed order. */
@inline
export function sumLanes(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** Four copies of each: loaded where they are used, since V8 rebuilds literals from general registers every time. */
const EXPONENTIAL: usize = memory.data<f32>([
  88, 88, 88, 88, -87.5, -87.5, -87.5, -87.5,
  1.4426950408889634, 1.4426950408889634, 1.4426950408889634, 1.4426950408889634,
  0.693359375, 0.693359375, 0.693359375, 0.693359375,
  -2.1219444e-4, -2.1219444e-4, -2.1219444e-4, -2.1219444e-4,
  1.984126984e-4, 1.984126984e-4, 1.984126984e-4, 1.984126984e-4,
  1.388888889e-3, 1.388888889e-3, 1.388888889e-3, 1.388888889e-3,
  8.333333333e-3, 8.333333333e-3, 8.333333333e-3, 8.333333333e-3,
  4.166666667e-2, 4.166666667e-2, 4.166666667e-2, 4.166666667e-2,
  0.1666666667, 0.1666666667, 0.1666666667, 0.1666666667,
  0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1,
], 16);

/**
 * e^x for x ≤ 88 with a relative error below 2e-7: x = n·ln 2 + r, a polynomial of degree 7 in r (Taylor coefficients,
 * |r| ≤ 0.35), times 2^n; ln 2 in two parts (Cody and Waite). Below −87.5 the result is 0.
 */
@inline
export function exponential(x: v128): v128 {
  const lowest = v128.load(EXPONENTIAL, 16);
  const clamped = f32x4.pmax(f32x4.pmin(x, v128.load(EXPONENTIAL)), lowest);
  const n = f32x4.nearest(f32x4.mul(clamped, v128.load(EXPONENTIAL, 32)));
  let r = f32x4.sub(clamped, f32x4.mul(n, v128.load(EXPONENTIAL, 48)));
  r = f32x4.sub(r, f32x4.mul(n, v128.load(EXPONENTIAL, 64)));
  const one = v128.load(EXPONENTIAL, 176);
  let p = v128.load(EXPONENTIAL, 80);
  p = multiplyAdd(p, r, v128.load(EXPONENTIAL, 96));
  p = multiplyAdd(p, r, v128.load(EXPONENTIAL, 112));
  p = multiplyAdd(p, r, v128.load(EXPONENTIAL, 128));
  p = multiplyAdd(p, r, v128.load(EXPONENTIAL, 144));
  p = multiplyAdd(p, r, v128.load(EXPONENTIAL, 160));
  p = multiplyAdd(p, r, one);
  p = multiplyAdd(p, r, one);
  // The bits of 1 are 127 in the exponent's place.
  const power = i32x4.add(i32x4.shl(i32x4.trunc_sat_f32x4_s(n), 23), one);
  return v128.and(f32x4.mul(p, power), f32x4.gt(x, lowest));
}

/** 62/2835, −17/315, 2/15, −1/3: tanh x = x − x³/3 + 2x⁵/15 − 17x⁷/315 + 62x⁹/2835 − …, within 4e-8 for |x| ≤ 1/4. */
const TANH: usize = memory.data<f32>([
  2.1869488536155203e-2, 2.1869488536155203e-2, 2.1869488536155203e-2, 2.1869488536155203e-2,
  -5.396825396825397e-2, -5.396825396825397e-2, -5.396825396825397e-2, -5.396825396825397e-2,
  0.13333333333333333, 0.13333333333333333, 0.13333333333333333, 0.13333333333333333,
  -0.3333333333333333, -0.3333333333333333, -0.3333333333333333, -0.3333333333333333,
  0.25, 0.25, 0.25, 0.25, 1, 1, 1, 1, 2, 2, 2, 2,
], 16);

/** tanh x with a relative error below 6e-7: the series where x is small, else 1 − 2 / (e^2x + 1). */
export function hyperbolicTangent(x: v128): v128 {
  const square = f32x4.mul(x, x);
  let p = v128.load(TANH);
  p = multiplyAdd(p, square, v128.load(TANH, 16));
  p = multiplyAdd(p, square, v128.load(TANH, 32));
  p = multiplyAdd(p, square, v128.load(TANH, 48));
  const small = multiplyAdd(f32x4.mul(x, square), p, x);
  const one = v128.load(TANH, 80);
  const two = v128.load(TANH, 96);
  const large = f32x4.sub(one, f32x4.div(two, f32x4.add(exponential(f32x4.mul(x, two)), one)));
  return v128.bitselect(large, small, f32x4.gt(f32x4.abs(x), v128.load(TANH, 64)));
}

/** Largest finite half, 2^-112, one less than half of the bits that fall away, one, and the sign bit: four copies each. */
const HALVES: usize = memory.data<u32>([
  0x477fe000, 0x477fe000, 0x477fe000, 0x477fe000, 0x07800000, 0x07800000, 0x07800000, 0x07800000,
  0xfff, 0xfff, 0xfff, 0xfff, 1, 1, 1, 1, 0x8000, 0x8000, 0x8000, 0x8000,
], 16);

/** Four float32 to the nearest halves (ties to even, subnormal ones included, finite ones stay finite), in the low 64 bits. */
@inline
export function halvesOf(x: v128): v128 {
  const bits = f32x4.mul(f32x4.pmin(f32x4.abs(x), v128.load(HALVES)), v128.load(HALVES, 16));
  const odd = v128.and(i32x4.shr_u(bits, 13), v128.load(HALVES, 48));
  const body = i32x4.shr_u(i32x4.add(i32x4.add(bits, v128.load(HALVES, 32)), odd), 13);
  const half = v128.or(body, v128.and(i32x4.shr_u(x, 16), v128.load(HALVES, 64)));
  return i8x16.shuffle(half, half, 0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13);
}

/** Zeros a multiple of 16 bytes. A loop: V8 calls out for `memory.fill`, which costs more than short ranges take. */
export function clear(target: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(target + i, i32x4.splat(0));
}

/** Copies a multiple of 16 bytes. */
export function copy(target: usize, source: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(target + i, v128.load(source + i));
}
