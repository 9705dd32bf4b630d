/** What the cache's types cost in the text: distributions beside those of a float32 cache, on trained weights. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { openTokenizer } from '../../src/tokenizer.ts';
import { assertSameBits, meanDivergence } from '../fixture/compare-logits.ts';
import { feedChain, type Logits, openRunner, type RunnerOptions } from '../fixture/model-runner.ts';

const fable = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));

/** Unlike tales: names and questions, so that attention has much to look for. */
const text = `In the year of the great comet, Margaret of Thornbury wrote to her brother Edmund: "The mill has burned, the
miller is gone to York, and nobody knows whether the bridge will hold. What shall I tell the bishop?" Edmund, who had
troubles of his own (three horses lame, two debts due, one wife angry), answered within the week. "Tell him," he wrote,
"that bridges are for bishops to mend, and mills for millers; that you are neither; and that the comet, as everybody at
Oxford agrees, means rain." She told him so. It rained. The bridge held.`;

async function logitsOf(
  options: RunnerOptions,
  ids: readonly number[],
  rowsPerStep: number,
): Promise<Logits[]> {
  await using runner = await openRunner(fable, options);
  return await feedChain(runner, runner.cache.openSequence(), ids, rowsPerStep);
}

const checkpoint = await openCheckpoint(fable);
const ids = openTokenizer(checkpoint.metadata).encode(text).slice(0, 220);
await checkpoint.close();
const exact = await logitsOf({ backend: 'wasm', threads: 2 }, ids, ids.length);

/** Mean over rows, in nats. Most of it is of activations that round to a neighbour among 8-bit codes. */
const mostDivergence = 1e-3;

for (const cacheType of ['f16', 'q8_0'] as const) {
  test(`a cache of ${cacheType} hardly moves what the model says, however its rows came in`, async () => {
    const whole = await logitsOf({ backend: 'wasm', threads: 2, cacheType }, ids, ids.length);
    const mean = meanDivergence(whole, exact);
    assert.ok(mean > 0 && mean < mostDivergence, `mean KL divergence ${mean}`);
    const cut = await logitsOf({ backend: 'wasm', threads: 1, cacheType }, ids, 7);
    assertSameBits(cut, whole, 'in steps of 7 rows, on one thread');
  });
}
