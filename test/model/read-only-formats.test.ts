/** Formats that are read but not written: random models of them give what llama.cpp gives. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { ModelShape } from '../../apps/bench/model-shapes.ts';
import { writeRandomModel } from '../../apps/bench/random-model.ts';
import { copyOfMetadata, memorySink, openCheckpoint, writeGguf } from '../../src/checkpoint.ts';
import { formatByName, formats, type NumberFormat, rowBytes } from '../../src/format.ts';
import { validBlock } from '../case/op-case.ts';
import { randomFrom } from '../case/random.ts';
import { meanDivergence } from '../fixture/compare-logits.ts';
import { feedChain, openRunner } from '../fixture/model-runner.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { openOracle } from '../oracle/llama.ts';

const shape: ModelShape = {
  architecture: 'llama',
  layers: 2,
  hidden: 256,
  feedForward: 512,
  heads: 4,
  keyValueHeads: 2,
  vocabulary: 288,
  context: 512,
  tokenizer: 'spm',
};

/** A random model whose matrices are drawn from some random blocks; embeddings and vectors stay f32. */
async function randomModel(format: NumberFormat): Promise<Uint8Array> {
  const floats = memorySink();
  await writeRandomModel(floats, { shape, format: formatByName('f32') });
  const checkpoint = await openCheckpoint(floats.bytes());
  const random = randomFrom(format.name);
  // Activations keep their size; the head is larger, as a trained one is. No two of its rows may be alike.
  const pool = Array.from({ length: 64 }, () => validBlock(format, random, { least: 0.1, most: 0.4 }));
  const pooled = () => pool[random.below(pool.length)] ?? new Uint8Array();
  const ofHead = () => validBlock(format, random, { least: 0.2, most: 0.8 });
  const tensors = [...checkpoint.tensors.values()].map((entry) => {
    const { name, shape: sizes, byteLength } = entry;
    if (sizes.length === 1 || name === 'token_embd.weight') {
      const data = async (offset: number, length: number) => {
        const piece = new Uint8Array(length);
        await checkpoint.read(entry, offset, piece);
        return piece;
      };
      return { name, format: entry.format, shape: sizes, data };
    }
    const data = new Uint8Array(rowBytes(format, byteLength / 4));
    const block = name === 'output.weight' ? ofHead : pooled;
    for (let at = 0; at < data.length; at += format.blockBytes) data.set(block(), at);
    return { name, format, shape: sizes, data };
  });
  const sink = memorySink();
  await writeGguf(sink, { metadata: copyOfMetadata(checkpoint.metadata), tensors });
  await checkpoint.close();
  return sink.bytes();
}

test('random models of formats that are only read give what llama.cpp gives', async (t) => {
  const opened = await openOracle({ cache: 'f32' });
  if ('skip' in opened) return t.skip(opened.skip);
  await using oracle = opened;
  await using folder = await temporaryFolder();
  const ids = Array.from({ length: 40 }, (_, index) => (index * 37 + 11) % 280);
  for (const format of formats.filter(({ encode }) => !encode)) {
    await t.test(format.name, async () => {
      const path = folder.path(`${format.name}.gguf`);
      await writeFile(path, await randomModel(format));
      const theirs = await oracle.logits(path, ids);
      // What other rows of the same model diverge by. llama.cpp rounds activations to 8 bits in blocks of its own.
      const unlike = meanDivergence(theirs.toReversed(), theirs);
      for (const backend of ['reference', 'wasm'] as const) {
        await using runner = await openRunner(path, { backend, threads: 1 });
        const rows = await feedChain(runner, runner.cache.openSequence(), ids);
        const divergence = meanDivergence(rows, theirs);
        assert.ok(divergence < unlike / 100, `${backend}: divergence ${divergence}, of other rows ${unlike}`);
      }
    });
  }
});
