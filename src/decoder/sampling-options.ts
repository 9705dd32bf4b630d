/** Sampling options checked and completed with their defaults. */
import { NearfieldError } from '../base/error.ts';
import { checkSeed, freshSeed } from '../base/random.ts';
import type { SamplingOptions } from '../decoder.ts';

export type Sampling = Required<SamplingOptions>;

/** Throws `bad-argument` for a value outside its range, and for a biased id that the vocabulary does not have. */
export function resolveSampling(options: SamplingOptions, vocabularySize: number): Sampling {
  const sampling: Sampling = {
    temperature: options.temperature ?? 0,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    minP: options.minP ?? 0,
    repetitionPenalty: options.repetitionPenalty ?? 1,
    frequencyPenalty: options.frequencyPenalty ?? 0,
    presencePenalty: options.presencePenalty ?? 0,
    penaltyWindow: options.penaltyWindow ?? 64,
    logitBias: options.logitBias ?? new Map(),
    seed: checkSeed(options.seed ?? freshSeed()),
  };
  const { topK, topP, minP, penaltyWindow } = sampling;
  expect('temperature', sampling.temperature, sampling.temperature >= 0, '0 or more');
  expect('topK', topK, Number.isInteger(topK) && topK >= 0, 'an integer, 0 (off) or more');
  expect('topP', topP, topP >= 0 && topP <= 1, 'from 0 to 1 (off)');
  expect('minP', minP, minP >= 0 && minP <= 1, 'from 0 (off) to 1');
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
  expect('repetitionPenalty', repetitionPenalty, repetitionPenalty > 0, 'above 0 (1 is off)');
  expect('frequencyPenalty', frequencyPenalty, true, 'a number');
  expect('presencePenalty', presencePenalty, true, 'a number');
  const isWindow = Number.isInteger(penaltyWindow) && penaltyWindow >= -1;
  expect('penaltyWindow', penaltyWindow, isWindow, 'an integer, -1 (all) or more');
  for (const [id, bias] of sampling.logitBias) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      throw new NearfieldError(
        'bad-argument',
        `logitBias names token ${id}; this vocabulary has 0 to ${vocabularySize - 1}`,
      );
    }
    if (bias !== Number.NEGATIVE_INFINITY) expect(`logitBias of token ${id}`, bias, true, 'a number');
  }
  return sampling;
}

function expect(name: string, value: number, isInRange: boolean, range: string): void {
  if (isInRange && Number.isFinite(value)) return;
  throw new NearfieldError('bad-argument', `${name} is ${value}; it must be ${range}`);
}
