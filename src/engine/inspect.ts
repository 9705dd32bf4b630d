/** What a model file holds, read from its header alone. */
import { type ModelDescription, openModel } from '../architecture.ts';
import { type BackendName, openBackend } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import { type Checkpoint, type MetadataValue, openCheckpoint, type TensorEntry } from '../checkpoint.ts';
import type { AssetPaths, ModelInput } from '../engine.ts';
import type { CacheType } from '../graph.ts';
import { makePlan, printPlan } from '../plan.ts';
import { openTokenizer } from '../tokenizer.ts';
import { rowsWithRoom } from './open-machine.ts';
import { defaultBackend, defaultCacheType, defaultChunkRows, selectedRows } from './pass-bounds.ts';

export interface InspectOptions {
  /** Adds the plan for this machine; `auto` as in `LoadOptions`. */
  readonly plan?: BackendName | 'auto';
  /** Prompt rows of one pass, for the plan; default 512. */
  readonly chunkRows?: number;
  readonly cacheType?: CacheType;
  readonly assets?: AssetPaths;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A number format's share of the file. */
export interface FormatShare {
  readonly format: string;
  readonly tensorCount: number;
  readonly parameterCount: number;
  readonly byteLength: number;
}

export interface TensorInspection {
  readonly name: string;
  readonly format: string;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly byteLength: number;
}

export interface TokenizerInspection {
  /** What the file calls its kind of vocabulary. */
  readonly kind: string;
  readonly vocabularySize: number;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly endIds: readonly number[];
  readonly addBos: boolean;
  readonly addEos: boolean;
}

export interface ModelInspection {
  /** File name or URL. */
  readonly source: string;
  readonly container: string;
  readonly fileBytes: number;
  readonly parameterCount: number;
  /** Over all tensors, their scales included. */
  readonly bitsPerWeight: number;
  /** Largest share first. */
  readonly formats: readonly FormatShare[];
  readonly tensors: readonly TensorInspection[];
  /** Values as text; of an array its length and its first items. */
  readonly metadata: readonly { readonly key: string; readonly value: string }[];
  /** Undefined where a problem is in the way. */
  readonly model: ModelDescription | undefined;
  readonly tokenizer: TokenizerInspection | undefined;
  /** The Jinja text, where the file has one. */
  readonly chatTemplate: string | undefined;
  /** What is doubtful, one line each. */
  readonly warnings: readonly string[];
  /** Why the model cannot be loaded, one line each. */
  readonly problems: readonly string[];
  /** Segments, buffers and bytes as text, where asked for and possible. */
  readonly plan: string | undefined;
}

/**
 * Reads the header only. A file that is damaged or no model rejects as `loadEngine` does; what merely is not supported
 * (architecture, vocabulary, backend) is listed in `problems`.
 */
export async function inspectModel(
  input: ModelInput,
  options: InspectOptions = {},
): Promise<ModelInspection> {
  const { signal, headers } = options;
  const checkpoint = await openCheckpoint(input, { signal, headers });
  try {
    return await inspectCheckpoint(checkpoint, options);
  } finally {
    await checkpoint.close();
  }
}

async function inspectCheckpoint(checkpoint: Checkpoint, options: InspectOptions): Promise<ModelInspection> {
  const { metadata, tensors } = checkpoint;
  const problems: string[] = [];
  const attempt = async <T>(step: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await step();
    } catch (error) {
      const survivable = error instanceof NearfieldError && error.code !== 'aborted';
      if (!survivable) throw error;
      problems.push(error.message);
      return undefined;
    }
  };
  const model = await attempt(() => openModel(checkpoint, options.signal));
  const tokenizer = await attempt(() => openTokenizer(metadata));
  const plan = await attempt(async () => {
    if (options.plan === undefined || !model) return undefined;
    const { assets } = options;
    const name = options.plan === 'auto' ? defaultBackend : options.plan;
    const backend = await openBackend(name, assets ? { assets } : {});
    try {
      const maxRows = options.chunkRows ?? defaultChunkRows;
      const graph = model.build({ maxRows, maxSelected: Math.min(maxRows, selectedRows) });
      const cacheType = options.cacheType ?? defaultCacheType(backend.name);
      const cacheRows = rowsWithRoom(undefined, model.description.contextLength);
      const capability = backend.describe();
      return printPlan(makePlan(graph, capability, { cacheType, cacheRows }), capability);
    } finally {
      await backend.close();
    }
  });
  const formats = formatShares(tensors.values());
  const parameterCount = formats.reduce((sum, share) => sum + share.parameterCount, 0);
  const tensorBytes = formats.reduce((sum, share) => sum + share.byteLength, 0);
  const template = metadata.entries.get('tokenizer.chat_template');
  return {
    source: checkpoint.name,
    container: checkpoint.container,
    fileBytes: checkpoint.byteLength,
    parameterCount,
    bitsPerWeight: parameterCount > 0 ? (tensorBytes * 8) / parameterCount : 0,
    formats,
    tensors: Array.from(tensors.values(), ({ name, format, shape, byteLength }) => ({
      ...{ name, format: format.name, shape, byteLength },
    })),
    metadata: Array.from(metadata.entries, ([key, value]) => ({ key, value: printMetadata(value) })),
    model: model?.description,
    tokenizer: tokenizer && {
      kind: metadata.string('tokenizer.ggml.model'),
      vocabularySize: tokenizer.vocabularySize,
      bos: tokenizer.bos,
      eos: tokenizer.eos,
      endIds: [...tokenizer.endIds],
      addBos: tokenizer.addBos,
      addEos: tokenizer.addEos,
    },
    chatTemplate: typeof template === 'string' ? template : undefined,
    warnings: tokenizer?.warnings ?? [],
    problems,
    plan,
  };
}

function formatShares(tensors: Iterable<TensorEntry>): FormatShare[] {
  const shares = new Map<string, FormatShare>();
  for (const { format, shape, byteLength } of tensors) {
    const before = shares.get(format.name);
    const values = shape.reduce((product, size) => product * size, 1);
    shares.set(format.name, {
      format: format.name,
      tensorCount: (before?.tensorCount ?? 0) + 1,
      parameterCount: (before?.parameterCount ?? 0) + values,
      byteLength: (before?.byteLength ?? 0) + byteLength,
    });
  }
  return [...shares.values()].sort((a, b) => b.byteLength - a.byteLength);
}

/** Items of an array that are shown. */
const shownItems = 4;

function printMetadata(value: MetadataValue): string {
  if (typeof value !== 'object') return String(value);
  const items = Array.from(value as ArrayLike<MetadataValue>);
  const first = items
    .slice(0, shownItems)
    .map((item) => (typeof item === 'string' ? JSON.stringify(item) : String(item)));
  return `[${first.join(', ')}${items.length > shownItems ? ', …' : ''}] (${items.length})`;
}
