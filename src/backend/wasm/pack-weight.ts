/** Packs one weight: file bytes come into a staging buffer a slab at a time while compute threads pack the slab before. */

import type { ReadWeight, Ticket } from '../../backend.ts';
import { throwIfAborted } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { TensorType } from '../../tensor.ts';
import { groupRows } from './layout.ts';
import type { LinearMemory } from './memory.ts';
import { requirePacking, weightSize } from './packing.ts';
import { operationNumbers, TapeTemplate } from './tape.ts';
import type { TapeRunner } from './threads.ts';

/** File bytes per slab: large enough for fast reads, small beside any model. */
const slabBytes = 4 << 20;

export interface PackRequest {
  readonly type: TensorType<NumberFormat>;
  readonly read: ReadWeight;
  /** Where the packed weight goes. */
  readonly offset: number;
  readonly memory: LinearMemory;
  readonly runner: TapeRunner;
  readonly descriptions: ReadonlyMap<number, number>;
  readonly signal: AbortSignal | undefined;
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

async function packMatrix(request: PackRequest): Promise<void> {
  const { type, memory, runner, signal } = request;
  const { rows, columns } = weightSize(type);
  const rowBytes = (columns / type.format.blockValues) * type.format.blockBytes;
  const slabRows = Math.max(groupRows, Math.floor(slabBytes / rowBytes / groupRows) * groupRows);
  const bytes = Math.min(slabRows, rows) * rowBytes;
  const stages = rows > slabRows ? 2 : 1;
  const buffers = Array.from({ length: stages }, () => ({
    // The kernels load whole vectors at a row's last bytes.
    data: memory.allocate(bytes + 64, 'staging'),
    tape: memory.allocate(64, 'staging'),
    busy: Promise.resolve() as Ticket['done'],
  }));
  try {
    for (let first = 0, slab = 0; first < rows; first += slabRows, slab++) {
      throwIfAborted(signal);
      const buffer = buffers[slab % stages];
      if (!buffer) break;
      await buffer.busy;
      const count = Math.min(slabRows, rows - first);
      await memory.fill(buffer.data, count * rowBytes, (target) => request.read(first * rowBytes, target));
      packTape(request, first, count, buffer.data).instantiate(
        new Int32Array(memory.memory.buffer, buffer.tape, 16),
        [],
        { arena: 0, step: 0, weights: [] },
      );
      buffer.busy = runner.submit(buffer.tape).done;
      // A failure is seen at the next await; without this it would count as unhandled until then.
      buffer.busy.catch(() => {});
    }
  } finally {
    await Promise.allSettled(buffers.map((buffer) => buffer.busy));
    for (const buffer of buffers) {
      memory.release(buffer.data);
      memory.release(buffer.tape);
    }
  }
  await Promise.all(buffers.map((buffer) => buffer.busy));
}

function packTape(
  { type, offset, descriptions }: PackRequest,
  first: number,
  rows: number,
  source: number,
): TapeTemplate {
  const { columns, matrixBytes } = weightSize(type);
  const packing = requirePacking(type.format);
  const groupBytes = packing.groupBytes(columns);
  const firstGroup = first / groupRows;
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
  const rowBytes = (columns / type.format.blockValues) * type.format.blockBytes;
  tape
    .begin(operationNumbers.pack)
    .word(rows)
    .word(columns / 32)
    .word(packing.unpack.format)
    .word(source)
    .word(rowBytes);
  tape
    .word(target)
    .word(groupBytes)
    .word(offset + matrixBytes + firstGroup * 4);
  return tape
    .word(descriptions.get(packing.layout) ?? 0)
    .word(units)
    .float(packing.unpack.factor);
}
