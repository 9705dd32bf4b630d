/** The wasm backend under the case table, on one thread and on two. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Backend, openBackend } from '../../src/backend.ts';
import { type BackendMutant, expectNoticed } from './mutants/expect-noticed.ts';
import { changeStep, flipMaskBit, scaleFileBlock, shiftPosition } from './mutants/mutate-backend.ts';
import { opCases } from './op-cases.ts';
import { runCase } from './run-cases.ts';
import { differingBits } from './same-bits.ts';

for (const threads of [1, 2]) {
  let opened: Promise<Backend> | undefined;
  const backend = () => {
    opened ??= openBackend('wasm', { threads });
    return opened;
  };
  const unused = new Set<string>();
  after(async () => (await opened)?.close());

  test(`wasm, ${threads} threads: opens`, async () => {
    for (const pattern of (await backend()).describe().patterns) unused.add(pattern.name);
  });

  for (const opCase of opCases) {
    test(`wasm, ${threads} threads: ${opCase.name}`, async (context) => {
      const { problems, patterns, skipped } = await runCase(await backend(), opCase);
      for (const pattern of patterns) unused.delete(pattern);
      if (skipped) return context.skip(skipped);
      assert.deepEqual(problems, []);
    });
  }

  for (const cacheType of ['f16', 'q8_0'] as const) {
    for (const opCase of opCases.filter(({ name }) => /^(attention|layers)/.test(name))) {
      test(`wasm, ${threads} threads, ${cacheType} cache: ${opCase.name}`, async () => {
        const { problems } = await runCase(await backend(), opCase, cacheType);
        assert.deepEqual(problems, []);
      });
    }

    test(`wasm, ${threads} threads, ${cacheType} cache: same rows, same bits`, async () => {
      assert.deepEqual(await differingBits(await backend(), cacheType), []);
    });
  }

  test(`wasm, ${threads} threads: the cases use every fusion pattern`, () => {
    assert.deepEqual([...unused], []);
  });

  test(`wasm, ${threads} threads: same rows, same bits`, async () => {
    assert.deepEqual(await differingBits(await backend()), []);
  });

  test(`wasm, ${threads} threads: nothing is held after the cases`, async () => {
    const { weightBytes, regionBytes } = (await backend()).memory();
    assert.deepEqual({ weightBytes, regionBytes }, { weightBytes: 0, regionBytes: 0 });
  });
}

const mutants: readonly BackendMutant[] = [
  {
    name: /^matmul (f32|q8_0|q4_0|q4_k|q6_k) of terms of one sign/,
    mutate: (base) => scaleFileBlock(base, 1, 0, 1.02),
  },
  { name: /^attention, tree/, mutate: (base) => changeStep(base, flipMaskBit) },
  { name: /^attention, tree [wd]/, mutate: (base) => changeStep(base, flipMaskBit), cacheType: 'q8_0' },
  { name: /^(rope split|layers)/, mutate: (base) => changeStep(base, shiftPosition) },
];

test('wasm: its stated rounding hides no scaled block, flipped mask bit or shifted position', async () =>
  expectNoticed(await openBackend('wasm', { threads: 1 }), mutants));
