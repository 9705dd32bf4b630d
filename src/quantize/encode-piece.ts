/** One piece of work: some rows of a tensor from one format into another, checked and measured. */
import { NearfieldError } from '../base/error.ts';
import { decodeRow, encodeRowClosely, formatByName, rowBytes } from '../format.ts';
import { encodeRowWithFeedback } from './error-feedback.ts';

export interface Piece {
  /** For messages. */
  readonly tensor: string;
  readonly firstRow: number;
  readonly rowCount: number;
  readonly rowValues: number;
  /** By name, so that it may be sent to a thread. */
  readonly sourceFormat: string;
  readonly targetFormat: string;
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  /** One number for each value of a row. */
  readonly importance: Float32Array | undefined;
  /** Makes good what earlier values of a row lost (error-feedback.ts); only for formats with a ladder. */
  readonly feedback: Float32Array | undefined;
}

export interface PieceError {
  /** Σ (value − its value in the target)². */
  readonly squaredError: number;
  /** Σ value². */
  readonly squares: number;
}

/** Fills `target`. Throws `bad-file` for a value that is no finite number, `bad-argument` for one that the target cannot hold. */
export function encodePiece(piece: Piece): PieceError {
  const { rowCount, rowValues, source, target, importance, feedback } = piece;
  const [from, to] = [formatByName(piece.sourceFormat), formatByName(piece.targetFormat)];
  const [sourceRow, targetRow] = [rowBytes(from, rowValues), rowBytes(to, rowValues)];
  const [values, written] = [new Float32Array(rowValues), new Float32Array(rowValues)];
  let [squaredError, squares] = [0, 0];
  for (let row = 0; row < rowCount; row++) {
    decodeRow(from, source, row * sourceRow, values, 0, rowValues);
    expectFinite(values, piece, row, 'bad-file', 'no finite number; the model is damaged');
    if (from === to) {
      target.set(source.subarray(row * sourceRow, (row + 1) * sourceRow), row * targetRow);
    } else if (feedback) {
      encodeRowWithFeedback(to, values, target, row * targetRow, feedback, importance);
    } else {
      encodeRowClosely(to, values, 0, target, row * targetRow, rowValues, importance);
    }
    decodeRow(to, target, row * targetRow, written, 0, rowValues);
    expectFinite(written, piece, row, 'bad-argument', `too large for ${to.name}; choose bf16 or f32`);
    for (let i = 0; i < rowValues; i++) {
      const value = values[i] ?? 0;
      squares += value * value;
      squaredError += (value - (written[i] ?? 0)) ** 2;
    }
  }
  return { squaredError, squares };
}

function expectFinite(
  values: Float32Array,
  { tensor, firstRow }: Piece,
  row: number,
  code: 'bad-file' | 'bad-argument',
  problem: string,
): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new NearfieldError(code, `Tensor ${tensor}, row ${firstRow + row}, value ${at} is ${problem}`);
}
