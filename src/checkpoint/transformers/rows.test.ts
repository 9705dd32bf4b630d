/** Rows made of rows, against whole matrices turned about by hand; read whole, by rows and byte by byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatByName } from '../../format.ts';
import { blobSource } from '../blob-source.ts';
import { memorySource } from '../memory-source.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import { adjacentPairs, regroupedQueryKeyValue, shareOfRows, stacked } from './changes.ts';
import { ModelConfig } from './config.ts';
import { mxfp4Rows } from './mxfp4-rows.ts';
import {
  asFloats,
  byteLengthOf,
  everyOther,
  joined,
  type Rows,
  reordered,
  rowsOf,
  sliced,
  transposed,
} from './rows.ts';
import { TileShelf } from './tile-shelf.ts';

/** Row r has the values 10 r, 10 r + 1, … */
const numbered = (rows: number, columns: number): number[] =>
  Array.from({ length: rows * columns }, (_, i) => 10 * Math.floor(i / columns) + (i % columns));

const stored = (shape: readonly number[], byteOffset = 0): StoredTensor => {
  const byteLength = 4 * shape.reduce((product, size) => product * size, 1);
  return { name: 't', dtype: 'F32', shape, byteOffset, byteLength, part: 0 };
};

/** Reads in pieces of `pieceBytes`, out of order where `backwards`. */
async function read(
  rows: Rows,
  file: Uint8Array<ArrayBuffer>,
  pieceBytes: number,
  backwards = false,
): Promise<Uint8Array> {
  const parts = [new Blob([file])].map(blobSource);
  const bytes = new Uint8Array(byteLengthOf(rows));
  const starts = Array.from(
    { length: Math.ceil(bytes.length / pieceBytes) },
    (_, index) => index * pieceBytes,
  );
  for (const start of backwards ? starts.reverse() : starts) {
    const piece = bytes.subarray(start, start + pieceBytes);
    if (rows.content)
      await rows.content.read({ parts, signal: undefined, readsOnTo: undefined }, start, piece);
    else piece.set(file.subarray(rows.byteOffset + start, rows.byteOffset + start + piece.length));
  }
  return bytes;
}

async function check(rows: Rows, values: readonly number[], expected: readonly number[]): Promise<void> {
  const file = new Uint8Array(Float32Array.from(values).buffer);
  const target = formatByName('f32');
  assert.equal(rows.format, target);
  const wanted = new Uint8Array(Float32Array.from(expected).buffer);
  for (const pieceBytes of [wanted.length, 12, 5, 1]) {
    for (const backwards of [false, true]) {
      assert.deepEqual(
        await read(rows, file, pieceBytes, backwards),
        wanted,
        `${pieceBytes} bytes at a time`,
      );
    }
  }
}

const shelf = new TileShelf();
const context = (config: object) => ({ config: new ModelConfig('config.json', config), shelf });

test('halves of a head become pairs: rows 0 1 2 3 4 5 of each head are 0 3 1 4 2 5', async () => {
  const change = adjacentPairs((config) => config.count('heads'));
  const rows = change([stored([12, 2])], context({ heads: 2 }));
  const firstValues = [0, 30, 10, 40, 20, 50, 60, 90, 70, 100, 80, 110];
  await check(
    rows,
    numbered(12, 2),
    firstValues.flatMap((first) => [first, first + 1]),
  );
  const bias = change([stored([12])], context({ heads: 2 }));
  await check(bias, numbered(12, 1), firstValues);
  assert.throws(() => change([stored([12, 2])], context({ heads: 5 })), { code: 'bad-file' });
  assert.throws(() => change([stored([12, 2])], context({ heads: 12 })), { code: 'bad-file' });
});

test('queries, keys and values of groups come apart', async () => {
  // Two groups of two heads of one row: q q k v, q q k v.
  const change = regroupedQueryKeyValue((config) => config.count('groups'));
  const rows = change([stored([8, 3])], context({ n_head: 4, groups: 2 }));
  const order = [0, 10, 40, 50, 20, 60, 30, 70];
  await check(
    rows,
    numbered(8, 3),
    order.flatMap((first) => [first, first + 1, first + 2]),
  );
});

test('shares of rows, of one matrix and of several', async () => {
  const up = shareOfRows(1, 2)([stored([2, 4, 1])], context({}));
  assert.deepEqual(up.shape, [2, 2, 1]);
  await check(up, numbered(8, 1), [20, 30, 60, 70]);
  const gate = shareOfRows(0, 2)([stored([4, 2])], context({}));
  assert.deepEqual(gate.shape, [2, 2]);
  await check(gate, numbered(4, 2), [0, 1, 10, 11]);
});

test('experts are stacked', async () => {
  const rows = stacked([stored([2, 2], 16), stored([2, 2], 0)], context({}));
  assert.deepEqual(rows.shape, [2, 2, 2]);
  await check(rows, numbered(4, 2), [20, 21, 30, 31, 0, 1, 10, 11]);
  assert.throws(() => stacked([stored([2, 2]), stored([2, 3])], context({})), { code: 'bad-file' });
});

