/**
 * The pieces of a checkpoint one after the other, encoded ahead by as many as there are slots: each slot has room for the
 * bytes of one piece before and after. So memory does not grow with the tensors.
 */
import { canShareMemory } from '../base/platform.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { rowBytes } from '../format.ts';
import type { ChosenFormat } from './choose-formats.ts';
import type { FeedbackCollector } from './collect-feedback.ts';
import type { PieceError } from './encode-piece.ts';
import type { EncodeThreads } from './encode-threads.ts';
import type { Importance } from './importance.ts';

/** Values of a piece, where rows are not longer; enough to be worth a message to a thread, little enough to stop soon. */
const pieceValues = 2 ** 16;

export interface EncodedPiece extends PieceError {
  readonly tensor: ChosenFormat;
  /** Valid until the next piece is asked for. */
  readonly bytes: Uint8Array;
  /** Bytes of the source that it was made of. */
  readonly sourceBytes: number;
}

export interface EncodeRun {
  readonly checkpoint: Checkpoint;
  readonly tensors: readonly ChosenFormat[];
  readonly threads: EncodeThreads;
  readonly importance: Importance | undefined;
  readonly feedback: FeedbackCollector | undefined;
  readonly signal: AbortSignal | undefined;
}

interface PlannedPiece {
  readonly tensor: ChosenFormat;
  readonly firstRow: number;
  readonly rowCount: number;
  readonly rowValues: number;
}

/** In the order of the tensors and of their rows. Leaving the iteration early leaves nothing under way that anybody waits for. */
export async function* encodedPieces(run: EncodeRun): AsyncGenerator<EncodedPiece> {
  const planned = plannedPieces(run.tensors);
  const slots = Array.from({ length: 2 * run.threads.count }, () => new Slot());
  const underWay: { readonly slot: Slot; readonly piece: Promise<EncodedPiece> }[] = [];
  const reads = new Turns();
  const begin = (slot: Slot): void => {
    const { value } = planned.next();
    if (!value) return;
    const piece = encode(run, value, slot, reads);
    // Of those behind a failed one nobody asks.
    piece.catch(() => {});
    underWay.push({ slot, piece });
  };
  for (const slot of slots) begin(slot);
  for (let next = underWay.shift(); next; next = underWay.shift()) {
    yield await next.piece;
    begin(next.slot);
  }
}

function* plannedPieces(tensors: readonly ChosenFormat[]): Generator<PlannedPiece, undefined> {
  for (const tensor of tensors) {
    const { shape } = tensor.entry;
    const rowValues = shape.at(-1) ?? 1;
    // Rows of one expert have one importance, so no piece reaches into the next.
    const matrixRows = shape.length > 1 ? (shape.at(-2) ?? 1) : 1;
    const matrices = shape.slice(0, -2).reduce((product, size) => product * size, 1);
    const rowsAtOnce = Math.max(1, Math.floor(pieceValues / rowValues));
    for (let matrix = 0; matrix < matrices; matrix++) {
      for (let row = 0; row < matrixRows; row += rowsAtOnce) {
        const rowCount = Math.min(rowsAtOnce, matrixRows - row);
        yield { tensor, firstRow: matrix * matrixRows + row, rowCount, rowValues };
      }
    }
  }
  return undefined;
}

async function encode(
  { checkpoint, threads, importance, feedback, signal }: EncodeRun,
  { tensor, firstRow, rowCount, rowValues }: PlannedPiece,
  slot: Slot,
  reads: Turns,
): Promise<EncodedPiece> {
  const { entry, format } = tensor;
  const sourceRow = rowBytes(entry.format, rowValues);
  const source = slot.source(rowCount * sourceRow);
  const target = slot.target(rowCount * rowBytes(format, rowValues));
  const factor = await reads.next(async () => {
    await checkpoint.read(entry, firstRow * sourceRow, source, signal);
    return format === entry.format ? undefined : feedback?.of(entry.name);
  });
  const matrix = Math.floor(firstRow / (entry.shape.at(-2) ?? 1));
  const error = await threads.encode({
    ...{ tensor: entry.name, firstRow, rowCount, rowValues, source, target },
    sourceFormat: entry.format.name,
    targetFormat: format.name,
    importance: importance?.of(entry.name, matrix, rowValues),
    feedback: factor,
  });
  return { tensor, bytes: target, sourceBytes: source.byteLength, ...error };
}

/** Memory of a piece, which threads see without a copy; grows to the largest. */
class Slot {
  #source = bytes(0);
  #target = bytes(0);

  source(byteLength: number): Uint8Array {
    if (this.#source.byteLength < byteLength) this.#source = bytes(byteLength);
    return this.#source.subarray(0, byteLength);
  }

  target(byteLength: number): Uint8Array {
    if (this.#target.byteLength < byteLength) this.#target = bytes(byteLength);
    return this.#target.subarray(0, byteLength);
  }
}

function bytes(byteLength: number): Uint8Array {
  return canShareMemory() ? new Uint8Array(new SharedArrayBuffer(byteLength)) : new Uint8Array(byteLength);
}

/** One after the other, in order of arrival: a remote source is then read in one go. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  next<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
