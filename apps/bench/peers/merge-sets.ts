/** A long table made in pieces: rows that were measured in an earlier call stay, those measured again are replaced. */
import type { ContenderSpec } from './contender.ts';
import type { ModelSet } from './report.ts';

const keyOf = ({ row = '', spec }: { readonly row?: string; readonly spec: ContenderSpec }): string =>
  `${row} ${JSON.stringify(spec)}`;

/** Sets of earlier calls and one more; what is there of the same model and threads is merged with it. */
export function mergeSet(sets: readonly ModelSet[], set: ModelSet): ModelSet[] {
  const isSame = ({ model, threads }: ModelSet) => model === set.model && threads === set.threads;
  const before = sets.find(isSame);
  if (!before) return [...sets, set];
  return sets.map((other) => (other === before ? merged(before, set) : other));
}

function merged(before: ModelSet, after: ModelSet): ModelSet {
  const isNew = new Set(after.measurements.map(keyOf));
  const seen = new Map(before.contenders.map((contender) => [keyOf(contender), contender]));
  for (const contender of after.contenders) {
    const peakBytes = Math.max(contender.peakBytes, seen.get(keyOf(contender))?.peakBytes ?? 0);
    seen.set(keyOf(contender), { ...contender, peakBytes });
  }
  return {
    ...after,
    measurements: [...before.measurements.filter((each) => !isNew.has(keyOf(each))), ...after.measurements],
    contenders: [...seen.values()],
    conditions: [...before.conditions, ...after.conditions],
  };
}
