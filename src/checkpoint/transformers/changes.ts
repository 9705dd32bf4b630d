/** What tensors go through on the way from a folder to a GGUF file, as functions that the tables of families name. */
import { NearfieldError } from '../../base/error.ts';
import { quote } from '../quote.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import type { ModelConfig } from './config.ts';
import type { Change } from './family.ts';
import { asFloats, joined, type Rows, reordered, reshaped, rowsOf, sliced, transposed } from './rows.ts';
import { keyValueHeadsOf, names } from './sizes.ts';

/** The rows of the only source. */
export function only(sources: readonly StoredTensor[]): Rows {
  const [first, other] = sources;
  if (!first) throw new NearfieldError('internal', 'A change of a tensor was given none');
  if (!other) return rowsOf(first);
  throw new NearfieldError('bad-file', `${quote(first.name)} and ${quote(other.name)} stand for one tensor`);
}

/**
 * From rotation of the two halves of a head to rotation of neighbours: rows i and i + size / 2 of each head become rows
 * 2 i and 2 i + 1.
 */
export const adjacentPairs =
  (headsOf: (config: ModelConfig) => number): Change =>
  (sources, { config, shelf }) => {
    const rows = only(sources);
    const half = (rows.shape[0] ?? 0) / headsOf(config) / 2;
    if (!Number.isInteger(half) || half < 1) {
      config.fail(names.heads, `does not divide the ${rows.shape[0]} rows of ${quote(rows.name)} in pairs`);
    }
    const order = Array.from({ length: 2 * half }, (_, row) => (row % 2) * half + Math.floor(row / 2));
    return reordered(rows, order, shelf);
  };

export const adjacentQueryAndKey = {
  query: adjacentPairs((config) => config.count(names.heads)),
  key: adjacentPairs(keyValueHeadsOf),
};

/** Norms that are written as their distance from one. */
export const plusOne: Change = (sources, { shelf }) => asFloats(only(sources), 1, shelf);

/** A matrix of one row. */
export const asVector: Change = (sources) => {
  const rows = only(sources);
  return reshaped(rows, rows.shape.slice(-1));
};

/** Matrices of the experts, or norms of the heads, one after the other as one tensor of a dimension more. */
export const stacked: Change = (sources) => {
  const all = sources.map(rowsOf);
  return joined(all, [all.length, ...(all[0]?.shape ?? [])]);
};

/** One of the equal parts that the rows of a matrix, or of each of several, are cut in. */
export const shareOfRows =
  (index: number, of: number): Change =>
  (sources) => {
    const rows = only(sources);
    const [columns = 0, allRows = 0, ...outer] = rows.shape.toReversed();
    const matrices = outer.reduce((product, size) => product * size, 1);
    const count = Math.floor(allRows / of);
    const shares = Array.from({ length: matrices }, (_, matrix) =>
      sliced(rows, matrix * allRows + index * count, count),
    );
    return joined(shares, [...outer.reverse(), count, columns]);
  };

/** Weights of the shape [inputs, outputs]; vectors stay. */
export const transposedMatrix: Change = (sources, { shelf }) => {
  const rows = only(sources);
  return rows.shape.length === 1 ? rows : transposed(rows, shelf);
};

/**
 * Queries, keys and values of every group of heads together, as all queries, all keys, all values. A group has so many of
 * each that share a key and a value.
 */
export const regroupedQueryKeyValue =
  (groupsOf: (config: ModelConfig) => number): Change =>
  (sources, { config }) => {
    const rows = only(sources);
    const groups = groupsOf(config);
    const inGroup = config.count(names.heads) / groups;
    const headRows = (rows.shape[0] ?? 0) / groups / (inGroup + 2);
    if (!Number.isInteger(headRows) || !Number.isInteger(inGroup)) {
      config.fail(
        names.heads,
        `and ${groups} groups do not divide the ${rows.shape[0]} rows of ${quote(rows.name)}`,
      );
    }
    const slices = (place: number, count: number) =>
      Array.from({ length: groups }, (_, group) =>
        sliced(rows, (group * (inGroup + 2) + place) * headRows, count * headRows),
      );
    return joined([...slices(0, inGroup), ...slices(inGroup, 1), ...slices(inGroup + 1, 1)], rows.shape);
  };
