/** What a step must be before any of it is carried out. */
import { known, NearfieldError } from '../base/error.ts';
import type { Step, StepRow } from '../executor.ts';

const highestPosition = 2 ** 31 - 1;

/** What of a model bounds its steps. */
export interface StepLimits {
  readonly vocabularySize: number;
  /** Positions are below it. */
  readonly positionCount: number;
  /** Rows whose logits fit a result; Infinity where they are taken piece by piece. */
  readonly maxLogits: number;
}

/** Throws `bad-argument`. Parents given as cache rows are checked when the row is appended. */
export function checkStep({ rows, select }: Step, limits: StepLimits): void {
  const { maxLogits } = limits;
  if (rows.length === 0) throw bad('A step needs at least one row');
  for (let index = 0; index < rows.length; index++) checkRow(rows, index, limits);
  if (select.kind === 'nothing') return;
  let before = -1;
  const selected = select.rows;
  for (let index = 0; index < selected.length; index++) {
    const row = known(selected[index], 'selected row');
    if (!isWhole(row, before + 1, rows.length - 1)) {
      throw bad(`Selected rows must be ascending and below ${rows.length}; ${row} follows ${before}`);
    }
    before = row;
  }
  if (select.kind === 'logits' && select.rows.length > maxLogits) {
    throw bad(
      `The logits of ${select.rows.length} rows were asked for, at most ${maxLogits} fit a result; take them by onLogits`,
    );
  }
}

function checkRow(
  rows: readonly StepRow[],
  index: number,
  { vocabularySize, positionCount }: StepLimits,
): void {
  const row = rows[index];
  if (!row) throw bad(`Row ${index} of the step is missing`);
  if (!isWhole(row.token, 0, vocabularySize - 1)) {
    throw bad(
      `Token id ${row.token} of row ${index} is out of range; the vocabulary has ids 0 to ${vocabularySize - 1}`,
    );
  }
  if (row.position >= positionCount) {
    throw bad(`Position ${row.position} of row ${index} is beyond the ${positionCount} that the model knows`);
  }
  if (!isWhole(row.position, 0, highestPosition)) {
    throw bad(`Position ${row.position} of row ${index} is not a whole number from 0 on`);
  }
  if (typeof row.parent === 'number') return;
  const parent = row.parent.row;
  if (!isWhole(parent, 0, index - 1) || rows[parent]?.sequence !== row.sequence) {
    throw bad(`Row ${index} cannot be the child of row ${parent}: no earlier row of its sequence`);
  }
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function bad(message: string): NearfieldError {
  return new NearfieldError('bad-argument', message);
}
