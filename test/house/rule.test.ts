/** The rules of the house against made-up trees: each must find what it is for, and nothing in a good tree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importsOf } from './imports.ts';
import { largeFiles, nameViolations, sizeViolations, traceViolations, wordViolations } from './manners.ts';
import { importCycles, roomViolations } from './room.ts';

const good = {
  'src/base/half.ts': 'export const half = 1;\n',
  'src/format.ts':
    "import { q8 } from './format/q8-0.ts';\nexport interface NumberFormat {}\nexport { q8 };\n",
  'src/format/q8-0.ts':
    "import { half } from '../base/half.ts';\nimport type { NumberFormat } from '../format.ts';\n",
  'src/tensor.ts': "import type { NumberFormat } from './format.ts';\n",
  'src/index.ts': "export { q8 } from './format.ts';\n",
  'apps/cli/main.ts': "import { q8 } from '../../src/format.ts';\nimport os from 'node:os';\n",
};

const treeWith = (files: Record<string, string>) => new Map(Object.entries({ ...good, ...files }));

test('a good tree has no violation', () => {
  const tree = treeWith({});
  for (const rule of [
    roomViolations,
    importCycles,
    sizeViolations,
    nameViolations,
    traceViolations,
    wordViolations,
  ]) {
    assert.deepEqual(rule(tree), []);
  }
});

const roomCases: [string, Record<string, string>, RegExp][] = [
  ['uphill', { 'src/base/half.ts': "import { q8 } from '../format.ts';\n" }, /not downhill/],
  [
    'uphill type',
    { 'src/base/half.ts': "import type { NumberFormat } from '../format.ts';\n" },
    /not downhill/,
  ],
  [
    'sideways',
    { 'src/graph.ts': "export * from './checkpoint.ts';\n", 'src/checkpoint.ts': '' },
    /not downhill/,
  ],
  ['past a door', { 'src/tensor.ts': "import { q8 } from './format/q8-0.ts';\n" }, /past the door/],
  [
    'past a door, lazily',
    { 'src/tensor.ts': "const x = await import('./format/q8-0.ts');\n" },
    /past the door/,
  ],
  [
    'app past a door',
    { 'apps/cli/x.ts': "import { q } from '../../src/format/q8-0.ts';\n" },
    /past the door/,
  ],
  ['own door', { 'src/format/f16.ts': "import { q8 } from '../format.ts';\n" }, /own door/],
  ['no door', { 'src/plan/arena.ts': '' }, /no door/],
  ['no rank', { 'src/extra.ts': '' }, /no rank/],
  ['outside', { 'src/tensor.ts': "import { x } from '../test/x.ts';\n" }, /not part of the engine/],
  ['a fixture', { 'src/format/a.ts': "import { x } from './fixture/x.ts';\n" }, /not part of the engine/],
  ['built-in module', { 'src/tensor.ts': "import { join } from 'node:path';\n" }, /platform\.ts/],
];
for (const [name, files, expected] of roomCases) {
  test(`rooms: ${name}`, () => {
    const violations = roomViolations(treeWith(files));
    assert.equal(violations.length, 1, violations.join('\n'));
    assert.match(violations[0] ?? '', expected);
  });
}

test('a circle of values is found, one of types is none', () => {
  const circle = {
    'src/format/a.ts': "import { b } from './b.ts';\n",
    'src/format/b.ts': "import { c } from './c.ts';\n",
    'src/format/c.ts': "export { a } from './a.ts';\n",
  };
  assert.deepEqual(importCycles(treeWith(circle)), [
    'src/format/a.ts -> src/format/b.ts -> src/format/c.ts -> src/format/a.ts',
  ]);
  assert.deepEqual(
    importCycles(treeWith({ ...circle, 'src/format/c.ts': "import type { a } from './a.ts';\n" })),
    [],
  );
});

test('imports are read in every form', () => {
  const text = [
    "import { a,\n  b } from './a.ts';",
    "import type { C } from './c.ts';",
    "import './d.ts';",
    "export * from './e.ts';",
    "export type { F } from './f.ts';",
    "type G = typeof import('./g.ts');",
    "const h = import('./h.ts');",
    "// import { no } from './no.ts';",
    "/* import './no.ts'; */",
    "const text = 'from nowhere';",
    "const url = new URL('./worker.js', import.meta.url);",
  ].join('\n');
  const found = importsOf(text).map((entry) => `${entry.typeOnly ? 'type ' : ''}${entry.specifier}`);
  const types = ['type ./c.ts', 'type ./f.ts', 'type ./g.ts'];
  assert.deepEqual(found.sort(), ['./a.ts', './d.ts', './e.ts', './h.ts', ...types]);
});

test('a long file needs a reason in its first line', () => {
  const lines = (count: number) => 'const x = 1;\n'.repeat(count);
  assert.equal(sizeViolations(treeWith({ 'src/format/a.ts': lines(501) })).length, 1);
  assert.equal(sizeViolations(treeWith({ 'src/format/a.ts': lines(500) })).length, 0);
  assert.equal(
    sizeViolations(treeWith({ 'src/format/a.ts': `// Code points (a data table)\n${lines(600)}` })).length,
    0,
  );
  assert.equal(sizeViolations(treeWith({ 'src/format/a.ts': `// Code points\n${lines(600)}` })).length, 1);
  assert.equal(largeFiles(treeWith({ 'src/format/a.ts': lines(301) })).length, 1);
});

test('names that say nothing are refused', () => {
  for (const path of [
    'src/format/utils.ts',
    'src/base/string-helpers.ts',
    'src/common/a.ts',
    'test/CacheManager.ts',
  ]) {
    assert.equal(nameViolations(treeWith({ [path]: '' })).length, 1, path);
  }
  assert.equal(nameViolations(treeWith({ 'src/format/tensor-type.ts': '' })).length, 0);
});

test('traces of one machine are refused in any text', () => {
  const home = ['', 'home', 'someone', 'x'].join('/');
  const folder = ['', 'work', 'main'].join('/');
  for (const text of [`see ${home}`, `"${folder}"`, '"resolved": "https://host/x.tgz"']) {
    assert.equal(traceViolations(treeWith({ 'docs/a.md': text })).length, 1, text);
  }
  assert.equal(
    traceViolations(treeWith({ 'docs/a.md': 'https://example.org/work/main and a/home/b' })).length,
    0,
  );
});

test('words that the engine does without are refused with their line', () => {
  const refused = {
    'let count = 0;': /mutable/,
    'export default class X {}': /default/,
    'export const enum E {}': /enum/,
    'namespace N {}': /namespace/,
    'class CacheManager {}': /no idea/,
    "if (typeof window === 'undefined') f();": /host/,
    'const p = process.platform;': /host/,
  };
  for (const [text, expected] of Object.entries(refused)) {
    const [violation, ...others] = wordViolations(treeWith({ 'src/format/a.ts': `// comment\n${text}\n` }));
    assert.match(violation ?? '', expected, text);
    assert.match(violation ?? '', /a\.ts:2 /, text);
    assert.deepEqual(others, []);
  }
  const innocent = '// let it be; process.env\nfunction f() {\n  let x = 1;\n  return x;\n}\n';
  assert.deepEqual(wordViolations(treeWith({ 'src/format/a.ts': innocent })), []);
});
