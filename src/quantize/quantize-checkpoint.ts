/** Checkpoint in, GGUF out: tensor by tensor, piece by piece. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import { nodeModule, processorCount } from '../base/platform.ts';
import {
  type ByteSink,
  type Checkpoint,
  copyOfMetadata,
  fileSink,
  type GgufTensor,
  type GgufValue,
  writeGguf,
} from '../checkpoint.ts';
import { formats } from '../format.ts';
import { type ChooseOptions, chooseFormats, type FormatChoice } from './choose-formats.ts';
import { FeedbackCollector, type FeedbackOptions } from './collect-feedback.ts';
import { openEncodeThreads } from './encode-threads.ts';
import { type EncodedPiece, encodedPieces } from './encoded-pieces.ts';
import { Importance, type ImportanceFile } from './importance.ts';
import type { Recipe } from './recipes.ts';

export interface QuantizeOptions extends Omit<ChooseOptions, 'hasImatrix'> {
  readonly recipe: Recipe;
  readonly imatrix?: { readonly name: string; readonly content: ImportanceFile } | undefined;
  /** A calibration text as windows of token ids: matrices of formats with even levels are rounded with error feedback. */
  readonly feedback?: FeedbackOptions | undefined;
  /** All processors, at most 16, and one for every few megabytes. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the source that are done. */
  readonly onProgress?: (doneBytes: number, totalBytes: number, tensor: string) => void;
}

export interface QuantizedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly from: string;
  readonly to: string;
  readonly byteLength: number;
  /** Root mean square of the error over that of the values. */
  readonly relativeError: number;
}

export interface QuantizeReport {
  readonly tensors: readonly QuantizedTensor[];
  readonly remarks: readonly string[];
  /** Of all tensors, before and after. */
  readonly sourceBytes: number;
  readonly targetBytes: number;
  readonly weightCount: number;
  readonly bitsPerWeight: number;
  readonly elapsedMs: number;
}

const mostThreads = 16;
/** Bytes of source that make a thread worth its start and its memory. */
const bytesPerThread = 4 * 2 ** 20;

/**
 * Writes `checkpoint` to a path or sink. The file appears when it is whole; after an error or an abort there is none, and
 * one that was there before is as it was. Throws `bad-file` for weights that are no finite numbers.
 */
export async function quantizeCheckpoint(
  checkpoint: Checkpoint,
  output: string | ByteSink,
  options: QuantizeOptions,
): Promise<QuantizeReport> {
  const began = performance.now();
  const { recipe, imatrix, signal, onProgress } = options;
  const choice = chooseFormats(checkpoint, recipe, { ...options, hasImatrix: imatrix !== undefined });
  const importance = imatrix && new Importance(imatrix.content);
  const remarks = [...choice.remarks, ...(importance ? checkImportance(choice, importance) : [])];
  const sourceBytes = choice.tensors.reduce((sum, { entry }) => sum + entry.byteLength, 0);
  throwIfAborted(signal);
  if (typeof output === 'string') await refuseOwnSource(checkpoint, output);
  const threads = await openEncodeThreads(threadCount(options.threads, sourceBytes));
  try {
    const sink = typeof output === 'string' ? await fileSink(output) : output;
    const account = new Account();
    const feedback = options.feedback && openFeedback(checkpoint, choice, options.feedback);
    const pieces = encodedPieces({
      checkpoint,
      tensors: choice.tensors,
      threads,
      importance,
      feedback,
      signal,
    });
    let doneBytes = 0;
    const take = (piece: EncodedPiece): void => {
      account.add(piece);
      doneBytes += piece.sourceBytes;
      onProgress?.(doneBytes, sourceBytes, piece.tensor.entry.name);
    };
    const tensors = choice.tensors.map(({ entry, format, byteLength }): GgufTensor => {
      return { name: entry.name, format, shape: entry.shape, data: takeBytes(pieces, byteLength, take) };
    });
    await writeGguf(sink, { metadata: metadataOf(checkpoint, options), tensors }, signal);
    const targetBytes = choice.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const weightCount = choice.tensors.reduce((sum, { entry }) => sum + countOf(entry.shape), 0);
    return {
      tensors: account.tensors(choice),
      remarks,
      ...{ sourceBytes, targetBytes, weightCount, bitsPerWeight: (8 * targetBytes) / weightCount },
      elapsedMs: performance.now() - began,
    };
  } finally {
    await threads.close();
  }
}

function threadCount(wanted: number | undefined, sourceBytes: number): number {
  if (wanted !== undefined) return wanted;
  return Math.max(1, Math.min(processorCount(), mostThreads, Math.floor(sourceBytes / bytesPerThread)));
}

