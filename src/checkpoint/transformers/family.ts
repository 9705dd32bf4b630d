/**
 * What a family of transformers models is called by the two kinds of file: config fields and metadata keys, tensor names
 * and tensor names, and what its numbers go through between them. The facts are those of llama.cpp's converter.
 */
import type { GgufType } from '../gguf-type.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import type { FieldNames, ModelConfig } from './config.ts';
import type { Rows } from './rows.ts';
import type { TileShelf } from './tile-shelf.ts';

export type KeyValue = number | boolean | string | readonly number[] | readonly boolean[];

/** A metadata key without the architecture before it, the type it has in a GGUF file, and where its value comes from. */
export interface KeyRule {
  readonly key: string;
  readonly type: Extract<GgufType, 'uint32' | 'float32' | 'bool' | 'string'>;
  /** Absent fields, and undefined, give no key. */
  readonly from: FieldNames | ((config: ModelConfig) => KeyValue | undefined);
}

/** What a change may know of the model, and what it needs. */
export interface ChangeContext {
  readonly config: ModelConfig;
  readonly shelf: TileShelf;
}

/** Makes the rows of a tensor from those it stands for: one, or one of each expert, in order. */
export type Change = (sources: readonly StoredTensor[], context: ChangeContext) => Rows;

export interface TensorRule {
  /** With `#` for the number of the layer, without `.weight` or `.bias` where that stays. */
  readonly to: string;
  readonly change?: Change;
  /** Which of the change's sources this is, where several names make one tensor. */
  readonly place?: number;
}

export interface TransformersFamily {
  /** Of `architectures` in config.json. */
  readonly classes: readonly string[];
  /** `general.architecture`. */
  readonly architecture: string;
  readonly keys: readonly KeyRule[];
  /** What the class takes for granted, and files leave out. */
  readonly defaults?: { readonly [field: string]: number };
  /** What tensor names may begin with and mean the same; longer ones first. */
  readonly prefixes: readonly string[];
  /**
   * By the name without its prefix, with `#` for the number of the layer and `*` for that of an expert: rules for names
   * without `.weight` or `.bias`, or for whole names. Several targets each take the same source.
   */
  readonly tensors: { readonly [name: string]: TensorRule | readonly TensorRule[] };
  /** Names, without prefix, of what models of the family carry and nothing here needs. */
  readonly unused?: RegExp;
  /** Tensors that are in no file. */
  readonly made?: (config: ModelConfig) => readonly Rows[];
  /** Values of the activation function that are the one the architecture has. */
  readonly activations: readonly string[];
  /** Methods by which weights may be quantized in a way that the rules know. */
  readonly quantizations?: readonly string[];
  /** Throws `unsupported` for what the configuration asks for and no metadata can say. */
  readonly check?: (config: ModelConfig) => void;
}
