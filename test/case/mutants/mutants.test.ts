/** The cases are tested: a backend that is wrong in one small way must fail them, even where its stated rounding is coarse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openReferenceBackend } from '../../../src/backend/reference/backend.ts';
import type { Backend } from '../../../src/backend.ts';
import { formats } from '../../../src/format.ts';
import { attentionCases } from '../attention-cases.ts';
import { layerCases } from '../layer-cases.ts';
import { matmulCases } from '../matmul-cases.ts';
import { type OpCase, validBlock } from '../op-case.ts';
import { randomFrom } from '../random.ts';
import { ropeCases } from '../rope-cases.ts';
import { runCases } from '../run-cases.ts';
import { differingBits } from '../same-bits.ts';
import {
  changeOperations,
  changeStep,
  coarse,
  flipMaskBit,
  reverseMoves,
  scaleBlock,
  shiftPosition,
} from './mutate-backend.ts';

type Mutation = (base: Backend) => Backend;

const named = (cases: readonly OpCase[], pattern: RegExp) => cases.filter(({ name }) => pattern.test(name));

/** Every one of `cases` fails on the wrong backend under coarse bounds, and so all the more under exact ones. */
async function expectCaught(cases: readonly OpCase[], mutation: Mutation): Promise<void> {
  assert.ok(cases.length > 0);
  for (const { name, problems } of await runCases(() => mutation(coarse(openReferenceBackend())), cases)) {
    assert.notEqual(problems.length, 0, `${name} did not notice`);
  }
}

test('a backend that is right passes through the same wrappers', async () => {
  const cases = [...named(matmulCases, /of terms of one sign/), ...named(layerCases, /\{\}/)];
  const harmless: Mutation = (base) =>
    changeOperations(
      changeStep(scaleBlock(base, 1, 0, 1), () => {}),
      (operation) => operation,
    );
  for (const bounds of [(base: Backend) => base, coarse]) {
    for (const { name, problems } of await runCases(() => harmless(bounds(openReferenceBackend())), cases)) {
      assert.deepEqual(problems, [], name);
    }
  }
});

test('one block of a matrix scaled by 1.02 fails a case of its format', async () => {
  const cases = named(matmulCases, /of terms of one sign/);
  assert.equal(cases.length, formats.length);
  for (const opCase of cases) await expectCaught([opCase], (base) => scaleBlock(base, 1, 0, 1.02));
});

test('the last block of an unevenly filled matrix scaled by 1.02 fails with exact bounds', async () => {
  for (const opCase of named(matmulCases, /\[96, /)) {
    const outcomes = await runCases(() => {
      const base = openReferenceBackend();
      return scaleBlock(base, 1, 96 * 2 - 1, 1.02);
    }, [opCase]);
    assert.notEqual(outcomes[0]?.problems.length, 0, opCase.name);
  }
});

test('a scaled block fails a whole model', async () => {
  for (const opCase of named(layerCases, /f16|\{\}/)) {
    await expectCaught([opCase], (base) => scaleBlock(base, 2, 3, 1.02));
  }
});

test('one mask bit flipped fails every tree', async () => {
  const trees = named(attentionCases, /^attention, (tree|prefix of (0|1|127)$|groups of 2|a path)/);
  await expectCaught(trees, (base) => changeStep(base, flipMaskBit));
});

test('one position shifted fails every rope and every model', async () => {
  await expectCaught([...ropeCases, ...layerCases], (base) => changeStep(base, shiftPosition));
});

test('a window one row too wide fails', async () => {
  const widen: Mutation = (base) =>
    changeOperations(base, (operation) =>
      operation.op === 'attention' && operation.window !== undefined
        ? { ...operation, window: operation.window + 1 }
        : operation,
    );
  await expectCaught(named(attentionCases, /window of (1|3|4|100)\b(?!000)/), widen);
});

test('moves in the wrong order fail', async () => {
  await expectCaught(named(attentionCases, /accepted/), (base) => changeStep(base, reverseMoves));
});

test('rows that depend on their neighbours differ in bits', async () => {
  const dependent = changeStep(openReferenceBackend(), (words) => {
    if ((words[0] ?? 0) > 10) shiftPosition(words);
  });
  assert.notEqual((await differingBits(dependent)).length, 0);
});

test('a format that cannot be written is tried on valid random blocks', () => {
  for (const format of formats) {
    const block = validBlock(format, randomFrom(format.name));
    const values = new Float64Array(format.blockValues);
    format.decode(block, 0, values, 0, 1);
    assert.ok(values.every((value) => Math.abs(value) < 100) && values.some((value) => value !== 0));
  }
});
