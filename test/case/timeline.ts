/** Rows of steps as the cache would number them: chains, trees, and the moves that accept a path of a tree. */
import type { TableMove, TableRow } from '../../src/backend/reference/step-tables.ts';

/** One submit of a case. */
export interface CaseStep {
  readonly rows: readonly TableRow[];
  /** Committed rows of each sequence. */
  readonly committed: readonly number[];
  /** Rows whose logits are wanted. */
  readonly selected: readonly number[];
  /** Carried out after the rows, by the graph's `commit` stage. */
  readonly moves?: readonly TableMove[];
}

export interface ChainOptions {
  readonly sequence?: number;
  /** Token of a row, by its cache row; default: the cache row itself. */
  readonly token?: (cacheRow: number) => number;
  /** Position of a row, by its cache row; default: the cache row itself. */
  readonly position?: (cacheRow: number) => number;
}

const itself = (cacheRow: number): number => cacheRow;

/** `count` rows from cache row `first` on, each seeing all before it. */
export function chain(first: number, count: number, options: ChainOptions = {}): TableRow[] {
  const { sequence = 0, token = itself, position = itself } = options;
  return Array.from({ length: count }, (_, index) => {
    const cacheRow = first + index;
    return {
      token: token(cacheRow),
      position: position(cacheRow),
      cacheRow,
      visible: cacheRow + 1,
      maskLow: 0,
      maskHigh: 0,
      sequence,
    };
  });
}

/** Nodes below a prefix of `committed` rows; node i is the child of node `parents[i]`, of the prefix for -1. */
export function tree(committed: number, parents: readonly number[], options: ChainOptions = {}): TableRow[] {
  const { sequence = 0, token = itself } = options;
  return parents.map((_, index) => {
    const path = pathTo(parents, index);
    const word = (first: number) =>
      path.reduce((bits, node) => (node >> 5 === first >> 5 ? bits | (1 << (node & 31)) : bits), 0);
    return {
      token: token(committed + index),
      position: committed + path.length - 1,
      cacheRow: committed + index,
      visible: committed,
      maskLow: word(0),
      maskHigh: word(32),
      sequence,
    };
  });
}

/** Nodes from the prefix down to `node`, itself included. */
export function pathTo(parents: readonly number[], node: number): number[] {
  const path: number[] = [];
  for (let at = node; at >= 0; at = parents[at] ?? -1) path.unshift(at);
  return path;
}

/** Moves that bring the nodes of a path to the rows after the prefix. */
export function acceptPath(committed: number, path: readonly number[], sequence = 0): TableMove[] {
  return path.flatMap((node, depth) =>
    node === depth
      ? []
      : [
          {
            fromSequence: sequence,
            fromRow: committed + node,
            toSequence: sequence,
            toRow: committed + depth,
          },
        ],
  );
}

/** A step over sequence 0 that wants every row. */
export function stepOf(rows: readonly TableRow[], committed: number): CaseStep {
  return { rows, committed: [committed], selected: rows.map((_, index) => index) };
}
