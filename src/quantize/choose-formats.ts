/** Applies a recipe to a checkpoint: which tensor will have which format, and what must be said about it. */
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint, Metadata, TensorEntry } from '../checkpoint.ts';
import { formatByName, formats, type NumberFormat, rowBytes } from '../format.ts';
import {
  fallbacks,
  headRule,
  lastFallback,
  type Recipe,
  type Rule,
  recipes,
  type TensorRole,
} from './recipes.ts';
import { isQuantizable, layerOf, roleOf } from './tensor-role.ts';

export interface ChosenFormat {
  readonly entry: TensorEntry;
  readonly format: NumberFormat;
  /** Of the tensor in `format`. */
  readonly byteLength: number;
}

export interface FormatChoice {
  /** In the checkpoint's order. */
  readonly tensors: readonly ChosenFormat[];
  /** For people, a line each. */
  readonly remarks: readonly string[];
}

export interface ChooseOptions {
  /** The recipe's format for every matrix, none of its rules. */
  readonly pure?: boolean;
  /** For the head, and for the embedding where it is not the head too. */
  readonly headFormat?: string | undefined;
  readonly embeddingFormat?: string | undefined;
  /** Before the recipe: the first whose pattern is found in the tensor's name decides. */
  readonly overrides?: readonly { readonly pattern: RegExp; readonly format: string }[];
  readonly hasImatrix?: boolean;
}

/** A recipe by name, or one that a format makes by itself. Any case. Throws `unsupported`. */
export function recipeByName(name: string): Recipe {
  const wanted = name.toLowerCase();
  const recipe = recipes.find((one) => one.name === wanted || one.aliases?.includes(wanted));
  if (recipe) return recipe;
  const format = writableFormats().find((one) => one.name === wanted);
  if (format) return recipeOf(format);
  throw new NearfieldError(
    'unsupported',
    `Nothing can be quantized to '${name}'; choose from ${allRecipes()
      .map((one) => one.name)
      .join(', ')}`,
  );
}

/** Those of the table, then the formats that none of them is named after. */
export function allRecipes(): readonly Recipe[] {
  const named = new Set(recipes.flatMap(({ name, aliases = [] }) => [name, ...aliases]));
  const others = writableFormats().filter(({ name }) => !named.has(name));
  return [...recipes, ...others.map(recipeOf)];
}

function writableFormats(): NumberFormat[] {
  return formats.filter(({ encode, ggufType }) => encode && ggufType !== undefined);
}

function recipeOf({ name }: NumberFormat): Recipe {
  return { name, about: `${name.toUpperCase()}, the head in Q6_K`, format: name, rules: [headRule] };
}

/** Throws `unsupported` for a format that cannot be written and where no tensor is a matrix, `bad-file` where there is no tensor. */
export function chooseFormats(
  checkpoint: Checkpoint,
  recipe: Recipe,
  options: ChooseOptions = {},
): FormatChoice {
  const { tensors: entries, metadata } = checkpoint;
  if (entries.size === 0)
    throw new NearfieldError('bad-file', `${checkpoint.name} holds no tensors: there is nothing to quantize`);
  const model = readTraits(metadata, entries);
  const remarks = new Remarks();
  const tensors = [...entries.values()].map((entry): ChosenFormat => {
    const format = isQuantizable(entry.name, entry.shape)
      ? fitting(entry, wantedFormat(entry, recipe, model, options), remarks)
      : keptFormat(entry);
    const byteLength = rowBytes(format, entry.shape.at(-1) ?? 1) * rowCount(entry);
    return { entry, format, byteLength };
  });
  const again = tensors.filter(({ entry, format }) => isBlockFormat(entry.format) && format !== entry.format);
  if (again.length > 0) {
    const names = [...new Set(again.map(({ entry }) => entry.format.name))].join(', ');
    remarks.add(
      `${again.length} tensors are quantized already (${names}): errors add up, a file of f32, f16 or bf16 gives a better result`,
    );
  }
  return { tensors, remarks: remarks.lines() };
}

/** What rules ask of a model. */
interface ModelTraits {
  readonly layers: number;
  readonly groups: number;
  readonly experts: number;
  readonly headIsTied: boolean;
}

