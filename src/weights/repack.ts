/** Resident weights packed again where they are, after the machine has lost their bytes. */
import type { Backend } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { WeightValue } from '../graph.ts';
import type { Weights } from '../weights.ts';
import { packWhole } from './pack-unit.ts';

/** Throws `backend` for weights that are streamed: what is where is known to the stream alone. */
export async function repackWeights(
  weights: Weights,
  values: readonly WeightValue[],
  backend: Backend,
  checkpoint: Checkpoint,
): Promise<void> {
  if (weights.isStreamed) throw new NearfieldError('backend', 'streamed weights are not brought back');
  const distinct = new Map(values.map((value) => [value.name, value]));
  for (const value of distinct.values()) {
    await packWhole(backend, weights.resident(value), value, checkpoint);
  }
}
