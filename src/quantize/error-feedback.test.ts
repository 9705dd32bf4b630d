import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeRow, encodeRowClosely, formatByName, formats, rowBytes } from '../format.ts';
import { Covariance, encodeRowWithFeedback } from './error-feedback.ts';

const columns = 128;
const wave = (i: number): number => Math.sin(1.3 * i * i) + Math.sin(0.7 * i * i + 1);
const laddered = formats.filter(({ ladder, encode }) => ladder && encode);

/** Inputs that go together: a few waves, each over all columns, and a little of their own. */
const rows = Array.from({ length: 300 }, (_, row) =>
  Float64Array.from({ length: columns }, (_, column) => {
    const shared = [0, 1, 2, 3].reduce(
      (sum, k) => sum + wave(row * 4 + k) * Math.cos(column * (k + 1) * 0.2),
      0,
    );
    return shared + 0.2 * wave(row * columns + column);
  }),
);

test('the factor is that of the inverse covariance', () => {
  const covariance = new Covariance(2);
  covariance.add(Float64Array.of(2, 0, 1, 3));
  // H = [[5, 3], [3, 9]] and 1 % of its mean diagonal, 0.07. Of any H the feedback of value 0 on value 1 is −H₀₁ / H₁₁.
  const factor = covariance.feedback();
  assert.equal(factor[0], 1);
  assert.equal(factor[3], 1);
  assert.ok(Math.abs((factor[1] ?? 0) + 3 / 9.07) < 1e-6, `${factor[1]}`);
  assert.throws(() => new Covariance(4).feedback(), { code: 'bad-argument' });
});

test('feedback lowers the error of products, if not that of the weights', () => {
  const covariance = new Covariance(columns);
  for (const row of rows) covariance.add(row);
  const feedback = covariance.feedback();
  assert.ok(laddered.length >= 2);
  for (const format of laddered) {
    let [plain, fed] = [0, 0];
    for (let neuron = 0; neuron < 16; neuron++) {
      const weights = Float32Array.from({ length: columns }, (_, i) => wave(i + neuron * columns));
      const errorOf = (encode: (target: Uint8Array) => void): number => {
        const [bytes, decoded] = [new Uint8Array(rowBytes(format, columns) + 1), new Float64Array(columns)];
        encode(bytes);
        decodeRow(format, bytes, 1, decoded, 0, columns);
        const product = (x: Float64Array): number =>
          x.reduce((sum, value, i) => sum + value * ((decoded[i] ?? 0) - (weights[i] ?? 0)), 0);
        return rows.reduce((sum, x) => sum + product(x) ** 2, 0);
      };
      plain += errorOf((target) => encodeRowClosely(format, weights, 0, target, 1, columns));
      fed += errorOf((target) => encodeRowWithFeedback(format, weights, target, 1, feedback, undefined));
    }
    assert.ok(fed < 0.5 * plain, `${format.name}: ${fed} with feedback, ${plain} without`);
  }
});

test('codes that a caller chooses are the block that the format decodes', () => {
  for (const { name, blockValues, blockBytes, ladder, decode } of laddered) {
    assert.ok(ladder);
    const values = Float32Array.from({ length: blockValues }, (_, i) => wave(i));
    const bytes = new Uint8Array(blockBytes + 1);
    encodeRowClosely(formatByName(name), values, 0, bytes, 1, blockValues);
    const codes = Uint8Array.from({ length: blockValues }, (_, i) => (i * 7) % (ladder.largestCode + 1));
    ladder.writeCodes(bytes, 1, codes);
    const { origin, step } = ladder.read(bytes, 1);
    const decoded = new Float64Array(blockValues);
    decode(bytes, 1, decoded, 0, 1);
    for (const [i, code] of codes.entries()) {
      assert.ok(Math.abs((decoded[i] ?? 0) - (origin + step * code)) < 1e-6, `${name} value ${i}`);
    }
  }
});
