/** A transformers model as the checkpoint it would be as a GGUF file: metadata of its configuration, tensors renamed. */
import { NearfieldError } from '../../base/error.ts';
import type { TensorEntry } from '../../checkpoint.ts';
import { quote } from '../quote.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import { tensorByteLength } from '../tensor-size.ts';
import type { ModelConfig } from './config.ts';
import { familyClasses, familyOf } from './families.ts';
import type { ChangeContext, KeyRule, KeyValue, TensorRule, TransformersFamily } from './family.ts';
import type { MetadataDraft } from './metadata-draft.ts';
import { checkRopeScaling } from './rope.ts';
import { asFloats, type Rows, rowsOf } from './rows.ts';
import { TileShelf } from './tile-shelf.ts';

/** Throws `unsupported` for a class that no family answers to. */
export function requireFamily(fileName: string, config: ModelConfig): TransformersFamily {
  const family = familyOf(config.classes);
  if (family) return family;
  const [name] = config.classes;
  const found = name === undefined ? 'names no architecture' : `is of a ${quote(name)}`;
  throw new NearfieldError(
    'unsupported',
    `${fileName} ${found}; these are read: ${familyClasses.join(', ')}`,
  );
}

export function translateConfig(
  family: TransformersFamily,
  config: ModelConfig,
  metadata: MetadataDraft,
): void {
  checkConfig(family, config);
  metadata.set('general.architecture', 'string', family.architecture);
  for (const rule of family.keys) {
    const value = keyValueOf(rule, config);
    if (value === undefined) continue;
    const key = `${family.architecture}.${rule.key}`;
    if (!Array.isArray(value)) metadata.set(key, rule.type, value as number | boolean | string);
    else if (rule.type === 'bool') metadata.set(key, 'array of bool', value as readonly boolean[]);
    else metadata.set(key, `array of ${rule.type}`, numberArray(rule, value as readonly number[]));
  }
}

const activationFields = ['hidden_activation', 'hidden_act', 'activation_function', 'activation'];

/** Throws `unsupported` for what would be computed, or read, otherwise than it was meant. */
function checkConfig(family: TransformersFamily, config: ModelConfig): void {
  checkRopeScaling(config);
  const activation = config.string(activationFields);
  if (activation !== undefined && !family.activations.includes(activation)) {
    config.refuse(
      activationFields,
      `is ${quote(activation)}; models of this family have ${family.activations.join(' or ')}`,
    );
  }
  const quantized = 'quantization_config.quant_method';
  const method =
    config.string(quantized) ?? (config.value('quantization_config') === undefined ? undefined : 'unnamed');
  if (method !== undefined && !family.quantizations?.includes(method)) {
    config.refuse(quantized, `is ${quote(method)}; use the model's files in bf16, f16 or f32`);
  }
  family.check?.(config);
}

function numberArray({ type }: KeyRule, values: readonly number[]): Uint32Array | Float32Array {
  return type === 'uint32' ? Uint32Array.from(values) : Float32Array.from(values);
}

function keyValueOf({ type, from }: KeyRule, config: ModelConfig): KeyValue | undefined {
  if (typeof from === 'function') return from(config);
  if (type === 'bool') return config.boolean(from);
  if (type === 'string') return config.string(from);
  const value = config.number(from);
  const fits =
    type === 'float32' || value === undefined || (Number.isInteger(value) && value >= 0 && value < 2 ** 32);
  return fits ? value : config.fail(from, `is ${value}, not a count`);
}

/** In the order of the stored ones. Throws `bad-file` for a tensor the family has no place for. */
export function translateTensors(
  family: TransformersFamily,
  config: ModelConfig,
  stored: readonly StoredTensor[],
): TensorEntry[] {
  const context: ChangeContext = { config, shelf: new TileShelf() };
  const made = new Map<string, Rows>();
  for (const { target, change, sources } of gather(family, config, stored).values()) {
    const [first] = sources;
    if (!first) continue;
    if (!change && sources.length > 1) {
      throw new NearfieldError(
        'bad-file',
        `${quote(first.name)} and others stand for one tensor, ${quote(target)}`,
      );
    }
    made.set(target, change ? change(sources, context) : rowsOf(first));
  }
  for (const rows of family.made?.(config) ?? []) made.set(rows.name, rows);
  return Array.from(made, ([name, rows]) =>
    entryOf(name, isKeptAsFloats(name, rows) ? asFloats(rows, 0, context.shelf) : rows),
  );
}

