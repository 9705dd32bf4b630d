/** The same model as a GGUF file and as a folder of transformers: the same logits, bit for bit, and the same ids of texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { formatByName } from '../../src/format.ts';
import { feedChain, openRunner } from '../fixture/model-runner.ts';
import { savedFamilies, savedScaling } from '../fixture/saved-families.ts';
import { tinyModelBytes, tinyShapeNames, tinyShapes } from '../fixture/tiny-model.ts';
import { type FolderFiles, transformersFolder } from '../fixture/transformers-folder.ts';

const ids = Array.from({ length: 40 }, (_, index) => (index * 37 + 11) % 280);

/** As a page has them that lets the user pick a folder: in no order, and with others among them. */
const pickedFiles = (files: FolderFiles): File[] => [
  new File(['# A model'], 'README.md'),
  ...Array.from(files, ([name, bytes]) => new File([bytes], name)),
];

async function logitsOf(input: Parameters<typeof openRunner>[0], backend: 'reference' | 'wasm') {
  await using runner = await openRunner(input, { backend, threads: 1 });
  return await feedChain(runner, runner.cache.openSequence(), ids);
}

for (const name of tinyShapeNames) {
  const shape = tinyShapes[name];
  const family = savedFamilies[shape.architecture];
  test(`${name}: the same logits`, { skip: family ? false : 'no folder of it is made here' }, async () => {
    if (!family) return;
    for (const [format, parts, backend] of [
      ['f32', 1, 'wasm'],
      ['bf16', 3, 'reference'],
    ] as const) {
      const gguf = await tinyModelBytes(name, { format: formatByName(format) });
      const files = await transformersFolder(await openCheckpoint(gguf), family, {
        parts,
        config: savedScaling(shape),
      });
      const [ours, theirs] = [await logitsOf(pickedFiles(files), backend), await logitsOf(gguf, backend)];
      for (const [row, logits] of theirs.entries()) {
        const other = logits.findIndex((value, id) => value !== ours[row]?.[id]);
        assert.ok(other < 0, `${format}: row ${row} differs at ${other}`);
      }
    }
  });
}
