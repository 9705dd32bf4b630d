import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkRoundTrip,
  largestMagnitude,
  relativeRms,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import type { NumberFormat } from '../format.ts';
import { e0m4_32, e0m4_64, e0m4_128 } from './e0m4.ts';

const members = [e0m4_32, e0m4_64, e0m4_128];

test('e0m4 known blocks', () => {
  // Scale 2 (0x4000), bias -2.5 (0xc100): code 0 is -0.5. Byte 4: codes 1 and 15 of values 0 and 16; the last byte of 16: 8 and 4 of
  // values 15 and 31; byte 20, where there is one: 2 of value 32.
  const head = { 1: 0x40, 3: 0xc1, 4: 0xf1, 19: 0x48 };
  const values = { 0: -0.375, 15: 0.5, 16: 1.375, 31: 0 };
  checkDecode(e0m4_32, bytesWith(20, head), valuesWith(32, -0.5, values));
  checkDecode(e0m4_64, bytesWith(36, { ...head, 20: 2 }), valuesWith(64, -0.5, { ...values, 32: -0.25 }));
  const last = { 67: 0x30 };
  checkDecode(
    e0m4_128,
    bytesWith(68, { ...head, ...last }),
    valuesWith(128, -0.5, { ...values, 127: -0.125 }),
  );
});

const range = (block: Float64Array) => Math.max(...block) - Math.min(...block);
const roundingOf = (block: Float64Array) => (2 * range(block) + largestMagnitude(block)) / 2048 + 2 ** -24;

test('e0m4 round trip', () => {
  const limits = [0.085, 0.097, 0.108];
  for (const [index, format] of members.entries()) {
    checkRoundTrip(format, (block) => range(block) / 32 + roundingOf(block), limits[index] ?? 0);
  }
});

function closely(format: NumberFormat, values: Float64Array, importance?: Float32Array): Float64Array {
  const { blockValues, blockBytes } = format;
  const blockCount = values.length / blockValues;
  const bytes = new Uint8Array(blockCount * blockBytes);
  format.encodeClosely?.(values, 0, bytes, 0, blockCount, importance);
  const decoded = new Float64Array(values.length);
  format.decode(bytes, 0, decoded, 0, blockCount);
  return decoded;
}

/** Close to normal: the sum of four waves of different length. */
const wavy = (i: number) => [0.9, 1.7, 2.3, 3.1].reduce((sum, pace) => sum + Math.sin(pace * i * i), 0) / 1.4;

test('e0m4 encoded closely is nearer, and heeds importance', () => {
  const values = Float64Array.from({ length: 4096 }, (_, i) => wavy(i) + (i % 64 === 5 ? 3 : 0));
  const importance = Float32Array.from(values, (_, i) => (i % 3 === 0 ? 100 : 1));
  const important = (all: Float64Array) => all.filter((_, i) => i % 3 === 0);
  for (const format of members) {
    const decoded = closely(format, values);
    const plain = new Uint8Array((values.length / format.blockValues) * format.blockBytes);
    format.encode?.(values, 0, plain, 0, values.length / format.blockValues);
    const plainly = new Float64Array(values.length);
    format.decode(plain, 0, plainly, 0, values.length / format.blockValues);
    const error = relativeRms(decoded, values);
    assert.ok(
      error < 0.99 * relativeRms(plainly, values),
      `${format.name}: ${error}, plainly ${relativeRms(plainly, values)}`,
    );
    const weighted = closely(format, values, importance);
    assert.ok(
      relativeRms(important(weighted), important(values)) <
        relativeRms(important(decoded), important(values)),
    );
  }
});

test('e0m4 encoded closely takes any values', () => {
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, 1e308, 5e-324, 0, 3.3]) {
    for (const format of members)
      closely(
        format,
        Float64Array.from({ length: 128 }, (_, i) => (i % 7 === 0 ? odd : -odd)),
      );
  }
});
