import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floatFromHalf } from '../base/half.ts';
import { encodeRow, formats, type NumberFormat, rowBytes } from '../format.ts';

const readable = formats.flatMap((format) => (format.e0m4 ? [{ format, e0m4: format.e0m4 }] : []));
/** A group and a block that are not asked for, before and after those that are, must stay as they are. */
const untouched = 0xabcd;
const valueCount = 1024;

/** A row as a device reads it: the half of a code by two bit operations, then scale and bias. */
function deviceValues({ format, e0m4 }: (typeof readable)[number], bytes: Uint8Array) {
  const { groupValues, biasPerScale } = e0m4;
  const groups = valueCount / groupValues;
  const codes = new Uint8Array((groups + 2) * (groupValues / 2)).fill(untouched & 255);
  const scales = new Uint16Array(groups + 2).fill(untouched);
  const biases = new Uint16Array(groups + 2).fill(untouched);
  e0m4.read(bytes, 1, valueCount / format.blockValues, { codes, scales, biases }, 1);
  assert.deepEqual([scales[0], scales.at(-1), biases[0], biases.at(-1)], Array(4).fill(untouched));
  assert.deepEqual([codes[groupValues / 2 - 1], codes.at(-groupValues / 2)], Array(2).fill(untouched & 255));
  if (biasPerScale !== undefined) assert.ok(biases.every((bias) => bias === untouched));
  return Array.from({ length: valueCount }, (_, index) => {
    const group = 1 + Math.floor(index / groupValues);
    const byte = codes[groupValues / 2 + Math.floor(index / 32) * 16 + (index % 16)] ?? 0;
    const code = index % 32 < 16 ? byte & 15 : byte >> 4;
    const scale = floatFromHalf(scales[group] ?? 0);
    const bias = biasPerScale === undefined ? floatFromHalf(biases[group] ?? 0) : biasPerScale * scale;
    return { value: scale * floatFromHalf((code << 6) | 0x3c00) + bias, step: scale / 16, bias };
  });
}

function encoded(format: NumberFormat, values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(1 + rowBytes(format, values.length));
  encodeRow(format, values, 0, bytes, 1, values.length);
  return bytes;
}

test('4-bit formats of even levels read as E0M4, within the stated rounding', () => {
  assert.ok(['q4_0', 'q4_1', 'q4_k'].every((name) => readable.some(({ format }) => format.name === name)));
  const kinds = [
    (i: number) => Math.sin(i * i),
    (i: number) => 1e-3 * Math.sin(i * i),
    (i: number) => 5 + Math.sin(i * 7),
    (i: number) => (i === 300 ? 90 : Math.cos(i * i)),
    () => 0,
  ];
  for (const { format, e0m4 } of readable) {
    for (const [kind, valueAt] of kinds.entries()) {
      const bytes = encoded(
        format,
        Float64Array.from({ length: valueCount }, (_, i) => valueAt(i)),
      );
      const truth = new Float64Array(valueCount);
      format.decode(bytes, 1, truth, 0, valueCount / format.blockValues);
      for (const [index, { value, step, bias }] of deviceValues({ format, e0m4 }, bytes).entries()) {
        const exact = e0m4.biasPerScale !== undefined;
        const bound = exact ? 0 : 1.001 * 2 ** -11 * (7.5 * Math.abs(step) + Math.abs(bias)) + 2 ** -24;
        const moved = Math.abs(value - (truth[index] ?? Number.NaN));
        if (!(moved <= bound)) assert.fail(`${format.name} kind ${kind}, value ${index} moved by ${moved}`);
      }
    }
  }
});
