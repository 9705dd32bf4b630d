/** Weights on the device: in buffers of their own, or placed in a region. Packed here, a piece of rows at a time. */
import type { PackedWeight, ReadWeight } from '../../backend.ts';
import { known, throwIfAborted } from '../../base/error.ts';
import { type NumberFormat, rowBytes } from '../../format.ts';
import type { TensorType } from '../../tensor.ts';
import { pieceBytes } from './capability.ts';
import type { GpuMemory, GpuRegion, Store } from './gpu-memory.ts';
import { packPiece } from './pack-rows.ts';
import { partRows, type WeightPart, type WeightSize } from './weight-layout.ts';

interface PartPlace {
  readonly store: Store;
  readonly offset: number;
}

/** Rows that are read and packed at a time, all of one part. */
interface Piece {
  readonly number: number;
  readonly part: WeightPart;
  /** Rows before it. */
  readonly done: number;
  readonly count: number;
}

export class GpuWeight implements PackedWeight {
  readonly type: TensorType<NumberFormat>;
  readonly size: WeightSize;
  readonly #places: readonly PartPlace[];

  constructor(type: TensorType<NumberFormat>, size: WeightSize, places: readonly PartPlace[]) {
    this.type = type;
    this.size = size;
    this.#places = places;
  }

  static inOwnBuffers(type: TensorType<NumberFormat>, size: WeightSize, memory: GpuMemory): GpuWeight {
    const places: PartPlace[] = [];
    try {
      for (const part of size.parts) {
        places.push({ store: { buffer: memory.createBuffer(part.byteLength, 'weights') }, offset: 0 });
      }
    } catch (error) {
      for (const { store } of places) store.buffer.destroy();
      throw error;
    }
    return new GpuWeight(type, size, places);
  }

  static inRegion(
    type: TensorType<NumberFormat>,
    size: WeightSize,
    { store, offset }: GpuRegion,
    offsetBytes: number,
  ): GpuWeight {
    const places = size.parts.map((part) => ({ store, offset: offset + offsetBytes + part.offset }));
    return new GpuWeight(type, size, places);
  }

  get byteLength(): number {
    return this.size.byteLength;
  }

  binding(part: number): GPUBufferBinding {
    const { store, offset } = known(this.#places[part], 'part of a weight');
    return { buffer: store.buffer, offset, size: known(this.size.parts[part], 'part').byteLength };
  }

  /** Packs the rows from `firstRow` on, whole groups of `partRows` or to the end; `read` counts from the first of them. */
  async packRows(
    firstRow: number,
    rowCount: number,
    read: ReadWeight,
    queue: GPUQueue,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const stride = rowBytes(this.type.format, this.size.columns);
    const most = Math.max(partRows, Math.floor(pieceBytes / stride / partRows) * partRows);
    const pieceAt = (done: number): Piece | undefined => {
      const row = firstRow + done;
      const number = this.size.parts.findIndex((part) => row < part.firstRow + part.rows);
      const part = this.size.parts[number];
      if (done >= rowCount || !part) return undefined;
      return { number, part, done, count: Math.min(most, rowCount - done, part.firstRow + part.rows - row) };
    };
    // The next piece is read while one is packed.
    const buffers = [0, 1].map(() => new Uint8Array(Math.min(most, rowCount) * stride));
    const fill = async (piece: Piece | undefined, buffer: Uint8Array | undefined): Promise<void> => {
      throwIfAborted(signal);
      if (piece && buffer) await read(piece.done * stride, buffer.subarray(0, piece.count * stride));
    };
    let piece = pieceAt(0);
    let reading = fill(piece, buffers[0]);
    while (piece) {
      await reading;
      const [source, other] = buffers;
      const next = pieceAt(piece.done + piece.count);
      reading = fill(next, other);
      // Heard of when it is awaited, also where packing fails before.
      reading.catch(() => {});
      const { number, part, done, count } = piece;
      this.#write(
        number,
        part,
        known(source, 'piece').subarray(0, count * stride),
        firstRow + done - part.firstRow,
        count,
        queue,
      );
      buffers.reverse();
      piece = next;
    }
    throwIfAborted(signal);
  }

  #write(
    number: number,
    part: WeightPart,
    source: Uint8Array,
    firstRow: number,
    rowCount: number,
    queue: GPUQueue,
  ): void {
    const { store, offset } = known(this.#places[number], 'part of a weight');
    for (const piece of packPiece(this.size, part, this.type.format, source, firstRow, rowCount)) {
      queue.writeBuffer(store.buffer, offset - part.offset + piece.offset, piece.bytes);
    }
  }

  /** For a weight in buffers of its own: room on another device. */
  recreate(memory: GpuMemory): void {
    this.#places.forEach(({ store }, index) => {
      store.buffer = memory.createBuffer(known(this.size.parts[index], 'part').byteLength, 'weights');
    });
  }

  /** For a weight in buffers of its own. */
  destroy(): void {
    for (const { store } of this.#places) store.buffer.destroy();
  }
}
