/** The wasm backend under the case table, on one thread and on two. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { type Backend, openBackend } from '../../src/backend.ts';
import type { CacheType } from '../../src/graph.ts';
import { changeStep, flipMaskBit, scaleFileBlock, shiftPosition } from './mutants/mutate-backend.ts';
import { opCases } from './op-cases.ts';
import { runCase } from './run-cases.ts';
import { differingBits } from './same-bits.ts';

const built = existsSync(new URL('../../src/backend/wasm/backend.ts', import.meta.url));
const skip = built ? false : 'src/backend/wasm/backend.ts does not exist yet';

for (const threads of [1, 2]) {
  let opened: Promise<Backend> | undefined;
  const backend = () => {
    opened ??= openBackend('wasm', { threads });
    return opened;
  };
  const unused = new Set<string>();
  after(async () => (await opened)?.close());

  test(`wasm, ${threads} threads: opens`, { skip }, async () => {
    for (const pattern of (await backend()).describe().patterns) unused.add(pattern.name);
  });

  for (const opCase of opCases) {
    test(`wasm, ${threads} threads: ${opCase.name}`, { skip }, async (context) => {
      const { problems, patterns, skipped } = await runCase(await backend(), opCase);
      for (const pattern of patterns) unused.delete(pattern);
      if (skipped) return context.skip(skipped);
      assert.deepEqual(problems, []);
    });
  }

  for (const cacheType of ['f16', 'q8_0'] as const) {
    for (const opCase of opCases.filter(({ name }) => /^(attention|layers)/.test(name))) {
      test(`wasm, ${threads} threads, ${cacheType} cache: ${opCase.name}`, { skip }, async () => {
        const { problems } = await runCase(await backend(), opCase, cacheType);
        assert.deepEqual(problems, []);
      });
    }

    test(`wasm, ${threads} threads, ${cacheType} cache: same rows, same bits`, { skip }, async () => {
      assert.deepEqual(await differingBits(await backend(), cacheType), []);
    });
  }

  test(`wasm, ${threads} threads: the cases use every fusion pattern`, { skip }, () => {
    assert.deepEqual([...unused], []);
  });

  test(`wasm, ${threads} threads: same rows, same bits`, { skip }, async () => {
    assert.deepEqual(await differingBits(await backend()), []);
  });

  test(`wasm, ${threads} threads: nothing is held after the cases`, { skip }, async () => {
    const { weightBytes, regionBytes } = (await backend()).memory();
    assert.deepEqual({ weightBytes, regionBytes }, { weightBytes: 0, regionBytes: 0 });
  });
}

const mutants: readonly {
  readonly name: RegExp;
  readonly mutate: (base: Backend) => Backend;
  readonly cacheType?: CacheType;
}[] = [
  {
    name: /^matmul (f32|q8_0|q4_0|q4_k|q6_k) of terms of one sign/,
    mutate: (base) => scaleFileBlock(base, 1, 0, 1.02),
  },
  { name: /^attention, tree/, mutate: (base) => changeStep(base, flipMaskBit) },
  { name: /^attention, tree [wd]/, mutate: (base) => changeStep(base, flipMaskBit), cacheType: 'q8_0' },
  { name: /^(rope split|layers)/, mutate: (base) => changeStep(base, shiftPosition) },
];

test('wasm: its stated rounding hides no scaled block, flipped mask bit or shifted position', {
  skip,
}, async () => {
  const base = await openBackend('wasm', { threads: 1 });
  try {
    for (const { name, mutate, cacheType } of mutants) {
      const cases = opCases.filter((opCase) => name.test(opCase.name));
      assert.ok(cases.length > 0, `${name}`);
      for (const opCase of cases) {
        const { problems } = await runCase(mutate(base), opCase, cacheType);
        assert.notEqual(problems.length, 0, `${opCase.name} did not notice`);
      }
    }
  } finally {
    await base.close();
  }
});
