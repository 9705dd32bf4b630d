/** The functions of feed-forward blocks: a small closed set, which `activate` and `gated` share. */
import type { Roundoff } from '../rule.ts';

/**
 * - `silu`: x / (1 + e^-x)
 * - `gelu`: x · (1 + erf(x / √2)) / 2 (Hendrycks and Gimpel 2016)
 * - `gelu-tanh`: its approximation, x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2
 * - `relu`: max(x, 0)
 * - `relu-squared`: max(x, 0)² (So et al. 2021, Primer)
 */
export type Activation = 'silu' | 'gelu' | 'gelu-tanh' | 'relu' | 'relu-squared';

/**
 * What a gate does: f(gate) · up, or `swiglu-clamped` (gpt-oss): with g = min(gate, limit) and v = up kept within ±limit,
 * g / (1 + e^(-alpha · g)) · (v + 1).
 */
export type Gating =
  | { readonly activation: Activation }
  | { readonly activation: 'swiglu-clamped'; readonly alpha: number; readonly limit: number };

/**
 * Bound on the error of f(x). Where f is x times a share from 0 to 1, the share is off by an elementary function's error
 * and that of its argument, whose product with the share's slope is at most a quarter.
 */
export function activationBound(activation: Activation, x: number, { elementary, unit }: Roundoff): number {
  if (activation === 'relu') return 0;
  if (activation === 'relu-squared') return Math.max(x, 0) ** 2 * unit;
  return Math.abs(x) * (elementary + 8 * unit);
}
