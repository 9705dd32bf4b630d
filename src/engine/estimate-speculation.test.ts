import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { breakEvenOf, estimateSpeculation } from './estimate-speculation.ts';

const modelPath = (name: string): string =>
  fileURLToPath(new URL(`../../models/fable/${name}.gguf`, import.meta.url));
const [fable, fableDraft] = [modelPath('fable-4m-q8_0'), modelPath('fable-1m-q8_0')];

test('break-even: the acceptance at which a chain is as fast as none', () => {
  // One token more for a pass that costs nothing more and a draft of a fifth: a = 0.2, and less for longer chains never.
  const flat = breakEvenOf(20, () => 100);
  assert.ok(flat && Math.abs(flat.acceptance - 0.2) < 1e-6 && flat.chain === 1);
  // Rows cost half a pass each: 1 + a = (20 + 150) / 100.
  const steep = breakEvenOf(20, (rows) => 50 + 50 * rows);
  assert.ok(steep && Math.abs(steep.acceptance - 0.7) < 1e-6);
  assert.equal(
    breakEvenOf(60, (rows) => 50 + 50 * rows),
    undefined,
  );
  // A pass over two rows costs much more than one, over three no more than two: longer chains spread it.
  const stepped = breakEvenOf(1, (rows) => (rows === 1 ? 100 : 160));
  assert.ok(stepped && stepped.chain > 1 && stepped.acceptance < 0.6);
});

test('a draft is held as a whole, the model streams what the budget does not hold', async () => {
  const options = { threads: 1, contextLength: 128, memoryBudget: 9 * 2 ** 20 };
  const { draft, model, readBytesPerSecond, breakEven } = await estimateSpeculation(
    fable,
    fableDraft,
    options,
  );
  assert.ok(draft.bytes > 1e6 && draft.passMs > 0 && draft.passMs < model.computeMs);
  assert.ok(model.bytesPerPass > 1e6 && (readBytesPerSecond ?? 0) > 0);
  assert.equal(model.passMs, Math.max(model.computeMs, model.readMs));
  if (breakEven) assert.ok(breakEven.acceptance > 0 && breakEven.acceptance < 1 && breakEven.chain >= 1);
  const whole = await estimateSpeculation(fable, fableDraft, { threads: 1, contextLength: 128 });
  assert.deepEqual([whole.model.bytesPerPass, whole.readBytesPerSecond], [0, undefined]);
  await assert.rejects(estimateSpeculation(fable, fableDraft, { ...options, memoryBudget: 5e5 }), {
    code: 'out-of-budget',
  });
});
