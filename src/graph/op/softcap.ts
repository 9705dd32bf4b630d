/** y = limit · tanh(x / limit): keeps values within ±limit and leaves small ones as they are (Gemma 2). */
import { type OpRule, operandOf, type Roundoff } from '../rule.ts';

export interface Softcap {
  readonly op: 'softcap';
  readonly limit: number;
}

export const softcap: OpRule<Softcap> = {
  op: 'softcap',
  readsStep: false,
  inPlace: 0,
  infer: (_, operands) => operandOf(operands, 0, 'softcap'),
  errorBound: ({ result, roundoff }) => result.map((value) => Math.abs(value) * softcapShare(roundoff)),
};

/** Relative error: a hyperbolic tangent from one exponential, and what its argument and the product round. */
export function softcapShare({ elementary, unit }: Roundoff): number {
  return 2 * elementary + 8 * unit;
}