function readTraits(metadata: Metadata, entries: ReadonlyMap<string, TensorEntry>): ModelTraits {
  const architecture = metadata.string('general.architecture');
  const count = (key: string, fallback: number): number => {
    const value = metadata.entries.get(`${architecture}.${key}`);
    // Some files give a number for each layer.
    const one = ArrayBuffer.isView(value)
      ? Math.max(...Array.from(value as Int32Array, Number))
      : Number(value);
    return Number.isFinite(one) && one > 0 ? one : fallback;
  };
  const heads = count('attention.head_count', 1);
  return {
    layers: count('block_count', 1),
    groups: heads / count('attention.head_count_kv', heads),
    experts: count('expert_count', 0),
    headIsTied: !entries.has('output.weight'),
  };
}

function wantedFormat(
  { name, shape }: TensorEntry,
  recipe: Recipe,
  model: ModelTraits,
  { pure = false, headFormat, embeddingFormat, overrides = [], hasImatrix = false }: ChooseOptions,
): NumberFormat {
  const override = overrides.find(({ pattern }) => pattern.test(name));
  if (override) return writable(override.format);
  const role = roleOf(name, model.headIsTied);
  if (role === 'head' && headFormat !== undefined) return writable(headFormat);
  if (role === 'embedding' && embeddingFormat !== undefined) return writable(embeddingFormat);
  const rule = pure
    ? undefined
    : recipe.rules.find((one) => applies(one, role, layerOf(name), shape.length > 2, model, hasImatrix));
  return writable(rule?.format ?? recipe.format);
}

function applies(
  rule: Rule,
  role: TensorRole,
  layer: number | undefined,
  isStacked: boolean,
  model: ModelTraits,
  hasImatrix: boolean,
): boolean {
  const { tensors, layers, leastGroups = 0, experts, layerCount, stacked, imatrix } = rule;
  return (
    tensors.includes(role) &&
    model.groups >= leastGroups &&
    (experts === undefined || experts === model.experts) &&
    (layerCount === undefined || layerCount === model.layers) &&
    (stacked === undefined || stacked === isStacked) &&
    (imatrix === undefined || imatrix === hasImatrix) &&
    (layers === undefined || (layer !== undefined && isAmong(layers, layer, model.layers)))
  );
}

function isAmong(layers: NonNullable<Rule['layers']>, layer: number, count: number): boolean {
  if (layers !== 'delicate') {
    return layer < ('count' in layers ? layers.count : Math.floor(count / layers.part));
  }
  const eighth = Math.floor(count / 8);
  return layer < eighth || layer >= Math.floor((7 * count) / 8) || (layer - eighth) % 3 === 2;
}

function writable(name: string): NumberFormat {
  const format = formatByName(name);
  if (format.encode && format.ggufType !== undefined) return format;
  throw new NearfieldError('unsupported', `${format.name} can be read but not written to GGUF`);
}

/** The format, or the first of its fallbacks whose blocks fill the tensor's rows. */
function fitting({ name, shape }: TensorEntry, wanted: NumberFormat, remarks: Remarks): NumberFormat {
  const rowValues = shape.at(-1) ?? 1;
  const fits = ({ blockValues }: NumberFormat): boolean => rowValues % blockValues === 0;
  if (fits(wanted)) return wanted;
  const others = (fallbacks[wanted.name] ?? lastFallback).map(writable);
  const format = others.find(fits);
  if (!format) throw new NearfieldError('internal', `No fallback of ${wanted.name} fits every row`);
  remarks.group(
    `rows of ${rowValues} values do not fill blocks of ${wanted.name} (${wanted.blockValues}), ${format.name} instead`,
    name,
  );
  return format;
}

/** Vectors and the like: floats become f32, in which every engine reads them; what has blocks stays. */
function keptFormat({ format }: TensorEntry): NumberFormat {
  return isBlockFormat(format) ? format : formatByName('f32');
}

function isBlockFormat({ blockValues }: NumberFormat): boolean {
  return blockValues > 1;
}

function rowCount({ shape }: TensorEntry): number {
  return shape.slice(0, -1).reduce((product, size) => product * size, 1);
}

/** Says once what holds for several tensors. */
class Remarks {
  readonly #lines: string[] = [];
  readonly #groups = new Map<string, string[]>();

  add(line: string): void {
    this.#lines.push(line);
  }

  group(line: string, tensor: string): void {
    const names = this.#groups.get(line);
    if (names) names.push(tensor);
    else this.#groups.set(line, [tensor]);
  }

  lines(): string[] {
    const grouped = [...this.#groups].map(([line, [first, ...others]]) => {
      const more = others.length > 0 ? ` and ${others.length} more` : '';
      return `${first}${more}: ${line}`;
    });
    return [...this.#lines, ...grouped];
  }
}
