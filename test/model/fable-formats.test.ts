/** Real files that llama.cpp quantized from one f32 file: every format decodes to within what its bits allow. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Checkpoint, openCheckpoint, type TensorEntry } from '../../src/checkpoint.ts';
import { decodeRow, encodeRow } from '../../src/format.ts';
import { relativeRms } from '../fixture/format-case.ts';

const folder = fileURLToPath(new URL('../../../shared/models/fable/', import.meta.url));
const skip = existsSync(folder) ? false : '../shared/models/fable is absent';

/** Largest relative root mean square error of a tensor. A wrong bit order gives errors near 1. */
const rmsLimits: Record<string, number> = {
  f32: 0,
  f16: 2 ** -11,
  bf16: 2 ** -8,
  q8_0: 0.007,
  q6_k: 0.025,
  q5_k: 0.045,
  q5_0: 0.055,
  q5_1: 0.05,
  q4_k: 0.09,
  q4_0: 0.1,
  q4_1: 0.1,
  iq4_nl: 0.09,
  iq4_xs: 0.09,
  q3_k: 0.18,
  q2_k: 0.34,
};
/** Encoders that follow llama.cpp's reference quantizer to the bit. */
const identicalEncoders = new Set(['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1']);
const files = ['f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1', 'iq4_nl', 'iq4_xs']
  .concat(['q2_k', 'q3_k_m', 'q4_k_m', 'q5_k_m', 'q6_k'])
  .map((name) => `fable-4m-${name}.gguf`);

async function readTensor(checkpoint: Checkpoint, entry: TensorEntry): Promise<[Uint8Array, Float32Array]> {
  const bytes = new Uint8Array(entry.byteLength);
  await checkpoint.read(entry, 0, bytes);
  const values = new Float32Array(entry.shape.reduce((product, size) => product * size, 1));
  decodeRow(entry.format, bytes, 0, values, 0, values.length);
  return [bytes, values];
}

test('files of every format hold the weights of the f32 file', { skip }, async (t) => {
  const truth = await openCheckpoint(`${folder}fable-4m-f32.gguf`);
  const seen = new Set<string>();
  for (const file of files) {
    await t.test(file, async () => {
      const checkpoint = await openCheckpoint(folder + file);
      assert.deepEqual(new Set(checkpoint.tensors.keys()), new Set(truth.tensors.keys()));
      for (const [name, entry] of checkpoint.tensors) {
        const trueEntry = truth.tensors.get(name);
        assert.ok(trueEntry);
        const [bytes, values] = await readTensor(checkpoint, entry);
        const [, trueValues] = await readTensor(truth, trueEntry);
        const relative = relativeRms(values, trueValues);
        const limit = rmsLimits[entry.format.name] ?? 0;
        assert.ok(relative <= limit, `${name} as ${entry.format.name}: relative RMS error ${relative}`);
        seen.add(entry.format.name);
        if (identicalEncoders.has(entry.format.name)) {
          const encoded = new Uint8Array(bytes.length);
          encodeRow(entry.format, trueValues, 0, encoded, 0, trueValues.length);
          assert.equal(Buffer.compare(encoded, bytes), 0, `${name} encoded as ${entry.format.name}`);
        }
      }
      await checkpoint.close();
    });
  }
  await truth.close();
  assert.deepEqual([...seen].sort(), Object.keys(rmsLimits).sort());
});