test('columns become rows, in tiles', async () => {
  const rows = transposed(rowsOf(stored([3, 5])), shelf);
  assert.deepEqual(rows.shape, [5, 3]);
  await check(
    rows,
    numbered(3, 5),
    [0, 1, 2, 3, 4].flatMap((column) => [column, 10 + column, 20 + column]),
  );
  // More than one tile, and more than one piece of the source for each.
  const [sourceRows, sourceColumns] = [1200, 4100];
  const values = Float32Array.from({ length: sourceRows * sourceColumns }, (_, i) => i);
  const large = transposed(rowsOf(stored([sourceRows, sourceColumns])), shelf);
  const bytes = await read(large, new Uint8Array(values.buffer), 3_000_001);
  const turned = new Float32Array(bytes.buffer);
  for (let at = 0; at < turned.length; at++) {
    const [row, column] = [Math.floor(at / sourceRows), at % sourceRows];
    if (turned[at] !== column * sourceColumns + row) assert.fail(`value ${at}`);
  }
});

test('every other row', async () => {
  await check(
    everyOther(rowsOf(stored([6, 2])), 1, 2, [3, 2], shelf),
    numbered(6, 2),
    [10, 11, 30, 31, 50, 51],
  );
  assert.throws(() => everyOther(rowsOf(stored([5, 2])), 1, 2, [3, 2], shelf), { code: 'bad-file' });
});

test('changes of changes', async () => {
  const turned = transposed(rowsOf(stored([2, 4])), shelf);
  const some = sliced(reordered(turned, [3, 1, 0, 2], shelf), 1, 2);
  await check(joined([some, sliced(turned, 3, 1)], [3, 2]), numbered(2, 4), [1, 11, 0, 10, 3, 13]);
  // What is made of a piece may be shorter than the piece.
  const halves = [0, 4].map((first) =>
    everyOther(sliced(rowsOf(stored([8, 2])), first, 4), 1, 2, [2, 2], shelf),
  );
  await check(joined(halves, [2, 2, 2]), numbered(8, 2), [10, 11, 30, 31, 50, 51, 70, 71]);
});

test('f32 of halves, one added', async () => {
  for (const [dtype, values] of [
    ['F16', [0x3c00, 0xc000, 0x0001]],
    ['BF16', [0x3f80, 0xc000, 0x3380]],
  ] as const) {
    const tensor = { ...stored([3]), dtype, byteLength: 6 };
    const rows = asFloats(rowsOf(tensor), 1, shelf);
    assert.equal(rows.format.name, 'f32');
    const bytes = await read(rows, new Uint8Array(Uint16Array.from(values).buffer), 5);
    assert.deepEqual([...new Float32Array(bytes.buffer)].slice(0, 2), [2, -1]);
  }
  assert.throws(() => rowsOf({ ...stored([2]), dtype: 'F64' }), {
    code: 'unsupported',
    message: /"t".*"F64"/,
  });
});

test('MXFP4: nibbles that are neighbours come half a block apart, every other row', async () => {
  const blocks = 2;
  const shape = [1, 4, blocks, 16];
  const bytes = 4 * blocks * 16;
  // Of row r and block b the code of value i is (i + r + b) mod 16, the exponent 100 + 10 r + b.
  const file = new Uint8Array(bytes + 4 * blocks);
  for (let row = 0; row < 4; row++) {
    for (let block = 0; block < blocks; block++) {
      const code = (i: number) => (i + row + block) % 16;
      for (let j = 0; j < 16; j++)
        file[(row * blocks + block) * 16 + j] = code(2 * j) | (code(2 * j + 1) << 4);
      file[bytes + row * blocks + block] = 100 + 10 * row + block;
    }
  }
  const codes = { ...stored(shape), dtype: 'U8', byteLength: bytes };
  const scales = { ...stored(shape.slice(0, 3), bytes), dtype: 'U8', byteLength: 4 * blocks };
  const rows = mxfp4Rows([codes, scales], 1, 2, shelf);
  assert.deepEqual(rows.shape, [1, 2, 64]);
  const made = await read(rows, file, 7);
  for (const [place, row] of [1, 3].entries()) {
    for (let block = 0; block < blocks; block++) {
      const own = made.subarray((place * blocks + block) * 17, (place * blocks + block + 1) * 17);
      assert.equal(own[0], 100 + 10 * row + block);
      const values = Array.from({ length: 32 }, (_, i) =>
        i < 16 ? (own[1 + i] ?? 0) & 15 : (own[i - 15] ?? 0) >> 4,
      );
      assert.deepEqual(
        values,
        Array.from({ length: 32 }, (_, i) => (i + row + block) % 16),
      );
    }
  }
  assert.throws(() => mxfp4Rows([codes], 0, 1, shelf), { code: 'bad-file' });
});

test('tiles of many tensors read in turn stay right and few', async () => {
  const file = new Uint8Array(Float32Array.from(numbered(8, 2)).buffer);
  const tensors = Array.from({ length: 10 }, () => reordered(rowsOf(stored([8, 2])), [1, 0, 3, 2], shelf));
  const reading = { parts: [memorySource(file)], signal: undefined, readsOnTo: undefined };
  const whole = await read(tensors[0] as Rows, file, 64);
  for (let at = 0; at < 64; at += 8) {
    const pieces = await Promise.all(
      tensors.map(async ({ content }) => {
        const piece = new Uint8Array(8);
        await content?.read(reading, at, piece);
        return piece;
      }),
    );
    for (const piece of pieces) assert.deepEqual(piece, whole.subarray(at, at + 8));
  }
});
