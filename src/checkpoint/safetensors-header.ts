/**
 * The header of one safetensors file: its length as 64 bits, then JSON of each tensor's type, shape and place, then the
 * data those places count from. Every field is checked before it is used.
 */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource } from '../checkpoint.ts';
import { HeaderReader, peekUint64 } from './header-reader.ts';
import { isRecord, parseJson } from './json.ts';
import { quote } from './quote.ts';

/** Published headers stay below a few MiB. What JSON becomes in memory is many times its length, so a bound is needed. */
const longestHeaderBytes = 32 * 1024 * 1024;
const lengthBytes = 8;

/** Bytes of a value. Types of less than a byte are not listed: their tensors are only named, never measured. */
const valueBytes: ReadonlyMap<string, number> = new Map([
  ...['BOOL', 'U8', 'I8', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0'].map((dtype) => [dtype, 1] as const),
  ...['U16', 'I16', 'F16', 'BF16'].map((dtype) => [dtype, 2] as const),
  ...['U32', 'I32', 'F32'].map((dtype) => [dtype, 4] as const),
  ...['U64', 'I64', 'F64', 'C64'].map((dtype) => [dtype, 8] as const),
]);

/** A tensor as it lies in a file; of any type, since files hold some that no model needs. */
export interface StoredTensor {
  readonly name: string;
  /** The container's own name of the type: `BF16`. */
  readonly dtype: string;
  /** Outermost first; empty for a single value. */
  readonly shape: readonly number[];
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Number of its file. */
  readonly part: number;
}

/** Whether a file that begins so is one: a length that fits, then the brace of its JSON. */
export function beginsSafetensors(head: Uint8Array, byteLength: number): boolean {
  if (head.byteLength <= lengthBytes || head[lengthBytes] !== 0x7b) return false;
  const headerBytes = peekUint64(new DataView(head.buffer, head.byteOffset, head.byteLength), 0);
  return headerBytes <= byteLength - lengthBytes;
}

export async function readSafetensorsHeader(
  source: ByteSource,
  part: number,
  signal?: AbortSignal,
): Promise<StoredTensor[]> {
  const reader = new HeaderReader(source, signal);
  const headerBytes = await reader.uint64('the length of the header');
  if (headerBytes > longestHeaderBytes) {
    const message = `${source.name}: its header claims ${headerBytes} bytes, at most ${longestHeaderBytes} are read; the file is corrupt, get it again`;
    throw new NearfieldError('bad-file', message);
  }
  const header = parseJson(`${source.name}: its header`, await reader.bytes(headerBytes, 'the header'));
  if (!isRecord(header)) {
    throw new NearfieldError('bad-file', `${source.name}: its header is no JSON object; the file is corrupt`);
  }
  const dataStart = lengthBytes + headerBytes;
  const tensors: StoredTensor[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__') tensors.push(readEntry(source, dataStart, name, entry, part));
  }
  return tensors;
}

function readEntry(
  source: ByteSource,
  dataStart: number,
  name: string,
  entry: unknown,
  part: number,
): StoredTensor {
  const fail = (problem: string): never => {
    throw new NearfieldError(
      'bad-file',
      `${source.name}: tensor ${quote(name)} ${problem}; the file is corrupt, get it again`,
    );
  };
  if (!isRecord(entry)) return fail('is not described by an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string') return fail('has no type');
  if (!isCounts(shape)) return fail('has no shape of whole numbers');
  const [begin, end, ...more] = isCounts(offsets) ? offsets : [];
  if (begin === undefined || end === undefined || more.length > 0 || begin > end) {
    return fail('does not say where it begins and ends');
  }
  const missingBytes = dataStart + end - source.byteLength;
  if (missingBytes > 0) {
    return fail(`ends at byte ${dataStart + end}, the file has ${source.byteLength}: it may be cut short`);
  }
  const expected = shape.reduce((product, size) => product * size, valueBytes.get(dtype) ?? Number.NaN);
  if (Number.isSafeInteger(expected) ? expected !== end - begin : valueBytes.has(dtype)) {
    return fail(`has ${end - begin} bytes, ${dtype} [${shape.join(', ')}] would have ${expected}`);
  }
  return { name, dtype, shape, byteOffset: dataStart + begin, byteLength: end - begin, part };
}

/** More dimensions than any tensor has would cost time only. */
const mostDimensions = 8;

function isCounts(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length <= mostDimensions &&
    value.every((count) => Number.isSafeInteger(count) && count >= 0)
  );
}
