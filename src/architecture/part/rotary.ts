/** Frequencies of rotary position embedding, with whatever scaling stretches them to a longer context. */
import { NearfieldError } from '../../base/error.ts';
import type { Checkpoint } from '../../checkpoint.ts';
import { decodeRow } from '../../format.ts';
import type { Operation } from '../../graph.ts';
import type { ConfigurationReader, DecoderConfiguration } from './configuration.ts';

/** What the operation `rope` needs besides the shape of the heads. */
export type Rotary = Pick<Extract<Operation, { op: 'rope' }>, 'frequencies' | 'magnitude'>;

/** Divisors of the frequencies, one per pair: for any context, or for one longer or not longer than the original. */
const factorTensors = {
  any: 'rope_freqs.weight',
  long: 'rope_factors_long.weight',
  short: 'rope_factors_short.weight',
} as const;

/** Tensors that are read here and belong to no node. */
export const rotaryTensors: readonly string[] = Object.values(factorTensors);

/** The rotations of a model's layers, for a context of so many rows. */
export interface Rotaries {
  scaled(contextLength: number): Rotary;
  /** Of layers with a window: another base, no scaling. */
  local(contextLength: number): Rotary;
  none(contextLength: number): undefined;
}

/**
 * Pair i of `rope.dimension_count` rotated values turns by base^(-2i/n) per position, divided by its entry of a tensor of
 * factors where the checkpoint has one (llama3, longrope), then scaled as `rope.scaling.type` says. Of a long and a short
 * set of factors the long one is for contexts beyond `rope.scaling.original_context_length`.
 */
export async function readRotaries(
  checkpoint: Checkpoint,
  reader: ConfigurationReader,
  { keySize, contextLength }: DecoderConfiguration,
  localBase: number | undefined,
  signal?: AbortSignal,
): Promise<Rotaries> {
  const rotatedSize = reader.count('rope.dimension_count', { fallback: keySize, most: keySize });
  if (rotatedSize % 2 !== 0) {
    reader.fail('rope.dimension_count', `the ${rotatedSize} rotated values of a head should be even`);
  }
  const base = reader.above(1, 'rope.freq_base', 10_000);
  const plain = (ofBase: number) =>
    Array.from({ length: rotatedSize / 2 }, (_, pair) => ofBase ** ((-2 * pair) / rotatedSize));
  const originalContextLength = reader.count('rope.scaling.original_context_length', {
    fallback: contextLength,
  });
  const factorsOf = (tensor: string) => readFactors(checkpoint, tensor, rotatedSize / 2, signal);
  const any = await factorsOf(factorTensors.any);
  const long = any ?? (await factorsOf(factorTensors.long));
  const short = any ?? (await factorsOf(factorTensors.short));
  const scale = readScaling(checkpoint, reader, base, originalContextLength);
  const divided = (factors: Float64Array | undefined): Rotary =>
    scale(plain(base).map((frequency, pair) => frequency / (factors?.[pair] ?? 1)));
  const [forLong, forShort] = [divided(long), divided(short)];
  const local = {
    frequencies: plain(reader.above(1, 'rope.freq_base_swa', localBase ?? base)),
    magnitude: 1,
  };
  return {
    scaled: (rows) => (rows > originalContextLength ? forLong : forShort),
    local: () => local,
    none: () => undefined,
  };
}

/** What `rope.scaling` makes of frequencies. */
function readScaling(
  checkpoint: Checkpoint,
  reader: ConfigurationReader,
  base: number,
  originalContextLength: number,
): (frequencies: readonly number[]) => Rotary {
  const magnitude = reader.above(0, 'rope.scaling.attn_factor', 1);
  const type = reader.string('rope.scaling.type', 'linear');
  const factor = readScalingFactor(reader);
  // The factors of `longrope` are a tensor's, and its magnitude is stated.
  if (type === 'none' || type === 'longrope') return (frequencies) => ({ frequencies, magnitude });
  if (type === 'linear') {
    return (unscaled) => ({ frequencies: unscaled.map((frequency) => frequency / factor), magnitude });
  }
  if (type === 'yarn') {
    const betaFast = reader.above(0, 'rope.scaling.yarn_beta_fast', 32);
    const betaSlow = reader.above(0, 'rope.scaling.yarn_beta_slow', 1);
    return (unscaled) => {
      const yarn = scaleYarn(unscaled, { base, factor, originalContextLength, betaFast, betaSlow });
      return { frequencies: yarn.frequencies, magnitude: magnitude * yarn.magnitude };
    };
  }
  throw new NearfieldError(
    'unsupported',
    `Rope scaling ${JSON.stringify(type.slice(0, 40))} of ${checkpoint.name} is not supported; there are none, linear, longrope and yarn`,
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

/** Undefined where the checkpoint has no such tensor. */
async function readFactors(
  checkpoint: Checkpoint,
  tensor: string,
  pairCount: number,
  signal: AbortSignal | undefined,
): Promise<Float64Array | undefined> {
  const entry = checkpoint.tensors.get(tensor);
  if (!entry) return undefined;
  if (entry.shape.length !== 1 || entry.shape[0] !== pairCount) {
    throw new NearfieldError(
      'bad-file',
      `Tensor ${tensor} has shape [${entry.shape.join(', ')}] instead of [${pairCount}]: the file is damaged or badly converted`,
    );
  }
  const factors = new Float64Array(pairCount);
  const bytes = new Uint8Array(entry.byteLength);
  await checkpoint.read(entry, 0, bytes, signal);
  decodeRow(entry.format, bytes, 0, factors, 0, pairCount);
  if (!factors.every((factor) => factor > 0 && Number.isFinite(factor))) {
    throw new NearfieldError('bad-file', `Tensor ${tensor} holds a factor that is not above 0`);
  }
  return factors;
}
