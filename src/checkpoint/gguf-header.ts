/**
 * The header of one GGUF file, versions 2 and 3: magic, version, counts, metadata, tensor directory. Every field is
 * checked before it is used. Layout: docs/gguf.md of the ggml project.
 */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, MetadataValue, TensorEntry } from '../checkpoint.ts';
import { formatByGgufType, type NumberFormat } from '../format.ts';
import { GgufMetadataReader } from './gguf-metadata.ts';
import { HeaderReader } from './header-reader.ts';
import { MetadataMap } from './metadata.ts';
import { quote } from './quote.ts';
import { tensorByteLength } from './tensor-size.ts';

/** "GGUF" as a little-endian number. */
export const ggufMagic = 0x46554747;
/** Of keys, by the specification; here of tensor names, too. */
const longestNameBytes = 65_535;
/** Far above every published file; they bound what a corrupt one makes of itself in memory. */
const mostKeys = 65_536;
const mostTensors = 262_144;
/** Length, one byte of name, type, one byte of value. */
const leastKeyBytes = 8 + 1 + 4 + 1;
/** Length, one byte of name, count of dimensions, one dimension, type, offset. */
const leastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

export interface GgufHeader {
  readonly metadata: MetadataMap;
  /** With offsets in the file. `part` is 0. */
  readonly tensors: readonly TensorEntry[];
}

export async function readGgufHeader(source: ByteSource, signal?: AbortSignal): Promise<GgufHeader> {
  const reader = new HeaderReader(source, signal);
  const fail = (problem: string): never => {
    throw new NearfieldError('bad-file', `${source.name}: ${problem}; the file is corrupt, get it again`);
  };
  if ((await reader.uint32('the magic number')) !== ggufMagic) fail('this is not a GGUF file');
  checkVersion(source.name, await reader.uint32('the version'));
  const tensorCount = await reader.uint64('the count of tensors');
  const keyCount = await reader.uint64('the count of metadata');
  if (tensorCount > mostTensors) fail(`it claims ${tensorCount} tensors, at most ${mostTensors} are read`);
  if (keyCount > mostKeys) fail(`it claims ${keyCount} metadata keys, at most ${mostKeys} are read`);
  reader.expect(tensorCount * leastTensorBytes + keyCount * leastKeyBytes, 'the header');

  const metadata = await readMetadata(source.name, reader, keyCount);
  const alignment = metadata.number('general.alignment', 32);
  if (!isPowerOfTwo(alignment)) fail(`metadata "general.alignment" is ${alignment}, not a power of two`);

  const directory: DirectoryEntry[] = [];
  const names = new Set<string>();
  for (let index = 0; index < tensorCount; index++) {
    const entry = await readEntry(source.name, reader, `tensor ${index + 1} of ${tensorCount}`);
    const { name, dataOffset } = entry;
    if (names.has(name)) fail(`there are two tensors ${quote(name)}`);
    if (dataOffset % alignment !== 0) {
      fail(`tensor ${quote(name)} begins at ${dataOffset}, not a multiple of the alignment ${alignment}`);
    }
    checkMark(source.name, metadata, entry);
    names.add(name);
    directory.push(entry);
  }
  const dataStart = Math.ceil(reader.offset / alignment) * alignment;
  return { metadata, tensors: directory.map((entry) => locateTensor(source, entry, dataStart)) };
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 2 ** 31 && (value & (value - 1)) === 0;
}

function checkVersion(fileName: string, version: number): void {
  if (version === 2 || version === 3) return;
  const problem =
    version === 1
      ? 'is GGUF version 1, which had only a few weeks of use'
      : version > 0 && (version & 0xffff) === 0
        ? 'is a big-endian GGUF file'
        : `claims GGUF version ${version}`;
  throw new NearfieldError('unsupported', `${fileName} ${problem}; little-endian versions 2 and 3 are read`);
}

/** A format that is not GGUF's own says which version of it this is. */
function checkMark(fileName: string, metadata: MetadataMap, { name, format }: DirectoryEntry): void {
  const { ggufMark } = format;
  if (!ggufMark) return;
  const found = metadata.number(ggufMark.key, 0);
  if (found === ggufMark.value) return;
  const problem = found === 0 ? `has no ${quote(ggufMark.key)}` : `has ${quote(ggufMark.key)} ${found}`;
  throw new NearfieldError(
    'unsupported',
    `${fileName} ${problem}, and tensor ${quote(name)} is ${format.name}; version ${ggufMark.value} is read`,
  );
}

async function readMetadata(fileName: string, reader: HeaderReader, keyCount: number): Promise<MetadataMap> {
  const values = new GgufMetadataReader(fileName, reader);
  const entries = new Map<string, MetadataValue>();
  const types = new Map<string, string>();
  for (let index = 0; index < keyCount; index++) {
    const what = `metadata key ${index + 1} of ${keyCount}`;
    const key = await reader.string(what, longestNameBytes);
    if (key === '' || entries.has(key)) {
      const problem = key === '' ? `${what} is empty` : `there are two metadata keys ${quote(key)}`;
      throw new NearfieldError('bad-file', `${fileName}: ${problem}; the file is corrupt, get it again`);
    }
    const { type, value } = await values.read(`metadata ${quote(key)}`);
    entries.set(key, value);
    types.set(key, type);
  }
  return new MetadataMap(fileName, entries, types);
}

interface DirectoryEntry {
  readonly name: string;
  readonly format: NumberFormat;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** From the start of the data, which is known only after the directory. */
  readonly dataOffset: number;
}

async function readEntry(fileName: string, reader: HeaderReader, what: string): Promise<DirectoryEntry> {
  const name = await reader.string(what, longestNameBytes);
  const tensor = `tensor ${quote(name)}`;
  const fail = (problem: string): never => {
    throw new NearfieldError(
      'bad-file',
      `${fileName}: ${tensor} ${problem}; the file is corrupt, get it again`,
    );
  };
  if (name === '') fail(`(${what}) has no name`);
  const dimensionCount = await reader.uint32(tensor);
  if (dimensionCount < 1 || dimensionCount > 4) fail(`has ${dimensionCount} dimensions; 1 to 4 are allowed`);
  const shape: number[] = [];
  // The file has the innermost first.
  while (shape.length < dimensionCount) shape.unshift(await reader.uint64(tensor));
  const format = formatOf(`${fileName}: ${tensor}`, await reader.uint32(tensor));
  const dataOffset = await reader.uint64(tensor);
  const byteLength = tensorByteLength(format, shape);
  if (typeof byteLength === 'string') return fail(byteLength);
  return { name, format, shape, byteLength, dataOffset };
}

function formatOf(tensor: string, type: number): NumberFormat {
  try {
    return formatByGgufType(type);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : `type ${type} is unknown`;
    throw new NearfieldError('unsupported', `${tensor}: ${reason}`, { cause });
  }
}

function locateTensor(source: ByteSource, entry: DirectoryEntry, dataStart: number): TensorEntry {
  const { name, format, shape, byteLength, dataOffset } = entry;
  const byteOffset = dataStart + dataOffset;
  const missingBytes = byteOffset + byteLength - source.byteLength;
  if (missingBytes > 0) {
    throw new NearfieldError(
      'bad-file',
      `${source.name}: the last ${Math.min(missingBytes, byteLength)} of the ${byteLength} bytes of tensor ${quote(name)} are missing ` +
        `(it ends at byte ${byteOffset + byteLength}, the file has ${source.byteLength}); the file is cut short or corrupt, get it again`,
    );
  }
  return { name, format, shape, byteLength, part: 0, byteOffset };
}
