import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largeFiles, nameViolations, sizeViolations, traceViolations, wordViolations } from './manners.ts';
import { importCycles, roomViolations } from './room.ts';
import { readTree } from './tree.ts';

const tree = readTree();

const rules = {
  'imports go downhill and through doors': roomViolations,
  'no module imports itself in a circle': importCycles,
  'long files say why': sizeViolations,
  'file names name an idea': nameViolations,
  'no path of one machine, no registry host': traceViolations,
  'the words the engine does without': wordViolations,
};

for (const [name, rule] of Object.entries(rules)) {
  test(name, () => assert.deepEqual(rule(tree), []));
}

test('the tree was read', (t) => {
  assert.ok(tree.has('src/base/platform.ts') && tree.has('package.json') && tree.has('test/house/tree.ts'));
  for (const line of largeFiles(tree)) t.diagnostic(`look again: ${line}`);
});
