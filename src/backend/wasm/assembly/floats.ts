/**
 * Matrices of float32, float16 and bfloat16: groups of 16 rows, [K, 16] within a group. A result adds its K products in
 * order, whatever tile computes it.
 */
import { bfloats, halvesExact, multiplyAdd } from './simd';

/** Bytes of 16 weights: by kind 0 float32, 1 float16, 2 bfloat16. */
@inline
export function floatBytes(kind: i32): usize {
  return kind == 0 ? 64 : 32;
}

@inline
function weights(kind: i32, w: usize, quad: usize): v128 {
  if (kind == 0) return v128.load(w + quad * 16);
  const bits = v128.load64_zero(w + quad * 8);
  return kind == 1 ? halvesExact(bits) : bfloats(bits);
}

/** 1 row × 16 columns; `size` values along K. */
@inline
function one(kind: i32, w: usize, x: usize, size: i32, out: usize): void {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  for (let k: i32 = 0; k < size; k++) {
    const s = v128.load32_splat(x);
    a = multiplyAdd(weights(kind, w, 0), s, a);
    b = multiplyAdd(weights(kind, w, 1), s, b);
    c = multiplyAdd(weights(kind, w, 2), s, c);
    d = multiplyAdd(weights(kind, w, 3), s, d);
    x += 4;
    w += floatBytes(kind);
  }
  v128.store(out, a);
  v128.store(out, b, 16);
  v128.store(out, c, 32);
  v128.store(out, d, 48);
}

/** 4 rows, whose addresses are at `x`, × 8 columns, of quads `quad` and `quad + 1`. */
@inline
function four(kind: i32, w: usize, quad: usize, x: usize, size: i32, out: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  let xa = <usize>load<u32>(x);
  let xb = <usize>load<u32>(x, 4);
  let xc = <usize>load<u32>(x, 8);
  let xd = <usize>load<u32>(x, 12);
  w += quad * (floatBytes(kind) >> 2);
  for (let k: i32 = 0; k < size; k++) {
    const w0 = weights(kind, w, 0);
    const w1 = weights(kind, w, 1);
    const sa = v128.load32_splat(xa);
    a0 = multiplyAdd(w0, sa, a0);
    a1 = multiplyAdd(w1, sa, a1);
    const sb = v128.load32_splat(xb);
    b0 = multiplyAdd(w0, sb, b0);
    b1 = multiplyAdd(w1, sb, b1);
    const sc = v128.load32_splat(xc);
    c0 = multiplyAdd(w0, sc, c0);
    c1 = multiplyAdd(w1, sc, c1);
    const sd = v128.load32_splat(xd);
    d0 = multiplyAdd(w0, sd, d0);
    d1 = multiplyAdd(w1, sd, d1);
    xa += 4;
    xb += 4;
    xc += 4;
    xd += 4;
    w += floatBytes(kind);
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 64);
  v128.store(out, b1, 80);
  v128.store(out, c0, 128);
  v128.store(out, c1, 144);
  v128.store(out, d0, 192);
  v128.store(out, d1, 208);
}

/** `x`: the row. */
export function floatTile1(kind: i32, w: usize, x: usize, size: i32, out: usize): void {
  if (kind == 0) one(0, w, x, size, out);
  else if (kind == 1) one(1, w, x, size, out);
  else one(2, w, x, size, out);
}

export function floatTile4(kind: i32, w: usize, quad: usize, x: usize, size: i32, out: usize): void {
  if (kind == 0) four(0, w, quad, x, size, out);
  else if (kind == 1) four(1, w, quad, x, size, out);
  else four(2, w, quad, x, size, out);
}
