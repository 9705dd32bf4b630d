/** Reading a row of logits: its greatest entry, and the error for entries that no working model computes. */
import { NearfieldError } from '../base/error.ts';

/** One row of logits, `[V]`. */
export type LogitRow = Float32Array | Float64Array;

/** -Infinity is a banned token and fine; NaN and +Infinity are the model's or the backend's failure. */
export function throwBadLogit(id: number, logit: number): never {
  throw new NearfieldError(
    'backend',
    `The logit of token ${id} is ${logit}: the model file is damaged or its values overflow on this backend; try another file or backend`,
  );
}

export function throwNothingLeft(): never {
  throw new NearfieldError(
    'bad-argument',
    'Every token is banned (logit -Infinity); lift some of the logit bias',
  );
}

/** The id of the greatest logit, the lowest among equals. */
export function greatestId(logits: LogitRow): number {
  let best = Number.NEGATIVE_INFINITY;
  let bestId = -1;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit <= best) continue;
    if (Number.isNaN(logit)) throwBadLogit(id, logit);
    best = logit;
    bestId = id;
  }
  if (bestId < 0) throwNothingLeft();
  if (best === Number.POSITIVE_INFINITY) throwBadLogit(bestId, best);
  return bestId;
}
