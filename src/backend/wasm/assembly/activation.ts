/** The functions of feed-forward blocks, by their number in `activationNumbers` of `tape.ts`. */
import { exponential } from './simd';

export const SILU: i32 = 1;
const GELU: i32 = 2;
const GELU_TANH: i32 = 3;
const RELU: i32 = 4;
const RELU_SQUARED: i32 = 5;
const SWIGLU_CLAMPED: i32 = 6;

/** silu(x) = x / (1 + e^-x) */
@inline
export function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exponential(f32x4.neg(x))));
}

/** With 1 + tanh(u) = 2 / (1 + e^-2u): x / (1 + e^(-2 · √(2/π) · (x + 0.044715 x³))). */
function geluTanh(x: v128): v128 {
  const square = f32x4.mul(x, x);
  const stretch = f32x4.add(f32x4.splat(1), f32x4.mul(square, f32x4.splat(0.044715)));
  const argument = f32x4.mul(f32x4.mul(x, f32x4.splat(-1.5957691216057308)), stretch);
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exponential(argument)));
}

/**
 * x times the normal distribution's share below x. Its upper tail is half of a polynomial in t = 1 / (1 + p z) times e^-z²,
 * z = |x| / √2, within 7.5e-8 (Abramowitz and Stegun, 7.1.26).
 */
function gelu(x: v128): v128 {
  const z = f32x4.mul(f32x4.abs(x), f32x4.splat(0.7071067811865476));
  const one = f32x4.splat(1);
  const t = f32x4.div(one, f32x4.add(one, f32x4.mul(z, f32x4.splat(0.3275911))));
  let p = f32x4.add(f32x4.mul(t, f32x4.splat(1.061405429)), f32x4.splat(-1.453152027));
  p = f32x4.add(f32x4.mul(t, p), f32x4.splat(1.421413741));
  p = f32x4.add(f32x4.mul(t, p), f32x4.splat(-0.284496736));
  p = f32x4.add(f32x4.mul(t, p), f32x4.splat(0.254829592));
  const density = exponential(f32x4.neg(f32x4.mul(z, z)));
  const tail = f32x4.mul(f32x4.mul(f32x4.mul(t, p), density), f32x4.splat(0.5));
  const share = v128.bitselect(tail, f32x4.sub(one, tail), f32x4.lt(x, f32x4.splat(0)));
  return f32x4.mul(x, share);
}

export function activated(kind: i32, x: v128): v128 {
  switch (kind) {
    case GELU: return gelu(x);
    case GELU_TANH: return geluTanh(x);
    case RELU: return f32x4.pmax(x, f32x4.splat(0));
    case RELU_SQUARED: {
      const positive = f32x4.pmax(x, f32x4.splat(0));
      return f32x4.mul(positive, positive);
    }
    default: return silu(x);
  }
}

/** `alpha` and `limit` are those of the clamped gate. */
export function gated(kind: i32, gate: v128, up: v128, alpha: f32, limit: f32): v128 {
  if (kind != SWIGLU_CLAMPED) return f32x4.mul(activated(kind, gate), up);
  const most = f32x4.splat(limit);
  const g = f32x4.pmin(gate, most);
  const v = f32x4.pmax(f32x4.pmin(up, most), f32x4.neg(most));
  const one = f32x4.splat(1);
  const share = f32x4.add(one, exponential(f32x4.mul(g, f32x4.splat(-alpha))));
  return f32x4.mul(f32x4.div(g, share), f32x4.add(v, one));
}
