/** What a speed asks of a device, beside what the device does at best. */
import type { MachineRates } from '../../src/backend.ts';
import { bytesPerToken, type TokenCost } from '../../src/plan.ts';
import type { SpeedResult } from './model-speed.ts';

export interface DeviceUse {
  /** Decoding: of weights and of cached rows that a token reads, in the mean. */
  readonly bytesPerToken?: number;
  /** A prompt: multiplications and additions of a row's products with weights; attention is not among them. */
  readonly operationsPerToken?: number;
  /** Of the measured copy, in decoding; of the measured arithmetic, and of the plain product, in a prompt. */
  readonly copyShare?: number;
  readonly arithmeticShare?: number;
  readonly productShare?: number;
  /** Time per dispatch, whatever it computes. */
  readonly dispatchUs?: number;
}

export function deviceUse(speed: SpeedResult, cost: TokenCost, rates: MachineRates): DeviceUse {
  const { kind, median, work } = speed;
  const dispatchUs = work && work.dispatches > 0 ? { dispatchUs: 1e6 / (median * work.dispatches) } : {};
  if (kind === 'prompt') {
    const { rowOperations } = cost;
    const perSecond = rowOperations * median;
    return {
      operationsPerToken: rowOperations,
      arithmeticShare: perSecond / rates.operationsPerSecond,
      productShare: perSecond / rates.product.operationsPerSecond,
      ...dispatchUs,
    };
  }
  const bytes = meanBytes(speed, cost);
  return { bytesPerToken: bytes, copyShare: (bytes * median) / rates.copyBytesPerSecond, ...dispatchUs };
}

/** The first token sees the rows before it and its own. */
function meanBytes({ depth, tokens }: SpeedResult, cost: TokenCost): number {
  let sum = 0;
  for (let token = 1; token <= tokens; token++) sum += bytesPerToken(cost, depth + token);
  return sum / Math.max(1, tokens);
}
