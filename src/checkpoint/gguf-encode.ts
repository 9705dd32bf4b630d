/** The header of a GGUF file as bytes: metadata values and the tensor directory, version 3, little-endian. */
import { NearfieldError } from '../base/error.ts';
import type { MetadataTypedArray } from '../checkpoint.ts';
import {
  type GgufNumberType,
  type GgufType,
  ggufTypes,
  isNumberType,
  numberCodecs,
  typeOfArray,
} from './gguf-type.ts';
import { quote } from './quote.ts';

/**
 * A metadata value with the type it has in the file. What JavaScript types by itself may be given as it is; a plain
 * number may not, since readers elsewhere insist on the exact integer type.
 */
export type GgufValue =
  | { readonly type: GgufNumberType; readonly value: number | bigint }
  | GgufArray
  | string
  | boolean
  | readonly string[]
  | readonly boolean[]
  | MetadataTypedArray;

export interface GgufArray {
  readonly type: 'array';
  readonly of: GgufType;
  /** Of arrays, where `of` is 'array'. */
  readonly value: ArrayLike<number | bigint | GgufValue>;
}

export type GgufMetadata = ReadonlyMap<string, GgufValue> | Readonly<Record<string, GgufValue>>;

/** Grows as it is written to. */
export class GgufEncoder {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #text = new TextEncoder();

  get byteLength(): number {
    return this.#length;
  }

  /** Valid until the next write. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  number(type: GgufNumberType, value: number | bigint, what: string): void {
    const codec = numberCodecs[type];
    const at = this.#advance(codec.bytes);
    try {
      codec.write(this.#view, at, value);
    } catch (cause) {
      throw new NearfieldError('bad-argument', `${what}: ${String(value)} is not a ${type}`, { cause });
    }
    const rounds = type === 'float32' || type === 'float64';
    if (!rounds && BigInt(codec.read(this.#view, at)) !== integerOf(value)) {
      throw new NearfieldError('bad-argument', `${what}: ${String(value)} does not fit in ${type}`);
    }
  }

  string(text: string): void {
    const lengthAt = this.#advance(8);
    // UTF-8 has at most three bytes for one unit of UTF-16.
    this.#reserve(3 * text.length);
    const { written } = this.#text.encodeInto(text, this.#bytes.subarray(this.#length));
    this.#view.setBigUint64(lengthAt, BigInt(written), true);
    this.#length += written;
  }

  /** Type and value. */
  value(value: GgufValue, what: string): void {
    const array = arrayOf(value, what);
    if (array) {
      this.#type('array');
      this.#array(array, what);
    } else if (typeof value === 'object' && 'type' in value) {
      this.#type(value.type);
      this.#element(value.type, value.value, what);
    } else {
      const type = typeof value === 'string' ? 'string' : 'bool';
      this.#type(type);
      this.#element(type, value, what);
    }
  }

  /** Zeros up to a multiple of `alignment`. */
  pad(alignment: number): void {
    this.#advance((alignment - (this.#length % alignment)) % alignment);
  }

  #type(type: GgufType): void {
    this.number('uint32', ggufTypes.indexOf(type), 'a type');
  }

  /** Type of the elements, count, elements. */
  #array({ of, value }: GgufArray, what: string): void {
    this.#type(of);
    this.number('uint64', value.length, what);
    for (let index = 0; index < value.length; index++) this.#element(of, value[index], what);
  }

  #element(type: GgufType, value: unknown, what: string): void {
    if (type === 'string' && typeof value === 'string') this.string(value);
    else if (type === 'bool' && typeof value === 'boolean') this.number('uint8', value ? 1 : 0, what);
    else if (isNumberType(type) && (typeof value === 'number' || typeof value === 'bigint')) {
      this.number(type, value, what);
    } else {
      const array = type === 'array' ? arrayOf(value, what) : undefined;
      if (!array)
        throw new NearfieldError('bad-argument', `${what}: ${quote(String(value))} is not of type ${type}`);
      this.#array(array, what);
    }
  }

  /** Makes room and returns where it begins. Fresh room holds zeros. */
  #advance(byteCount: number): number {
    this.#reserve(byteCount);
    const at = this.#length;
    this.#length += byteCount;
    return at;
  }

  #reserve(byteCount: number): void {
    if (this.#length + byteCount <= this.#bytes.byteLength) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.byteLength, this.#length + byteCount));
    grown.set(this.bytes());
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

function integerOf(value: number | bigint): bigint | undefined {
  return typeof value === 'bigint' || Number.isInteger(value) ? BigInt(value) : undefined;
}

/** The value as an array whose type is stated; undefined where it is no array. */
function arrayOf(value: unknown, what: string): GgufArray | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (ArrayBuffer.isView(value)) {
    const array = value as MetadataTypedArray;
    return { type: 'array', of: typeOfArray(array), value: array };
  }
  if (!Array.isArray(value))
    return 'type' in value && value.type === 'array' ? (value as GgufArray) : undefined;
  const kind = typeof value[0];
  if (kind === 'string' || kind === 'boolean') {
    return { type: 'array', of: kind === 'string' ? 'string' : 'bool', value };
  }
  throw new NearfieldError(
    'bad-argument',
    `${what}: state the type of this array, { type: 'array', of, value }`,
  );
}
