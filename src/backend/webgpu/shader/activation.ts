/** WGSL of the functions that gates and activations apply, and of the hyperbolic tangent that caps use. */
import type { Activation, Gating } from '../../../graph.ts';
import { floatBits } from './kernel.ts';

/** A float32 constant, exact. */
export const literal = (value: number): string => `bitcast<f32>(${floatBits(value)}u)`;

/** `fn hyperbolicTangent(x)`, of small relative error also near 0: a series there, else by one exponential. */
export const hyperbolicTangent = `
fn hyperbolicTangent(x: f32) -> f32 {
  let square = x * x;
  let near = x * (1.0 + square * (-0.33333334 + square * (0.13333334 + square * (-0.053968254 + square * 0.021869488))));
  let power = exp(2.0 * min(abs(x), 20.0));
  return select(sign(x) * (power - 1.0) / (power + 1.0), near, abs(x) < 0.25);
}`;

/** erf to 1.5e-7: Abramowitz and Stegun, 7.1.26. */
const errorFunction = `
fn errorFunction(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * abs(x));
  let sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(x) * (1.0 - sum * exp(-min(x * x, 80.0)));
}`;

const sigmoidTimes = (x: string, factor: string): string => `${x} / (1.0 + exp(min(-${factor}${x}, 80.0)))`;

const bodies: { readonly [Name in Activation]: string } = {
  silu: `return ${sigmoidTimes('x', '')};`,
  gelu: 'return x * (1.0 + errorFunction(x * 0.70710678)) * 0.5;',
  'gelu-tanh': 'return x * (1.0 + hyperbolicTangent(0.7978845608 * (x + 0.044715 * x * x * x))) * 0.5;',
  relu: 'return max(x, 0.0);',
  'relu-squared': 'let y = max(x, 0.0); return y * y;',
};

/** `fn activated(x)`. */
export const activationText = (activation: Activation): string =>
  `${hyperbolicTangent}${errorFunction}\nfn activated(x: f32) -> f32 { ${bodies[activation]} }`;

/** `fn gateOf(gate, up)`. */
export function gatingText(gating: Gating): string {
  if (gating.activation !== 'swiglu-clamped') {
    return `${activationText(gating.activation)}\nfn gateOf(gate: f32, up: f32) -> f32 { return activated(gate) * up; }`;
  }
  const { alpha, limit } = gating;
  return `fn gateOf(gate: f32, up: f32) -> f32 {
  let g = min(gate, ${literal(limit)});
  let v = clamp(up, -${literal(limit)}, ${literal(limit)});
  return ${sigmoidTimes('g', `${literal(alpha)} * `)} * (v + 1.0);
}`;
}

export const gatingKey = (gating: Gating): string => Object.values(gating).join(' ');
