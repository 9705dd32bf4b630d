/** Log-probabilities of given ids, for perplexity. */
import { NearfieldError } from '../base/error.ts';
import type { ScoreOptions } from '../engine.ts';
import type { Sequence } from '../kv-cache.ts';
import { computeChain } from './compute-chain.ts';
import type { SessionExecutor } from './pausable-executor.ts';

export async function scoreTokens(
  executor: SessionExecutor,
  sequence: Sequence,
  ids: readonly number[],
  { first = 0, signal, onLogits }: ScoreOptions,
): Promise<Float64Array> {
  if (!Number.isInteger(first) || first < 0)
    throw new NearfieldError('bad-argument', `first is ${first}; it must be an integer, 0 or more`);
  // The last id is only ever predicted.
  const count = Math.max(0, ids.length - 1);
  const scores = new Float64Array(Math.max(0, count - first));
  if (scores.length === 0) return scores;
  await computeChain(executor, sequence, ids.slice(0, count), {
    ...(signal ? { signal } : {}),
    logits: {
      first,
      take(row, logits) {
        scores[row - first] = logProbability(logits, ids[row + 1] ?? 0);
        onLogits?.(row, logits);
      },
    },
  });
  return scores;
}

function logProbability(logits: Float32Array | Float64Array, id: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > largest) largest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const own = logits[id];
  if (own === undefined)
    throw new NearfieldError(
      'bad-argument',
      `Token id ${id} is out of range; the vocabulary has ${logits.length}`,
    );
  return own - largest - Math.log(sum);
}
