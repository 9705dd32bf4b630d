/** Writes GGUF version 3: the header first, then each tensor's bytes as they come, padded to the alignment. */
import { NearfieldError, throwIfAborted } from '../base/error.ts';
import type { Metadata, MetadataValue } from '../checkpoint.ts';
import type { NumberFormat } from '../format.ts';
import type { ByteSink } from './byte-sink.ts';
import { GgufEncoder, type GgufMetadata, type GgufValue } from './gguf-encode.ts';
import { ggufMagic } from './gguf-header.ts';
import { type GgufType, ggufTypes, isNumberType } from './gguf-type.ts';
import { quote } from './quote.ts';
import { tensorByteLength } from './tensor-size.ts';

export interface GgufTensor {
  readonly name: string;
  readonly format: NumberFormat;
  /** Outermost first; the last is the one blocks run along. */
  readonly shape: readonly number[];
  /** Whole, in pieces, or asked for piece by piece in order; exactly as many bytes as format and shape say. */
  readonly data:
    | Uint8Array
    | Iterable<Uint8Array>
    | AsyncIterable<Uint8Array>
    | ((offset: number, length: number) => Uint8Array | Promise<Uint8Array>);
}

export interface GgufContent {
  readonly metadata: GgufMetadata;
  /** Listed at once, for the directory; their data is asked for one tensor at a time. */
  readonly tensors: Iterable<GgufTensor>;
}

/** Length of the pieces that a tensor's data function is asked for. */
const pieceBytes = 4 * 1024 * 1024;
const defaultAlignment = 32;