/** Throws `bad-argument` where no matrix inside the layers gets a format with even levels. */
function openFeedback(
  checkpoint: Checkpoint,
  { tensors }: FormatChoice,
  options: FeedbackOptions,
): FeedbackCollector {
  const wanted = tensors
    .filter(({ entry, format }) => format.ladder && format !== entry.format && entry.name.startsWith('blk.'))
    .map(({ entry }) => entry.name);
  if (wanted.length > 0) return new FeedbackCollector(checkpoint, wanted, options);
  const names = formats.filter(({ ladder }) => ladder).map(({ name }) => name);
  throw new NearfieldError(
    'bad-argument',
    `Error feedback is for formats with even levels: ${names.join(', ')}`,
  );
}

/** The next pieces of the stream, as many as make up `byteLength`. */
async function* takeBytes(
  pieces: AsyncGenerator<EncodedPiece>,
  byteLength: number,
  take: (piece: EncodedPiece) => void,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < byteLength; ) {
    const { value } = await pieces.next();
    if (!value) throw new NearfieldError('internal', 'The pieces of a checkpoint ended before its tensors');
    done += value.bytes.byteLength;
    take(value);
    yield value.bytes;
  }
}

/** Metadata as llama.cpp's own tool writes them. */
function metadataOf(checkpoint: Checkpoint, { recipe, imatrix }: QuantizeOptions): Map<string, GgufValue> {
  const metadata = copyOfMetadata(checkpoint.metadata);
  // The writer sets the marks of the formats that are in the new file.
  const marks = formats.flatMap(({ ggufMark }) => ggufMark?.key ?? []);
  for (const key of ['split.no', 'split.count', 'split.tensors.count', ...marks]) metadata.delete(key);
  metadata.set('general.quantization_version', { type: 'uint32', value: 2 });
  if (recipe.fileType === undefined) metadata.delete('general.file_type');
  else metadata.set('general.file_type', { type: 'uint32', value: recipe.fileType });
  if (imatrix) {
    const { entries, datasets, chunkCount } = imatrix.content;
    metadata.set('quantize.imatrix.file', imatrix.name);
    if (datasets[0] !== undefined) metadata.set('quantize.imatrix.dataset', datasets[0]);
    metadata.set('quantize.imatrix.entries_count', { type: 'uint32', value: entries.size });
    metadata.set('quantize.imatrix.chunks_count', { type: 'uint32', value: chunkCount });
  }
  return metadata;
}

/** Renaming over the source would destroy it. */
async function refuseOwnSource({ parts }: Checkpoint, path: string): Promise<void> {
  const fs = nodeModule('node:fs/promises');
  const real = async (name: string): Promise<string | undefined> => fs?.realpath(name).catch(() => undefined);
  const target = await real(path);
  if (target === undefined) return;
  for (const { name } of parts) {
    if ((await real(name)) !== target) continue;
    throw new NearfieldError(
      'bad-argument',
      `${path} is the source itself; give another name for the output`,
    );
  }
}

/** Throws where it is of another model; the rest is a remark. */
function checkImportance({ tensors }: FormatChoice, importance: Importance): string[] {
  const wanting: string[] = [];
  for (const { entry, format } of tensors) {
    const { name, shape } = entry;
    importance.expectFits(name, shape.at(-1) ?? 1, countOf(shape.slice(0, -2)));
    const isWeighted = format !== entry.format && format.encodeClosely !== undefined;
    if (isWeighted && name.startsWith('blk.') && !importance.has(name)) wanting.push(name);
  }
  const [first, ...others] = wanting;
  if (first === undefined) return [];
  const more = others.length > 0 ? ` and ${others.length} more` : '';
  return [`${first}${more}: not in the importance matrix, so all columns count alike`];
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Errors by tensor. */
class Account {
  readonly #sums = new Map<string, { squaredError: number; squares: number }>();

  add({ tensor, squaredError, squares }: EncodedPiece): void {
    const { name } = tensor.entry;
    const before = this.#sums.get(name);
    this.#sums.set(name, {
      squaredError: (before?.squaredError ?? 0) + squaredError,
      squares: (before?.squares ?? 0) + squares,
    });
  }

  tensors({ tensors }: FormatChoice): QuantizedTensor[] {
    return tensors.map(({ entry, format, byteLength }) => {
      const { squaredError = 0, squares = 0 } = this.#sums.get(entry.name) ?? {};
      return {
        ...{ name: entry.name, shape: entry.shape, from: entry.format.name, to: format.name, byteLength },
        relativeError: squares > 0 ? Math.sqrt(squaredError / squares) : 0,
      };
    });
  }
}
