import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeRow,
  encodeRow,
  formatByGgufType,
  formatByName,
  formats,
  type NumberFormat,
  rowBytes,
} from './format.ts';

test('formats have distinct names and GGUF types, and are found by both', () => {
  assert.equal(new Set(formats.map((format) => format.name)).size, formats.length);
  assert.equal(new Set(formats.map((format) => format.ggufType)).size, formats.length);
  for (const format of formats) {
    assert.equal(formatByName(format.name.toUpperCase()), format);
    if (format.ggufType !== undefined) assert.equal(formatByGgufType(format.ggufType), format);
  }
});

test('sizes and type numbers are those of the GGUF format and of docs/e0m4.md', () => {
  const facts: Record<string, [number, number, number]> = {
    f32: [0, 1, 4],
    f16: [1, 1, 2],
    bf16: [30, 1, 2],
    q4_0: [2, 32, 18],
    q4_1: [3, 32, 20],
    q5_0: [6, 32, 22],
    q5_1: [7, 32, 24],
    q8_0: [8, 32, 34],
    q2_k: [10, 256, 84],
    q3_k: [11, 256, 110],
    q4_k: [12, 256, 144],
    q5_k: [13, 256, 176],
    q6_k: [14, 256, 210],
    iq4_nl: [20, 32, 18],
    iq4_xs: [23, 256, 136],
    mxfp4: [39, 32, 17],
    nvfp4: [40, 64, 36],
    iq1_s: [19, 256, 50],
    iq1_m: [29, 256, 56],
    iq2_xxs: [16, 256, 66],
    iq2_xs: [17, 256, 74],
    iq2_s: [22, 256, 82],
    iq3_xxs: [18, 256, 98],
    iq3_s: [21, 256, 110],
    tq1_0: [34, 256, 54],
    tq2_0: [35, 256, 66],
    q1_0: [41, 128, 18],
    q2_0: [42, 64, 18],
    e0m4_32: [0xe0420, 32, 20],
    e0m4_64: [0xe0440, 64, 36],
    e0m4_128: [0xe0480, 128, 68],
  };
  for (const [name, fact] of Object.entries(facts)) {
    const { ggufType, blockValues, blockBytes } = formatByName(name);
    assert.deepEqual([ggufType, blockValues, blockBytes], fact, name);
  }
});

test('what cannot be decoded is named', () => {
  assert.throws(() => formatByName('q9_z'), { code: 'unsupported', message: /'q9_z'.*q4_0/ });
  assert.throws(() => formatByGgufType(26), { code: 'unsupported', message: /26 \(I32\)/ });
  for (const type of [4, 999, -1, Number.NaN]) {
    assert.throws(() => formatByGgufType(type), { code: 'bad-file' });
  }
});

test('rows are whole blocks', () => {
  const q4k = formatByName('q4_k');
  assert.equal(rowBytes(q4k, 512), 288);
  assert.equal(rowBytes(q4k, 0), 0);
  for (const count of [100, -256, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => rowBytes(q4k, count), { code: 'bad-file', message: /q4_k.*256/ });
  }
});

test('rows are encoded and decoded within their arrays', () => {
  const q8 = formatByName('q8_0');
  const values = Float32Array.from({ length: 64 }, (_, i) => i - 30);
  const bytes = new Uint8Array(70);
  const decoded = new Float32Array(64);
  encodeRow(q8, values, 0, bytes, 2, 64);
  decodeRow(q8, bytes, 36, decoded, 16, 32);
  assert.deepEqual(
    decoded.subarray(16, 48).map((value) => Math.round(value)),
    values.subarray(32),
  );
  assert.throws(() => decodeRow(q8, bytes, 3, decoded, 0, 64), { code: 'internal' });
  assert.throws(() => decodeRow(q8, bytes, 0, decoded, 33, 32), { code: 'internal' });
  assert.throws(() => decodeRow(q8, bytes, -1, decoded, 0, 32), { code: 'internal' });
  assert.throws(() => encodeRow(q8, values, 1, bytes, 0, 64), { code: 'internal' });
  assert.throws(() => encodeRow(q8, values, 0, bytes, 3, 64), { code: 'internal' });
});

test('a format without an encoder is not written', () => {
  const readOnly: NumberFormat = { name: 'read-only', blockValues: 1, blockBytes: 1, decode: () => {} };
  assert.throws(() => encodeRow(readOnly, new Float32Array(1), 0, new Uint8Array(1), 0, 1), {
    code: 'unsupported',
  });
});

test('any bytes decode without throwing, and any values encode', () => {
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e308, -1e308, 5e-324, -0];
  for (const format of formats) {
    const values = Float64Array.from({ length: 256 }, (_, i) => odd[i % odd.length] ?? 0);
    const bytes = new Uint8Array(rowBytes(format, 256));
    if (format.encode) encodeRow(format, values, 0, bytes, 0, 256);
    decodeRow(format, bytes.fill(0xff), 0, values, 0, 256);
  }
});
