/** Packs one weight: file bytes come into a staging buffer a slab at a time while compute threads pack the slab before. */

import type { ReadWeight } from '../../backend.ts';
import { throwIfAborted } from '../../base/error.ts';
import type { Grid, NumberFormat } from '../../format.ts';
import type { TensorType } from '../../tensor.ts';
import { Ticket } from '../ticket.ts';
import { groupRows } from './layout.ts';
import type { LinearMemory } from './memory.ts';
import { requirePacking, weightSize } from './packing.ts';
import { operationNumbers, TapeTemplate } from './tape.ts';
import { newTape, type TapeRunner, untimed } from './tape-runner.ts';

/** File bytes per slab: large enough for fast reads; larger ones leave larger gaps between weights, of no use to later ones. */
const slabBytes = 1 << 20;

export interface PackRequest {
  readonly type: TensorType<NumberFormat>;
  readonly read: ReadWeight;
  /** Where the packed weight goes. */
  readonly offset: number;
  /** Rows to pack, counted over all matrices, whole groups but at the end of one, whose bytes `read` gives; all without it. */
  readonly part?: RowRange;
  readonly memory: LinearMemory;
  readonly runner: TapeRunner;
  readonly descriptions: ReadonlyMap<number, number>;
  readonly signal: AbortSignal | undefined;
}

export interface RowRange {
  readonly first: number;
  readonly count: number;
}

export async function packWeight(request: PackRequest): Promise<void> {
  if (request.type.shape.length === 1) await packVector(request);
  else await packMatrix(request);
}

/** Vectors are small: decoded here, kept as float32, padded with zeros to whole groups. */
async function packVector({ type, read, offset, memory }: PackRequest): Promise<void> {
  const { columns, totalBytes } = weightSize(type);
  const { blockValues, blockBytes } = type.format;
  const bytes = new Uint8Array((columns / blockValues) * blockBytes);
  await read(0, bytes);
  const values = new Float32Array(totalBytes / 4);
  type.format.decode(bytes, 0, values, 0, columns / blockValues);
  memory.view(offset, totalBytes).set(new Uint8Array(values.buffer));
}

interface Slabs {
  readonly rows: number;
  /** Bytes of file form, with what kernels may load beyond a row's last bytes. */
  readonly bytes: number;
  /** One is read while the other is packed. */
  readonly stages: number;
}

function slabsOf(type: TensorType<NumberFormat>, rowCount: number): Slabs {
  const bytes = rowBytesOf(type);
  const rows = Math.max(groupRows, Math.floor(slabBytes / bytes / groupRows) * groupRows);
  return { rows, bytes: Math.min(rows, rowCount) * bytes + 64, stages: rowCount > rows ? 2 : 1 };
}

const rowBytesOf = (type: TensorType<NumberFormat>): number =>
  (weightSize(type).columns / type.format.blockValues) * type.format.blockBytes;

function rowCountOf(type: TensorType<NumberFormat>): number {
  const { matrices, rows } = weightSize(type);
  return matrices * rows;
}

const tapeBytes = 64;

/** What `packWeight` holds while it packs a whole weight. */
export function packingBytes(type: TensorType<NumberFormat>): number {
  if (type.shape.length === 1) return 0;
  const { bytes, stages } = slabsOf(type, rowCountOf(type));
  const gridBytes = Math.ceil((type.format.grid?.codes.length ?? 0) / 64) * 64;
  return stages * (Math.ceil(bytes / 64) * 64 + tapeBytes) + gridBytes;
}

async function packMatrix(request: PackRequest): Promise<void> {
  const { type, memory, runner, signal } = request;
  const { first, count: rowCount } = request.part ?? { first: 0, count: rowCountOf(type) };
  const rowBytes = rowBytesOf(type);
  const slabs = slabsOf(type, rowCount);
  const buffers = Array.from({ length: slabs.stages }, () => ({
    data: memory.allocate(slabs.bytes, 'staging'),
    tape: newTape(memory.allocate(tapeBytes, 'staging')),
    ticket: new Ticket(),
  }));
  const grid = type.format.grid ? allocateGrid(memory, type.format.grid) : 0;
  try {
    for (let done = 0, slab = 0, count = 0; done < rowCount; done += count, slab++) {
      throwIfAborted(signal);
      const buffer = buffers[slab % slabs.stages];
      if (!buffer) break;
      await buffer.ticket.settled();
      count = Math.min(slabs.rows, rowCount - done, rowsUntilPadding(type, first + done));
      await memory.fill(buffer.data, count * rowBytes, (target) => request.read(done * rowBytes, target));
      packTape(request, first + done, count, buffer.data, grid).instantiate(
        new Int32Array(memory.memory.buffer, buffer.tape.address, tapeBytes / 4),
        [],
        { arena: 0, step: 0, weights: [] },
      );
      // Never on the thread that has to read on.
      buffer.tape.microseconds = untimed;
      runner.submit(buffer.tape, buffer.ticket);
    }
    for (const { ticket } of buffers) await ticket.settled();
  } finally {
    await Promise.allSettled(buffers.map(({ ticket }) => ticket.settled()));
    for (const buffer of buffers) {
      memory.release(buffer.data);
      memory.release(buffer.tape.address);
    }
    if (grid) memory.release(grid);
  }
}

/** Its address. */
function allocateGrid(memory: LinearMemory, { codes }: Grid): number {
  const address = memory.allocate(codes.length, 'staging');
  memory.view(address, codes.length).set(codes);
  return address;
}

/** Rows from `row` on that lie in groups one behind the other: to the end of its matrix, where the last group is not full. */
function rowsUntilPadding(type: TensorType<NumberFormat>, row: number): number {
  const { rows } = weightSize(type);
  return rows % groupRows === 0 ? Number.POSITIVE_INFINITY : rows - (row % rows);
}

function packTape(
  { type, offset, descriptions }: PackRequest,
  first: number,
  rows: number,
  source: number,
  grid: number,
): TapeTemplate {
  const { columns, matrixBytes, rows: matrixRows, groups } = weightSize(type);
  const packing = requirePacking(type.format);
  const groupBytes = packing.groupBytes(columns);
  const firstGroup = Math.floor(first / matrixRows) * groups + (first % matrixRows) / groupRows;
  const target = offset + firstGroup * groupBytes;
  const units = Math.ceil(rows / groupRows);
  const tape = new TapeTemplate();
  if (!packing.unpack) {
    tape
      .begin(operationNumbers.packFloats)
      .word(rows)
      .word(columns)
      .word(packing.valueBytes ?? 4);
    return tape.word(source).word(target).word(units);
  }
  tape
    .begin(operationNumbers.pack)
    .word(rows)
    .word(columns / 32)
    .word(packing.unpack.format)
    .word(source)
    .word(rowBytesOf(type));
  tape
    .word(target)
    .word(groupBytes)
    .word(offset + matrixBytes + firstGroup * 4);
  return tape
    .word(descriptions.get(packing.layout) ?? 0)
    .word(units)
    .float(packing.unpack.factor)
    .word(grid);
}
