/** Log-probabilities of given ids, for perplexity. */
import { NearfieldError } from '../base/error.ts';
import type { Sequence } from '../kv-cache.ts';
import type { EngineParts } from './local-engine.ts';

export async function scoreTokens(
  { executor, contextLength }: EngineParts,
  sequence: Sequence,
  ids: readonly number[],
  options: { readonly first?: number; readonly signal?: AbortSignal },
): Promise<Float64Array> {
  const { first = 0, signal } = options;
  if (ids.length > contextLength + 1) {
    throw new NearfieldError('context-full', `${ids.length} tokens do not fit a context of ${contextLength}`);
  }
  // The last id is only ever predicted.
  const count = Math.max(0, ids.length - 1);
  const scores = new Float64Array(Math.max(0, count - first));
  if (scores.length === 0) return scores;
  const rows = ids.slice(0, count).map((token, index) => ({
    sequence,
    token,
    position: index,
    parent: index === 0 ? -1 : { row: index - 1 },
  }));
  const wanted = Array.from({ length: scores.length }, (_, index) => first + index);
  const width = executor.vocabularySize;
  await executor.run(
    { rows, select: { kind: 'logits', rows: wanted } },
    {
      ...(signal ? { signal } : {}),
      onLogits: (selected, logits) => {
        selected.forEach((row, place) => {
          const target = ids[row + 1] ?? 0;
          scores[row - first] = logProbability(logits.subarray(place * width, (place + 1) * width), target);
        });
      },
    },
  );
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