/** Finishes the sink, or discards it and rejects: `bad-argument` names the key or tensor that cannot be written. */
export async function writeGguf(sink: ByteSink, content: GgufContent, signal?: AbortSignal): Promise<void> {
  try {
    const tensors = [...content.tensors];
    const { metadata } = content;
    const entries = withMarks(metadata instanceof Map ? [...metadata] : Object.entries(metadata), tensors);
    const alignment = alignmentOf(entries);
    await sink.write(encodeHeader(entries, tensors, alignment));
    for (const tensor of tensors) {
      const byteLength = await writeTensor(sink, tensor, signal);
      await sink.write(new Uint8Array(paddingAfter(byteLength, alignment)));
    }
    throwIfAborted(signal);
    await sink.finish();
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

/** The metadata of an open checkpoint, ready to be written: each value of the type it had in the file (empty arrays inside arrays excepted). */
export function copyOfMetadata(metadata: Metadata): Map<string, GgufValue> {
  const copy = new Map<string, GgufValue>();
  for (const [key, value] of metadata.entries) {
    const stored = metadata.storedTypes?.get(key) ?? '';
    copy.set(
      key,
      typedValue(
        value,
        ggufTypes.find((type) => stored === type || stored === `array of ${type}`),
      ),
    );
  }
  return copy;
}

/** `type` is that of the value or, of an array, that of its elements; undefined where the container had none. */
function typedValue(value: MetadataValue, type: GgufType | undefined): GgufValue {
  if (typeof value === 'string' || typeof value === 'boolean' || ArrayBuffer.isView(value)) return value;
  if (typeof value === 'number' || typeof value === 'bigint') {
    return { type: type && isNumberType(type) ? type : 'float64', value };
  }
  const first = typeof value[0];
  const of = type ?? (first === 'boolean' ? 'bool' : first === 'object' ? 'array' : 'string');
  return { type: 'array', of, value: value.map((element) => typedElement(element, of)) };
}

function typedElement(value: MetadataValue, of: GgufType): GgufValue {
  return typedValue(value, of === 'array' ? undefined : of);
}

type Entry = readonly [string, GgufValue];

/** The entries, and those that the formats of the tensors ask for. */
function withMarks(entries: readonly Entry[], tensors: readonly GgufTensor[]): readonly Entry[] {
  const marks = new Map<string, GgufValue>();
  for (const { ggufMark } of tensors.map(({ format }) => format)) {
    if (ggufMark) marks.set(ggufMark.key, { type: 'uint32', value: ggufMark.value });
  }
  return [...entries.filter(([key]) => !marks.has(key)), ...marks];
}

function alignmentOf(entries: readonly Entry[]): number {
  const value = new Map(entries).get('general.alignment');
  if (value === undefined) return defaultAlignment;
  const alignment =
    typeof value === 'object' && 'type' in value && value.type === 'uint32' ? Number(value.value) : 0;
  if (alignment > 0 && alignment <= 2 ** 31 && (alignment & (alignment - 1)) === 0) return alignment;
  throw new NearfieldError(
    'bad-argument',
    'Metadata "general.alignment" must be a uint32 and a power of two',
  );
}

function paddingAfter(byteLength: number, alignment: number): number {
  return (alignment - (byteLength % alignment)) % alignment;
}

/** Padded, so that the data follow directly. */
function encodeHeader(
  entries: readonly Entry[],
  tensors: readonly GgufTensor[],
  alignment: number,
): Uint8Array {
  const encoder = new GgufEncoder();
  encoder.number('uint32', ggufMagic, 'the magic number');
  encoder.number('uint32', 3, 'the version');
  encoder.number('uint64', tensors.length, 'the count of tensors');
  encoder.number('uint64', entries.length, 'the count of metadata');
  for (const [key, value] of entries) {
    checkName(key, 'Metadata key');
    encoder.string(key);
    encoder.value(value, `Metadata ${quote(key)}`);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const { name, format, shape } of tensors) {
    checkName(name, 'Tensor');
    if (names.has(name)) throw new NearfieldError('bad-argument', `There are two tensors ${quote(name)}`);
    names.add(name);
    encoder.string(name);
    encoder.number('uint32', shape.length, `Tensor ${quote(name)}`);
    for (const size of shape.toReversed()) encoder.number('uint64', size, `Tensor ${quote(name)}`);
    encoder.number('uint32', ggufTypeOf(format), `Tensor ${quote(name)}`);
    encoder.number('uint64', offset, `Tensor ${quote(name)}`);
    const byteLength = checkedByteLength(name, format, shape);
    offset += byteLength + paddingAfter(byteLength, alignment);
  }
  encoder.pad(alignment);
  return encoder.bytes();
}

function checkName(name: string, kind: string): void {
  if (name === '' || name.length > 65_535) {
    throw new NearfieldError('bad-argument', `${kind} ${quote(name)} must have 1 to 65535 characters`);
  }
}

function ggufTypeOf({ name, ggufType }: NumberFormat): number {
  if (ggufType !== undefined) return ggufType;
  throw new NearfieldError('unsupported', `GGUF has no type for ${name}; choose another format`);
}

function checkedByteLength(name: string, format: NumberFormat, shape: readonly number[]): number {
  const byteLength = tensorByteLength(format, shape);
  if (typeof byteLength === 'number') return byteLength;
  throw new NearfieldError('bad-argument', `Tensor ${quote(name)} ${byteLength}`);
}

/** The bytes written. */
async function writeTensor(
  sink: ByteSink,
  tensor: GgufTensor,
  signal: AbortSignal | undefined,
): Promise<number> {
  const byteLength = checkedByteLength(tensor.name, tensor.format, tensor.shape);
  let done = 0;
  for await (const piece of piecesOf(tensor.data, byteLength)) {
    throwIfAborted(signal);
    done += piece.byteLength;
    if (done > byteLength) break;
    await sink.write(piece);
  }
  if (done === byteLength) return byteLength;
  const given = done > byteLength ? 'more' : done;
  throw new NearfieldError(
    'bad-argument',
    `Tensor ${quote(tensor.name)} has ${byteLength} bytes, its data gave ${given}`,
  );
}

async function* piecesOf(data: GgufTensor['data'], byteLength: number): AsyncGenerator<Uint8Array> {
  if (data instanceof Uint8Array) {
    yield data;
  } else if (typeof data !== 'function') {
    yield* data;
  } else {
    for (let offset = 0; offset < byteLength; offset += pieceBytes) {
      yield await data(offset, Math.min(pieceBytes, byteLength - offset));
    }
  }
}
