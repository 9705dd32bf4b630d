/** The reference backend under the case table, and against a second, independent evaluation of a small model. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openBackend } from '../../src/backend.ts';
import { makePlan } from '../../src/plan.ts';
import { CaseMachine } from './case-machine.ts';
import { buildLayers, layerFills, smallShape } from './layer-cases.ts';
import { naiveLogits } from './naive-model.ts';
import { opCases } from './op-cases.ts';
import { buildGraph, packWeights, runCase } from './run-cases.ts';
import { differingBits } from './same-bits.ts';
import { chain, stepOf } from './timeline.ts';

const backend = await openBackend('reference');
after(() => backend.close());

for (const opCase of opCases) {
  test(`reference: ${opCase.name}`, async () => {
    const { problems, skipped } = await runCase(backend, opCase);
    assert.equal(skipped, undefined);
    assert.deepEqual(problems, []);
  });
}

test('reference: nothing is held after the cases', () => {
  assert.deepEqual(backend.memory(), { weightBytes: 0, regionBytes: 0 });
});

test('reference: same rows, same bits', async () => {
  assert.deepEqual(await differingBits(backend), []);
});

for (const pairing of ['adjacent', 'split'] as const) {
  test(`reference: a small model agrees with a naive evaluation, ${pairing} pairs`, async () => {
    const shape = { ...smallShape, pairing, bias: true, window: 6 };
    const tokens = [3, 14, 15, 9, 26, 5, 35, 8, 9, 69];
    const step = stepOf(chain(0, tokens.length, { token: (row) => tokens[row] ?? 0 }), 0);
    const opCase = {
      name: 'naive',
      build: (builder: Parameters<typeof buildLayers>[0]) => buildLayers(builder, shape),
      fills: layerFills(shape),
      steps: [step],
    };
    const graph = buildGraph(opCase);
    const { packed, decoded } = await packWeights(backend, graph, opCase);
    const machine = new CaseMachine(backend, makePlan(graph, backend.describe()), packed, [step]);
    await machine.runStep(step);
    const logits = await machine.read(machine.plan.logits);
    const byName = new Map([...decoded].map(([value, values]) => [value.name, values]));
    const expected = naiveLogits(shape, byName, tokens);
    assert.equal(logits.length, expected.length);
    const worst = expected.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - (logits[index] ?? Number.NaN))),
      0,
    );
    assert.ok(worst < 1e-11, `off by ${worst}`);
    assert.ok(Math.max(...expected) - Math.min(...expected) > 1);
    machine.dispose();
    for (const weight of packed.values()) backend.unpack(weight);
  });
}
