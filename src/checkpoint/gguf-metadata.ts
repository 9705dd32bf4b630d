/** Reads one metadata value of a GGUF header. */
import { NearfieldError } from '../base/error.ts';
import type { MetadataValue } from '../checkpoint.ts';
import { readStrings } from './gguf-strings.ts';
import { type GgufType, ggufTypes, isNumberType, numberCodecs } from './gguf-type.ts';
import type { HeaderReader } from './header-reader.ts';

/** Arrays inside arrays are legal and unused; in memory one costs far more than its 12 bytes in the file. */
const nestedLimits = { depth: 4, count: 10_000 } as const;

export interface StoredValue {
  readonly value: MetadataValue;
  /** `uint32`, `array of string`. */
  readonly type: string;
}

export class GgufMetadataReader {
  readonly #fileName: string;
  readonly #reader: HeaderReader;
  #nestedCount = 0;

  constructor(fileName: string, reader: HeaderReader) {
    this.#fileName = fileName;
    this.#reader = reader;
  }

  /** `what` names the value in messages. */
  async read(what: string): Promise<StoredValue> {
    const type = await this.#type(what);
    if (type !== 'array') return { type, value: await this.#scalar(type, what) };
    const element = await this.#type(what);
    return { type: `array of ${element}`, value: await this.#array(element, what, 1) };
  }

  async #type(what: string): Promise<GgufType> {
    const typeNumber = await this.#reader.uint32(what);
    return ggufTypes[typeNumber] ?? this.#fail(what, `has type ${typeNumber}, which GGUF does not define`);
  }

  async #scalar(type: Exclude<GgufType, 'array'>, what: string): Promise<MetadataValue> {
    const reader = this.#reader;
    if (type === 'string') return reader.string(what);
    const codec = numberCodecs[type === 'bool' ? 'uint8' : type];
    await reader.fill(codec.bytes, what);
    const value = codec.read(reader.view, reader.cursor);
    reader.cursor += codec.bytes;
    return type === 'bool' ? this.#boolean(Number(value), what) : value;
  }

  async #array(element: GgufType, what: string, depth: number): Promise<MetadataValue> {
    const reader = this.#reader;
    const count = await reader.uint64(what);
    if (element === 'string') return readStrings(reader, count, what);
    if (element === 'array') return this.#arrays(count, what, depth);
    if (isNumberType(element)) {
      const codec = numberCodecs[element];
      return codec.array((await reader.bytes(count * codec.bytes, what)).buffer);
    }
    return Array.from(await reader.bytes(count, what), (byte) => this.#boolean(byte, what));
  }

  async #arrays(count: number, what: string, depth: number): Promise<MetadataValue> {
    this.#nestedCount += count;
    if (depth >= nestedLimits.depth) this.#fail(what, `nests arrays deeper than ${nestedLimits.depth}`);
    if (this.#nestedCount > nestedLimits.count)
      this.#fail(what, `nests more than ${nestedLimits.count} arrays`);
    const arrays: MetadataValue[] = [];
    while (arrays.length < count) {
      const element = await this.#type(what);
      arrays.push(await this.#array(element, what, depth + 1));
    }
    return arrays;
  }

  #boolean(byte: number, what: string): boolean {
    if (byte > 1) this.#fail(what, `holds ${byte} where a boolean is 0 or 1`);
    return byte === 1;
  }

  #fail(what: string, problem: string): never {
    throw new NearfieldError(
      'bad-file',
      `${this.#fileName}: ${what} ${problem}; the file is corrupt or too new`,
    );
  }
}
