/** The value types of GGUF metadata: their numbers in the file, and how scalars and arrays of scalars sit in bytes. */
import type { MetadataTypedArray } from '../checkpoint.ts';

/** In the order of their numbers in the file. */
export const ggufTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

export type GgufType = (typeof ggufTypes)[number];

export type GgufNumberType = Exclude<GgufType, 'bool' | 'string' | 'array'>;

export interface NumberCodec {
  readonly bytes: number;
  /** Exact; 64-bit integers are a number up to 2^53 and a bigint beyond. */
  read(view: DataView, at: number): number | bigint;
  /** Throws RangeError or TypeError, or wraps around, for what does not fit: `read` then gives something else. */
  write(view: DataView, at: number, value: number | bigint): void;
  /** Views little-endian bytes; hosts of JavaScript are little-endian. `buffer` holds whole elements. */
  array(buffer: ArrayBuffer): MetadataTypedArray;
}

export const numberCodecs: { readonly [Type in GgufNumberType]: NumberCodec } = {
  uint8: {
    bytes: 1,
    read: (view, at) => view.getUint8(at),
    write: (view, at, value) => view.setUint8(at, Number(value)),
    array: (buffer) => new Uint8Array(buffer),
  },
  int8: {
    bytes: 1,
    read: (view, at) => view.getInt8(at),
    write: (view, at, value) => view.setInt8(at, Number(value)),
    array: (buffer) => new Int8Array(buffer),
  },
  uint16: {
    bytes: 2,
    read: (view, at) => view.getUint16(at, true),
    write: (view, at, value) => view.setUint16(at, Number(value), true),
    array: (buffer) => new Uint16Array(buffer),
  },
  int16: {
    bytes: 2,
    read: (view, at) => view.getInt16(at, true),
    write: (view, at, value) => view.setInt16(at, Number(value), true),
    array: (buffer) => new Int16Array(buffer),
  },
  uint32: {
    bytes: 4,
    read: (view, at) => view.getUint32(at, true),
    write: (view, at, value) => view.setUint32(at, Number(value), true),
    array: (buffer) => new Uint32Array(buffer),
  },
  int32: {
    bytes: 4,
    read: (view, at) => view.getInt32(at, true),
    write: (view, at, value) => view.setInt32(at, Number(value), true),
    array: (buffer) => new Int32Array(buffer),
  },
  float32: {
    bytes: 4,
    read: (view, at) => view.getFloat32(at, true),
    write: (view, at, value) => view.setFloat32(at, Number(value), true),
    array: (buffer) => new Float32Array(buffer),
  },
  uint64: {
    bytes: 8,
    read: (view, at) => numberIfExact(view.getBigUint64(at, true)),
    write: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
    array: (buffer) => new BigUint64Array(buffer),
  },
  int64: {
    bytes: 8,
    read: (view, at) => numberIfExact(view.getBigInt64(at, true)),
    write: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
    array: (buffer) => new BigInt64Array(buffer),
  },
  float64: {
    bytes: 8,
    read: (view, at) => view.getFloat64(at, true),
    write: (view, at, value) => view.setFloat64(at, Number(value), true),
    array: (buffer) => new Float64Array(buffer),
  },
};

function numberIfExact(value: bigint): number | bigint {
  return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
}

export function isNumberType(type: GgufType): type is GgufNumberType {
  return Object.hasOwn(numberCodecs, type);
}

/** Element type of a typed array, as GGUF names it. */
export function typeOfArray(array: MetadataTypedArray): GgufNumberType {
  return array[Symbol.toStringTag].replace('Array', '').replace('Big', '').toLowerCase() as GgufNumberType;
}
