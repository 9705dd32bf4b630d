/** A step block for a check, and the same as the reference reads it. */

import { cacheBlockRows } from '../../../plan.ts';
import type { StepTables, TableMove, TableRow } from '../../reference/step-tables.ts';
import { StepBlock } from '../../step-block.ts';

export interface StepCase {
  readonly words: Int32Array<ArrayBuffer>;
  readonly tables: StepTables;
}

interface StepParts {
  readonly rows: readonly Partial<TableRow>[];
  readonly selected?: readonly number[];
  /** Of one sequence, which begins with `committed` rows. */
  readonly pages?: readonly number[];
  readonly committed?: number;
  readonly moves?: readonly TableMove[];
}

const plainRow: TableRow = {
  ...{ token: 0, position: 0, cacheRow: 0, visible: 1, maskLow: 0, maskHigh: 0, sequence: 0 },
};

export function stepCase({
  rows,
  selected = [],
  pages = [0],
  committed = 0,
  moves = [],
}: StepParts): StepCase {
  const block = new StepBlock({
    ...{ rows: rows.length, selected: selected.length, sequences: 1, moves: moves.length },
    ...{ pages: pages.length, pageRows: cacheBlockRows },
  });
  block.addSequence(pages, committed);
  const whole = rows.map((row) => ({ ...plainRow, ...row }));
  for (const row of whole) block.addRow(row);
  for (const row of selected) block.select(row);
  for (const { fromSequence, fromRow, toSequence, toRow } of moves) {
    block.move(fromSequence, fromRow, toSequence, toRow);
  }
  const tables = { rows: whole, selected, moves, sequences: [{ pages: [], committed }] };
  const bytes = block.bytes;
  return { words: new Int32Array(new Uint8Array(bytes).buffer), tables };
}
