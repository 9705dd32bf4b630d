/**
 * E0M4 as the 4-bit layout of devices. A code q becomes the half 1 + q/16 with two bit operations, `(q << 6) | 0x3C00`, and a
 * value is scale · (1 + q/16) + bias. Every 4-bit format of evenly spaced levels can be read so, codes unchanged:
 * origin + step · q has the scale 16 · step and the bias origin − scale, both kept as halves.
 */
import { floatFromHalf, halfFromFloat } from '../base/half.ts';

/** Codes, scales and biases of consecutive groups along K. */
export interface E0m4Groups {
  /** 16 bytes for every 32 values: byte j holds value j in its low and value j + 16 in its high four bits. */
  readonly codes: Uint8Array;
  /** Bits of a half for each group. */
  readonly scales: Uint16Array;
  /** The same. Not written where the reading states `biasPerScale`. */
  readonly biases: Uint16Array;
}

export interface E0m4Reading {
  /** Values that share scale and bias: 32, 64 or 128. A block of the format is one group or several. */
  readonly groupValues: number;
  /**
   * The symmetric member: the bias of every group is this number times its scale, and no biases need be kept. Absent where
   * groups have biases of their own, the affine member.
   */
  readonly biasPerScale?: number;
  /**
   * Reads `blockCount` blocks from `source[sourceOffset]` on as the groups from `firstGroup` on. Scales are rounded to
   * halves, at most 2^-11 of themselves; biases are then chosen so that the middle between codes 7 and 8 stays where it was,
   * and rounded likewise. So with d the step, a value moves by at most 7.5 d · 2^-11 + |bias| · 2^-11 (and 2^-24 where a
   * half is subnormal); that is, 0.02 d for a group around zero. The symmetric member is exact. A step above 4,094 gives a
   * scale that no half holds, an infinity.
   */
  read(
    source: Uint8Array,
    sourceOffset: number,
    blockCount: number,
    target: E0m4Groups,
    firstGroup: number,
  ): void;
}

/** Scale and bias of a group whose code q stands for origin + step · q. */
export function putAffineGroup(target: E0m4Groups, group: number, step: number, origin: number): void {
  const scaleBits = halfFromFloat(16 * step);
  const scale = floatFromHalf(scaleBits);
  target.scales[group] = scaleBits;
  target.biases[group] = halfFromFloat(origin + 7.5 * (step - scale / 16) - scale);
}