interface Gathered {
  readonly target: string;
  readonly change: TensorRule['change'];
  readonly sources: StoredTensor[];
}

/** By the name of the target. */
function gather(
  family: TransformersFamily,
  config: ModelConfig,
  stored: readonly StoredTensor[],
): Map<string, Gathered> {
  const isTied = config.boolean('tie_word_embeddings') === true;
  const gathered = new Map<string, Gathered>();
  for (const tensor of stored) {
    const prefix = family.prefixes.find((beginning) => tensor.name.startsWith(beginning)) ?? '';
    const name = tensor.name.slice(prefix.length);
    if (family.unused?.test(name)) continue;
    const { numbers, pattern } = numbered(name);
    const { rules, ending } = findRules(family, pattern) ?? unplaced(family, tensor);
    for (const { to, change, place: stated } of rules) {
      // Where the head is the embedding, a copy of it may lie in the file.
      if (to === 'output' && isTied) continue;
      const target = to.replace('#', String(numbers[0])) + ending;
      const known = gathered.get(target) ?? { target, change, sources: [] };
      gathered.set(target, known);
      const place = stated ?? (pattern.includes('*') ? (numbers[1] ?? 0) : known.sources.length);
      if (place !== known.sources.length) known.sources.length = Math.max(known.sources.length, place);
      known.sources[place] = tensor;
    }
  }
  for (const { target, sources } of gathered.values()) {
    for (let place = 0; place < sources.length; place++) {
      if (sources[place]) continue;
      throw new NearfieldError(
        'bad-file',
        `Of the ${sources.length} parts of tensor ${quote(target)} number ${place} is missing: the model is incomplete`,
      );
    }
  }
  return gathered;
}

/** A name as rules spell it: `layers.3.mlp.experts.7.w1` is `layers.#.mlp.experts.*.w1` with 3 and 7. */
function numbered(name: string): { readonly numbers: number[]; readonly pattern: string } {
  const numbers: number[] = [];
  const pattern = name.replace(/(?<=^|\.)\d{1,5}(?=\.|$)/g, (digits) => {
    numbers.push(Number(digits));
    return numbers.length === 1 ? '#' : '*';
  });
  return { numbers, pattern };
}

function findRules(
  family: TransformersFamily,
  pattern: string,
): { readonly rules: readonly TensorRule[]; readonly ending: string } | undefined {
  const ending = pattern.endsWith('.weight') ? '.weight' : pattern.endsWith('.bias') ? '.bias' : '';
  for (const [name, kept] of [
    [pattern, ''],
    [pattern.slice(0, pattern.length - ending.length), ending],
  ] as const) {
    if (!Object.hasOwn(family.tensors, name)) continue;
    const found = family.tensors[name];
    if (found) return { rules: 'to' in found ? [found] : found, ending: kept };
  }
  return undefined;
}

function unplaced(family: TransformersFamily, { name }: StoredTensor): never {
  throw new NearfieldError(
    'unsupported',
    `Tensor ${quote(name)} has no place in a model of the family ${family.architecture}`,
  );
}

/** Whatever is no matrix of weights: GGUF files keep it in f32, and what runs them relies on it. */
function isKeptAsFloats(name: string, { shape }: Rows): boolean {
  return (
    shape.length < 2 ||
    !name.endsWith('.weight') ||
    /_norm\.weight$|\.ffn_gate_inp|^position_embd\./.test(name)
  );
}

function entryOf(name: string, { format, shape, part, byteOffset, content, ...rows }: Rows): TensorEntry {
  const byteLength = tensorByteLength(format, shape);
  if (typeof byteLength === 'string') {
    throw new NearfieldError('bad-file', `Tensor ${quote(rows.name)} ${byteLength}; the file is corrupt`);
  }
  return { name, format, shape, byteLength, part, byteOffset, ...(content ? { content } : {}) };
}
