/** What every close search is held to: less error than the plain encoder, where it matters most, and no block it cannot write. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeRow,
  encodeRow,
  encodeRowClosely,
  formatByName,
  formats,
  type NumberFormat,
  rowBytes,
} from '../format.ts';

const valueCount = 4096;
const searched = formats.filter(({ encodeClosely }) => encodeClosely);

/** Seeded; twelve uniform numbers less six. */
function normalValues(count: number, seed = 7): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      sum += state / 2 ** 32;
    }
    return sum;
  });
}

function errorOf(
  format: NumberFormat,
  values: Float32Array,
  encode: typeof encodeRowClosely,
  importance?: Float32Array,
  weights = importance,
): number {
  const bytes = new Uint8Array(rowBytes(format, values.length) + 2).fill(0xa5);
  encode(format, values, 0, bytes, 1, values.length, importance);
  assert.deepEqual([bytes[0], bytes.at(-1)], [0xa5, 0xa5], `${format.name} writes outside its blocks`);
  const decoded = new Float64Array(values.length);
  decodeRow(format, bytes, 1, decoded, 0, values.length);
  return decoded.reduce((sum, value, i) => sum + (weights?.[i] ?? 1) * (value - (values[i] ?? 0)) ** 2, 0);
}

test('formats of few bits have a close search', () => {
  const names = searched.map(({ name }) => name);
  for (const name of [
    'q4_0',
    'q4_1',
    'q5_0',
    'q5_1',
    'q2_k',
    'q3_k',
    'q4_k',
    'q5_k',
    'q6_k',
    'iq4_nl',
    'iq4_xs',
    'mxfp4',
  ]) {
    assert.ok(names.includes(name), name);
  }
});

for (const format of searched) {
  test(`${format.name} searched closely leaves less error`, () => {
    const normal = normalValues(valueCount);
    const kinds: Record<string, Float32Array> = {
      normal,
      'tiny and huge': normal.map((value, i) => value * (i % 512 < 256 ? 1e-3 : 1e3)),
      'one outlier': normal.map((value, i) => (i % 256 === 17 ? 40 : value)),
      'all positive': normal.map((value) => 3 + Math.abs(value)),
    };
    for (const [kind, values] of Object.entries(kinds)) {
      const [plain, close] = [errorOf(format, values, encodeRow), errorOf(format, values, encodeRowClosely)];
      assert.ok(close < plain * 1.002, `${kind}: ${close}, plainly ${plain}`);
    }
    // A quarter of the columns is all that counts.
    const importance = Float32Array.from({ length: valueCount }, (_, i) => (i % 4 === 0 ? 1 : 1e-3));
    const blind = errorOf(format, normal, encodeRowClosely, undefined, importance);
    const aware = errorOf(format, normal, encodeRowClosely, importance);
    assert.ok(aware < blind * 0.99, `with importance ${aware}, without ${blind}`);
  });

  test(`${format.name} searched closely writes blocks of any kind`, () => {
    const zeros = new Float32Array(512);
    assert.equal(errorOf(format, zeros, encodeRowClosely), 0);
    const useless = errorOf(format, normalValues(512), encodeRowClosely, new Float32Array(512));
    assert.ok(Number.isFinite(useless), `importance of zero everywhere leaves ${useless}`);
    const constant = errorOf(format, new Float32Array(512).fill(-0.7), encodeRowClosely);
    assert.ok(constant <= 512 * 0.06 ** 2, `a constant row leaves ${constant}`);
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, -1e38, 1e-45, 65504, 0];
    const values = Float32Array.from({ length: 512 }, (_, i) => odd[i % odd.length] ?? 0);
    encodeRowClosely(format, values, 0, new Uint8Array(rowBytes(format, 512)), 0, 512);
  });
}

test('importances for fewer values than the row are refused', () => {
  const format = formatByName('q4_k');
  const [values, bytes] = [new Float32Array(512), new Uint8Array(rowBytes(format, 512))];
  assert.throws(() => encodeRowClosely(format, values, 0, bytes, 0, 512, new Float32Array(256)), {
    code: 'internal',
  });
});
