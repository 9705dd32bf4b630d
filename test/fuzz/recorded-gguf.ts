/** A small GGUF file of every metadata type, written without the engine's writer, that knows where each of its fields is. */

type FieldBytes = 1 | 2 | 4 | 8;

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly bytes: FieldBytes;
  readonly value: bigint;
}

export interface RecordedFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly fields: readonly Field[];
}

/** Writes `value` over a field, cut to the field's width. */
export function overwrite(bytes: Uint8Array, field: Field, value: bigint): void {
  for (let i = 0; i < field.bytes; i++) bytes[field.offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

export interface RecordedShape {
  readonly version: 2 | 3;
  readonly alignment?: number;
  /** Number of this file and their count, where the model is split. */
  readonly split?: readonly [number, number];
  /** Put before the names of tensors. */
  readonly prefix?: string;
}

type Scalar = readonly ['number', type: number, bytes: FieldBytes, value: number];
type Value = Scalar | readonly ['string', string] | readonly ['array', of: number, items: readonly Value[]];

const scalarTypes: readonly Scalar[] = [
  ['number', 0, 1, 200],
  ['number', 1, 1, 3],
  ['number', 2, 2, 40_000],
  ['number', 3, 2, 5],
  ['number', 4, 4, 70_000],
  ['number', 5, 4, 6],
  ['number', 6, 4, 0x3f800000],
  ['number', 7, 1, 1],
  ['number', 10, 8, 7],
  ['number', 11, 8, 8],
  ['number', 12, 8, 0],
];

export function recordedGguf({ version, alignment, split, prefix = '' }: RecordedShape): RecordedFile {
  const file = new FieldRecorder();
  const entries: [string, Value][] = [
    ['general.architecture', ['string', 'llama']],
    ...scalarTypes.map((value): [string, Value] => [`scalar.${value[1]}`, value]),
    ...scalarTypes.map((value): [string, Value] => [
      `array.${value[1]}`,
      ['array', value[1], [value, value, value]],
    ]),
    ['words', ['array', 8, ['', 'a', '▁the', 'x'.repeat(130)].map((word): Value => ['string', word])]],
    [
      'nested',
      [
        'array',
        9,
        [
          ['array', 8, [['string', 'in']]],
          ['array', 9, [['array', 4, []]]],
        ],
      ],
    ],
    ['empty', ['array', 7, []]],
  ];
  if (alignment !== undefined) entries.push(['general.alignment', ['number', 4, 4, alignment]]);
  if (split) {
    entries.push(['split.no', ['number', 2, 2, split[0]]], ['split.count', ['number', 2, 2, split[1]]]);
    entries.push(['split.tensors.count', ['number', 5, 4, 4 * split[1]]]);
  }
  /** Innermost size first; F32 is type 0, F16 1, Q8_0 8. */
  const tensors: readonly (readonly [name: string, type: number, sizes: number[], byteCount: number])[] = [
    ['norm', 0, [8], 32],
    ['head', 1, [4, 3], 24],
    ['blk.0.q', 8, [64, 2], 136],
    ['cube', 0, [2, 1, 2, 3], 48],
  ];
  file.number('magic', 4, 0x46554747);
  file.number('version', 4, version);
  file.number('tensor count', 8, tensors.length);
  file.number('key count', 8, entries.length);
  for (const [key, value] of entries) {
    file.text(`key ${key}`, key);
    file.number(`type of ${key}`, 4, typeOf(value));
    writeValue(file, key, value);
  }
  const step = alignment ?? 32;
  let dataOffset = 0;
  for (const [name, type, sizes, byteCount] of tensors) {
    file.text(`tensor ${name}`, prefix + name);
    file.number(`dimensions of ${name}`, 4, sizes.length);
    for (const [index, size] of sizes.entries()) file.number(`size ${index} of ${name}`, 8, size);
    file.number(`type of ${name}`, 4, type);
    file.number(`offset of ${name}`, 8, dataOffset);
    dataOffset = Math.ceil((dataOffset + byteCount) / step) * step;
  }
  file.pad(step);
  for (const [index, [, , , byteCount]] of tensors.entries()) {
    file.fill(byteCount, index + 1);
    if (index < tensors.length - 1) file.pad(step);
  }
  return file.finish();
}

const typeOf = (value: Value): number => (value[0] === 'string' ? 8 : value[0] === 'array' ? 9 : value[1]);

function writeValue(file: FieldRecorder, name: string, value: Value): void {
  if (value[0] === 'string') {
    file.text(`value ${name}`, value[1]);
  } else if (value[0] === 'number') {
    file.number(`value ${name}`, value[2], value[3]);
  } else {
    file.number(`element type of ${name}`, 4, value[1]);
    file.number(`element count of ${name}`, 8, value[2].length);
    for (const item of value[2]) writeValue(file, name, item);
  }
}

class FieldRecorder {
  readonly #bytes: number[] = [];
  readonly #fields: Field[] = [];

  /** Little-endian. */
  number(name: string, bytes: FieldBytes, value: number): void {
    this.#fields.push({ name, offset: this.#bytes.length, bytes, value: BigInt(value) });
    for (let i = 0; i < bytes; i++) this.#bytes.push(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  }

  text(name: string, text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number(`length of ${name}`, 8, bytes.byteLength);
    this.#bytes.push(...bytes);
  }

  fill(byteCount: number, value: number): void {
    for (let i = 0; i < byteCount; i++) this.#bytes.push(value);
  }

  pad(step: number): void {
    while (this.#bytes.length % step !== 0) this.#bytes.push(0);
  }

  finish(): RecordedFile {
    return { bytes: Uint8Array.from(this.#bytes), fields: this.#fields };
  }
}
