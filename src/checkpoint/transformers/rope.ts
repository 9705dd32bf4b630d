/** Rotary embedding: the base, and how a longer context stretches it. */
import type { ModelConfig } from './config.ts';
import type { KeyRule, KeyValue } from './family.ts';
import { madeUp, type Rows } from './rows.ts';
import { rotatedSizeOf } from './sizes.ts';

/** transformers 5 gathers what belongs to the rotation in one object. */
const field = (name: string): readonly string[] => [
  `rope_parameters.full_attention.${name}`,
  `rope_parameters.${name}`,
  `rope_scaling.${name}`,
];

export function ropeBaseOf(config: ModelConfig): number | undefined {
  return config.number(['rope_theta', 'rotary_emb_base', ...field('rope_theta').slice(0, 2)]);
}

const scalingTypes = ['rope_type', 'type'].flatMap(field);

function scalingTypeOf(config: ModelConfig): string {
  return config.string(scalingTypes) ?? 'default';
}

/** Names of scalings here, by those of transformers. What is not listed is refused. */
const knownScalings: ReadonlyMap<string, 'linear' | 'yarn' | 'longrope' | undefined> = new Map([
  ['linear', 'linear'],
  ['yarn', 'yarn'],
  ['longrope', 'longrope'],
  ['su', 'longrope'],
  // A tensor of factors says it.
  ['llama3', undefined],
  // It changes nothing up to the length the model was trained for.
  ['dynamic', undefined],
  ['default', undefined],
]);

export function checkRopeScaling(config: ModelConfig): void {
  const type = scalingTypeOf(config);
  if (knownScalings.has(type)) return;
  config.refuse(
    scalingTypes,
    `is ${JSON.stringify(type.slice(0, 40))}; there are ${[...knownScalings.keys()].join(', ')}`,
  );
}

/** A field that counts for some scalings only. */
const scaled =
  (types: readonly string[], value: (config: ModelConfig) => KeyValue | undefined) =>
  (config: ModelConfig): KeyValue | undefined =>
    types.includes(scalingTypeOf(config)) ? value(config) : undefined;

const originalContext = [...field('original_max_position_embeddings'), 'original_max_position_embeddings'];

export const originalContextOf = (config: ModelConfig): number | undefined => config.number(originalContext);

export const ropeKeys: readonly KeyRule[] = [
  { key: 'rope.freq_base', type: 'float32', from: ropeBaseOf },
  {
    key: 'rope.dimension_count',
    type: 'uint32',
    from: (config) => (ropeBaseOf(config) === undefined ? undefined : rotatedSizeOf(config)),
  },
  { key: 'rope.scaling.type', type: 'string', from: (config) => knownScalings.get(scalingTypeOf(config)) },
  {
    key: 'rope.scaling.factor',
    type: 'float32',
    from: scaled(['linear', 'yarn'], (config) => config.number(field('factor'))),
  },
  {
    key: 'rope.scaling.original_context_length',
    type: 'uint32',
    from: scaled(['yarn', 'longrope', 'su'], (config) => config.number(originalContext)),
  },
  {
    key: 'rope.scaling.attn_factor',
    type: 'float32',
    from: scaled(['yarn'], yarnMagnitude),
  },
  {
    key: 'rope.scaling.yarn_beta_fast',
    type: 'float32',
    from: scaled(['yarn'], (config) => config.number(field('beta_fast'))),
  },
  {
    key: 'rope.scaling.yarn_beta_slow',
    type: 'float32',
    from: scaled(['yarn'], (config) => config.number(field('beta_slow'))),
  },
];

/**
 * transformers states the whole magnitude of queries and keys, GGUF what goes to 0.1 ln(factor) + 1 besides.
 */
function yarnMagnitude(config: ModelConfig): number | undefined {
  const stated = config.number([...field('attention_factor'), ...field('attn_factor')]);
  const factor = config.number(field('factor')) ?? 1;
  return stated === undefined ? undefined : stated / (0.1 * Math.log(Math.max(1, factor)) + 1);
}

/**
 * Llama 3's divisors of the frequencies, one for each pair: 1 for wavelengths below original / high, `factor` above
 * original / low, between them the reciprocal of a line in original / wavelength.
 */
export function llama3Factors(config: ModelConfig, rotatedSize: number): readonly Rows[] {
  if (scalingTypeOf(config) !== 'llama3') return [];
  const base = ropeBaseOf(config) ?? 10_000;
  const factor = config.number(field('factor')) ?? 8;
  const low = config.number(field('low_freq_factor')) ?? 1;
  const high = config.number(field('high_freq_factor')) ?? 4;
  const original = config.number(originalContext) ?? 8192;
  const factors = Float32Array.from({ length: rotatedSize / 2 }, (_, pair) => {
    const wavelength = 2 * Math.PI * base ** ((2 * pair) / rotatedSize);
    const turns = original / wavelength;
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
  return [madeUp('rope_freqs.weight', factors)];
}

/**
 * Divisors of longrope: one list for texts up to the original context, one for longer ones. Empty without them.
 */
export function longRopeFactors(config: ModelConfig, rotatedSize: number): readonly Rows[] {
  return (['long', 'short'] as const).flatMap((length) => {
    const names = field(`${length}_factor`);
    const factors = config.numbers(names);
    if (!factors) return [];
    if (factors.length !== rotatedSize / 2) {
      config.fail(names, `has ${factors.length} values for ${rotatedSize / 2} rotated pairs`);
    }
    return [madeUp(`rope_factors_${length}.weight`, Float32Array.from(factors))];
  });
}

/**
 * By how much longrope makes queries and keys grow (Ding et al. 2024): the root of 1 + ln(scale) / ln(original context), where
 * nothing else is stated.
 */
export function longRopeMagnitude(config: ModelConfig): number | undefined {
  const original = originalContextOf(config);
  if (knownScalings.get(scalingTypeOf(config)) !== 'longrope' || original === undefined) return undefined;
  const scale = (config.number('max_position_embeddings') ?? original) / original;
  const stated = config.number(field('attention_factor'));
  return stated ?? (scale > 1 ? Math.sqrt(1 + Math.log(scale) / Math.log(original)) : 1);
}
