/**
 * Importance matrices as files. GGUF (llama.cpp's since 2025, and ours): `general.type` "imatrix", and for each weight two
 * f32 tensors, `NAME.in_sum2` [matrices, columns] with Σ x² and `NAME.counts` [matrices, 1] with the rows seen. Its older
 * `.dat`: int32 count of entries; for each int32 length and name, int32 calls, int32 count of values and as many float32,
 * each the mean x² times `calls`; then, mostly, int32 windows, int32 length and name of the text. All little-endian.
 */
import { NearfieldError } from '../base/error.ts';
import {
  type ByteSink,
  type Checkpoint,
  type CheckpointFile,
  fileSink,
  openCheckpoint,
  openSource,
  writeGguf,
} from '../checkpoint.ts';
import { decodeRow, formatByName } from '../format.ts';
import type { ImportanceEntry, ImportanceFile } from './importance.ts';

const sumSuffix = '.in_sum2';
const countSuffix = '.counts';
/** Of the older form nothing larger is believed: it is read whole. */
const mostLegacyBytes = 2 ** 31;
const ggufMagic = 'GGUF';

/** Either form. Throws `bad-file` for what is neither, is cut, or has numbers that are not finite or below zero. */
export async function readImatrix(
  file: CheckpointFile,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ImportanceFile> {
  const source = await openSource(file, { signal });
  let content: ImportanceFile;
  try {
    const head = new Uint8Array(Math.min(4, source.byteLength));
    await source.readInto(0, head, signal);
    if (new TextDecoder().decode(head) === ggufMagic) {
      const checkpoint = await openCheckpoint(source, { signal });
      content = await readGguf(checkpoint, signal);
    } else {
      if (source.byteLength > mostLegacyBytes) throw notAnImatrix(source.name);
      const bytes = new Uint8Array(source.byteLength);
      await source.readInto(0, bytes, signal);
      content = readLegacy(bytes, source.name);
    }
    checkNumbers(content, source.name);
  } finally {
    await source.close();
  }
  return content;
}

async function readGguf(checkpoint: Checkpoint, signal: AbortSignal | undefined): Promise<ImportanceFile> {
  const { name: fileName, tensors, metadata } = checkpoint;
  const entries = new Map<string, ImportanceEntry>();
  for (const name of tensors.keys()) {
    if (!name.endsWith(sumSuffix)) continue;
    const tensor = name.slice(0, -sumSuffix.length);
    const sums = await readFloats(checkpoint, name, signal);
    const counts = await readFloats(checkpoint, tensor + countSuffix, signal);
    if (counts.length === 0 || sums.length % counts.length !== 0) {
      throw new NearfieldError(
        'bad-file',
        `${fileName}: ${sums.length} sums and ${counts.length} counts of ${tensor}`,
      );
    }
    entries.set(tensor, { sums, counts });
  }
  return {
    entries,
    datasets: metadata.has('imatrix.datasets') ? metadata.strings('imatrix.datasets') : [],
    chunkCount: metadata.number('imatrix.chunk_count', 0),
    chunkSize: metadata.number('imatrix.chunk_size', 0),
  };
}

async function readFloats(
  checkpoint: Checkpoint,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const entry = checkpoint.tensors.get(name);
  if (entry?.format.blockValues !== 1) {
    throw new NearfieldError('bad-file', `${checkpoint.name}: ${name} is missing or no tensor of floats`);
  }
  const bytes = new Uint8Array(entry.byteLength);
  await checkpoint.read(entry, 0, bytes, signal);
  const values = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
  decodeRow(entry.format, bytes, 0, values, 0, values.length);
  return values;
}

function readLegacy(bytes: Uint8Array, fileName: string): ImportanceFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const advance = (length: number): number => {
    if (length < 0 || at + length > bytes.byteLength) throw notAnImatrix(fileName);
    at += length;
    return at - length;
  };
  const integer = (): number => view.getInt32(advance(4), true);
  const text = (length: number): string => {
    const from = advance(length);
    return new TextDecoder().decode(bytes.subarray(from, from + length));
  };
  const entries = new Map<string, ImportanceEntry>();
  const entryCount = integer();
  if (entryCount < 1) throw notAnImatrix(fileName);
  for (let entry = 0; entry < entryCount; entry++) {
    const name = text(integer());
    const calls = integer();
    const from = advance(4 * integer());
    const sums = new Float32Array(bytes.slice(from, at).buffer);
    if (sums.length === 0 || name === '') throw notAnImatrix(fileName);
    // Files before calls were counted hold the means themselves.
    entries.set(name, { sums, counts: Float32Array.of(Math.max(1, calls)) });
  }
  const hasEnd = at < bytes.byteLength;
  const chunkCount = hasEnd ? integer() : 0;
  const datasets = at < bytes.byteLength ? [text(integer())] : [];
  return { entries, datasets, chunkCount: Math.max(0, chunkCount), chunkSize: 0 };
}

function checkNumbers({ entries }: ImportanceFile, fileName: string): void {
  if (entries.size === 0) throw notAnImatrix(fileName);
  for (const [tensor, { sums, counts }] of entries) {
    for (const numbers of [sums, counts]) {
      if (numbers.every((number) => Number.isFinite(number) && number >= 0)) continue;
      throw new NearfieldError(
        'bad-file',
        `${fileName}: the numbers of ${tensor} must be finite and not negative; make the importance matrix again`,
      );
    }
  }
}

function notAnImatrix(fileName: string): NearfieldError {
  return new NearfieldError(
    'bad-file',
    `${fileName} is not a whole importance matrix (GGUF or llama.cpp's .dat)`,
  );
}

/** In the GGUF form. The file appears when it is whole. */
export async function writeImatrix(
  output: string | ByteSink,
  { entries, datasets, chunkCount, chunkSize }: ImportanceFile,
  signal?: AbortSignal,
): Promise<void> {
  const f32 = formatByName('f32');
  const tensorOf = (name: string, values: Float32Array, matrices: number) => ({
    name,
    format: f32,
    shape: [matrices, values.length / matrices],
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  });
  const tensors = [...entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, { sums, counts }]) => [
      tensorOf(name + sumSuffix, sums, counts.length),
      tensorOf(name + countSuffix, counts, counts.length),
    ]);
  const metadata = {
    'general.type': 'imatrix',
    'imatrix.datasets': { type: 'array', of: 'string', value: datasets },
    'imatrix.chunk_count': { type: 'uint32', value: chunkCount },
    'imatrix.chunk_size': { type: 'uint32', value: chunkSize },
  } as const;
  await writeGguf(
    typeof output === 'string' ? await fileSink(output) : output,
    { metadata, tensors },
    signal,
  );
}
