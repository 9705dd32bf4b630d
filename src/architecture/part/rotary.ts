/** Frequencies of rotary position embedding, with whatever scaling stretches them to a longer context. */
import { NearfieldError } from '../../base/error.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import { decodeRow } from '../../format.ts';
import type { Operation } from '../../graph.ts';
import { ConfigurationReader, type DecoderConfiguration } from './configuration.ts';

/** What the operation `rope` needs besides the shape of the heads. */
export type Rotary = Pick<Extract<Operation, { op: 'rope' }>, 'frequencies' | 'magnitude'>;

/** Divisors of the frequencies, one per pair. */
export const rotaryFactorsTensor = 'rope_freqs.weight';

/**
 * Pair i of `rope.dimension_count` rotated values turns by base^(-2i/n) per position, divided by its entry of
 * `rope_freqs.weight` where the checkpoint has that tensor (llama3), then scaled as `rope.scaling.type` says.
 */
export async function readRotary(
  checkpoint: Checkpoint,
  { keySize, contextLength }: DecoderConfiguration,
  signal?: AbortSignal,
): Promise<Rotary> {
  const reader = new ConfigurationReader(checkpoint.metadata);
  const rotatedSize = reader.count('rope.dimension_count', { fallback: keySize, most: keySize });
  if (rotatedSize % 2 !== 0) {
    reader.fail('rope.dimension_count', `the ${rotatedSize} rotated values of a head should be even`);
  }
  const base = reader.above(1, 'rope.freq_base', 10_000);
  const factors = await readFactors(checkpoint, rotatedSize / 2, signal);
  const unscaled = Array.from(factors, (factor, pair) => base ** ((-2 * pair) / rotatedSize) / factor);
  const attentionFactor = reader.above(0, 'rope.scaling.attn_factor', 1);
  const type = reader.string('rope.scaling.type', 'linear');
  const factor = readScalingFactor(reader);
  if (type === 'none') return { frequencies: unscaled, magnitude: attentionFactor };
  if (type === 'linear') {
    return { frequencies: unscaled.map((frequency) => frequency / factor), magnitude: attentionFactor };
  }
  if (type === 'yarn') {
    const yarn = scaleYarn(unscaled, {
      base,
      factor,
      originalContextLength: reader.count('rope.scaling.original_context_length', {
        fallback: contextLength,
      }),
      betaFast: reader.above(0, 'rope.scaling.yarn_beta_fast', 32),
      betaSlow: reader.above(0, 'rope.scaling.yarn_beta_slow', 1),
    });
    return { frequencies: yarn.frequencies, magnitude: attentionFactor * yarn.magnitude };
  }
  throw new NearfieldError(
    'unsupported',
    `Rope scaling ${JSON.stringify(type.slice(0, 40))} of ${checkpoint.name} is not supported; there are none, linear and yarn`,
  );
}

export interface YarnScaling {
  readonly base: number;
  /** How many times longer than `originalContextLength` the context becomes. */
  readonly factor: number;
  readonly originalContextLength: number;
  /** Turns over the original context at and above which a pair keeps its frequency; at and below which it is divided. */
  readonly betaFast: number;
  readonly betaSlow: number;
}

/**
 * YaRN (Peng et al. 2023, sections 3.2 and 3.4): a pair that turns often keeps its frequency, one that turns less than
 * once is interpolated, with a linear ramp over the pairs between; queries and keys grow by 0.1 ln(factor) + 1 each. The
 * ramp's ends are whole pairs and its length is at least 0.001, as in llama.cpp.
 */
export function scaleYarn(frequencies: readonly number[], scaling: YarnScaling): Rotary {
  const { base, factor, originalContextLength, betaFast, betaSlow } = scaling;
  const rotatedSize = 2 * frequencies.length;
  const pairThatTurns = (turns: number) =>
    (rotatedSize * Math.log(originalContextLength / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const first = Math.max(0, Math.floor(pairThatTurns(betaFast)));
  const last = Math.min(rotatedSize - 1, Math.ceil(pairThatTurns(betaSlow)));
  const scaled = frequencies.map((frequency, pair) => {
    const interpolated = Math.min(1, Math.max(0, (pair - first) / Math.max(0.001, last - first)));
    return frequency * (1 - interpolated + interpolated / factor);
  });
  return { frequencies: scaled, magnitude: factor > 1 ? 0.1 * Math.log(factor) + 1 : 1 };
}

/** Older files name the factor `rope.scale_linear`; 0 stands for none. */
function readScalingFactor(reader: ConfigurationReader): number {
  const key = reader.has('rope.scaling.factor') ? 'rope.scaling.factor' : 'rope.scale_linear';
  return reader.number(key, 1) === 0 ? 1 : reader.above(0, key, 1);
}

async function readFactors(
  checkpoint: Checkpoint,
  pairCount: number,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const factors = new Float64Array(pairCount).fill(1);
  const entry = checkpoint.tensors.get(rotaryFactorsTensor);
  if (!entry) return factors;
  if (entry.shape.length !== 1 || entry.shape[0] !== pairCount) {
    throw new NearfieldError(
      'bad-file',
      `Tensor ${rotaryFactorsTensor} has shape [${entry.shape.join(', ')}] instead of [${pairCount}]: the file is damaged or badly converted`,
    );
  }
  const bytes = new Uint8Array(entry.byteLength);
  await checkpoint.read(entry, 0, bytes, signal);
  decodeRow(entry.format, bytes, 0, factors, 0, pairCount);
  if (!factors.every((factor) => factor > 0 && Number.isFinite(factor))) {
    throw new NearfieldError('bad-file', `Tensor ${rotaryFactorsTensor} holds a factor that is not above 0`);
  }
  return factors;
}
