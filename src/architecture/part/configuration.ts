/** The numbers that shape a decoder, read from metadata and checked before anything is built with them. */
import { NearfieldError } from '../../base/error.ts';
import type { Checkpoint, Metadata } from '../../checkpoint.ts';

export interface DecoderConfiguration {
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly feedForwardSize: number;
  readonly headCount: number;
  /** Divides `headCount`. */
  readonly keyValueHeadCount: number;
  /** Values per head of a query and a key; of a value. */
  readonly keySize: number;
  readonly valueSize: number;
  readonly vocabularySize: number;
  /** Positions the model was trained for. */
  readonly contextLength: number;
  readonly normEpsilon: number;
  /** Rows an attention sees at most, its own among them. */
  readonly slidingWindow: number | undefined;
  /** Whether a layer has that window, or one layer in how many has not; undefined where the file leaves it to the family. */
  readonly slidingPattern: readonly boolean[] | number | undefined;
  /** False in files of models without positions. */
  readonly ropeFinetuned: boolean;
}

/** Reads numbers of one architecture's section of the metadata: the key `block_count` stands for `llama.block_count`. */
export class ConfigurationReader {
  readonly architecture: string;
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.architecture = metadata.string('general.architecture');
    this.#metadata = metadata;
  }

  has(key: string): boolean {
    return this.#metadata.has(this.#full(key));
  }

  /** An integer from `least` to `most`. */
  count(key: string, options: { fallback?: number; least?: number; most?: number } = {}): number {
    const { fallback, least = 1, most = 2 ** 31 - 1 } = options;
    const value = this.number(key, fallback);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    return this.fail(key, `should be a whole number from ${least} to ${most}`);
  }

  number(key: string, fallback?: number): number {
    return this.#metadata.number(this.#full(key), fallback);
  }

  /** A number greater than `limit`. */
  above(limit: number, key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    return value > limit ? value : this.fail(key, `should be greater than ${limit}`);
  }

  flag(key: string, fallback?: boolean): boolean {
    return this.#metadata.boolean(this.#full(key), fallback);
  }

  /** A finite number but 0, which stands for none. */
  factor(key: string): number | undefined {
    const value = this.number(key, 0);
    return value === 0 ? undefined : value;
  }

  string(key: string, fallback?: string): string {
    return this.#metadata.string(this.#full(key), fallback);
  }

  /** A period, or a truth value for each layer; undefined where the key is absent. */
  pattern(key: string): readonly boolean[] | number | undefined {
    const value = this.#metadata.entries.get(this.#full(key));
    if (value === undefined) return undefined;
    if (typeof value !== 'object') return this.count(key, { least: 0 });
    return Array.from(value as ArrayLike<unknown>, (item) => item === true || item === 1);
  }

  /** Throws `bad-file` about a key whose value is at fault, or is missing where its default does not serve. */
  fail(key: string, complaint: string): never {
    const name = this.#full(key);
    const value = this.#metadata.entries.get(name);
    const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : value;
    throw new NearfieldError(
      'bad-file',
      `${name} ${value === undefined ? 'is missing and' : `is ${shown} and`} ${complaint}: the file is damaged or badly converted`,
    );
  }

  #full(key: string): string {
    return `${this.architecture}.${key}`;
  }
}

/** Where the norms' epsilon stands. */
const epsilonKeys = {
  'rms-norm': 'attention.layer_norm_rms_epsilon',
  'layer-norm': 'attention.layer_norm_epsilon',
} as const;

/** Throws `bad-file` naming the key that is missing, absurd or at odds with another. */
export function readDecoderConfiguration(
  checkpoint: Checkpoint,
  reader: ConfigurationReader,
  norm: keyof typeof epsilonKeys,
): DecoderConfiguration {
  const embedding = checkpoint.tensors.get('token_embd.weight');
  const [vocabularySize = 0, embeddingSize = 0] = embedding?.shape ?? [];
  if (embedding?.shape.length !== 2 || vocabularySize === 0) {
    throw new NearfieldError(
      'bad-file',
      `${checkpoint.name} has no matrix token_embd.weight: it holds no complete model`,
    );
  }
  const hiddenSize = reader.count('embedding_length');
  if (hiddenSize !== embeddingSize) {
    reader.fail('embedding_length', `token_embd.weight has rows of ${embeddingSize}`);
  }
  const headCount = reader.count('attention.head_count', { most: 2 ** 16 });
  const keyValueHeadCount = reader.count('attention.head_count_kv', { fallback: headCount });
  if (headCount % keyValueHeadCount !== 0) {
    reader.fail('attention.head_count_kv', `should divide the ${headCount} heads`);
  }
  const headSize = (key: string) => {
    if (reader.has(key)) return reader.count(key, { most: 2 ** 16 });
    if (hiddenSize % headCount === 0) return hiddenSize / headCount;
    return reader.fail('attention.head_count', `should divide the hidden size ${hiddenSize}`);
  };
  const window = reader.count('attention.sliding_window', { fallback: 0, least: 0 });
  return {
    // Every layer has tensors of its own.
    layerCount: reader.count('block_count', { most: checkpoint.tensors.size }),
    hiddenSize,
    feedForwardSize: reader.count('feed_forward_length'),
    headCount,
    keyValueHeadCount,
    keySize: headSize('attention.key_length'),
    valueSize: headSize('attention.value_length'),
    vocabularySize,
    contextLength: reader.count('context_length'),
    normEpsilon: reader.above(0, epsilonKeys[norm]),
    slidingWindow: window === 0 ? undefined : window,
    slidingPattern: reader.pattern('attention.sliding_window_pattern'),
    ropeFinetuned: reader.flag('rope.scaling.finetuned', true),
  };
}
