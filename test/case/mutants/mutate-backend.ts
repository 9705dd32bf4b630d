/** Backends that are wrong in one small way: what the cases must notice. Each wraps a right one. */
import { type Backend, type Region, stepBlockLayout } from '../../../src/backend.ts';
import type { NumberFormat } from '../../../src/format.ts';
import type { Operation, Roundoff } from '../../../src/graph.ts';
import type { Segment } from '../../../src/plan.ts';
import type { TensorType } from '../../../src/tensor.ts';

/** A backend with some members replaced. */
function changed(base: Backend, changes: Partial<Backend>): Backend {
  return {
    name: base.name,
    threads: base.threads,
    describe: () => base.describe(),
    allocate: (byteLength, purpose, use) => base.allocate(byteLength, purpose, use),
    release: (region) => base.release(region),
    write: (region, offsetBytes, bytes) => base.write(region, offsetBytes, bytes),
    read: (region, offsetBytes, target) => base.read(region, offsetBytes, target),
    pack: (type, read, signal) => base.pack(type, read, signal),
    unpack: (weight) => base.unpack(weight),
    place: (type, region, offsetBytes) => base.place(type, region, offsetBytes),
    packRows: (weight, firstRow, rowCount, read) => base.packRows(weight, firstRow, rowCount, read),
    fill: (region, offsetBytes, byteLength, read) => base.fill(region, offsetBytes, byteLength, read),
    prepare: (segment, plan) => base.prepare(segment, plan),
    submit: (program, bindings, symbols, ticket) => base.submit(program, bindings, symbols, ticket),
    memory: () => base.memory(),
    close: () => base.close(),
    ...changes,
  };
}

/** One block of the weight that is packed as number `weightIndex` comes out `factor` times as large. Works on backends that decode with the format they are given. */
export function scaleBlock(base: Backend, weightIndex: number, blockIndex: number, factor: number): Backend {
  let packed = 0;
  return changed(base, {
    pack: (type, read, signal) => {
      const wrong = packed++ === weightIndex ? scaledFormat(type, blockIndex, factor) : type;
      return base.pack(wrong, read, signal);
    },
  });
}

/**
 * As `scaleBlock`, in the bytes of the file, for backends that decode in their own way. Formats whose encoding cannot
 * express the factor come out unchanged.
 */
export function scaleFileBlock(
  base: Backend,
  weightIndex: number,
  blockIndex: number,
  factor: number,
): Backend {
  let packed = 0;
  return changed(base, {
    pack: async (type, read, signal) => {
      if (packed++ !== weightIndex) return base.pack(type, read, signal);
      const { blockBytes, blockValues, decode, encode } = type.format;
      const first = blockIndex * blockBytes;
      const block = new Uint8Array(blockBytes);
      const values = new Float64Array(blockValues);
      await read(first, block);
      decode(block, 0, values, 0, 1);
      encode?.(
        values.map((value) => value * factor),
        0,
        block,
        0,
        1,
      );
      return base.pack(
        type,
        async (offset, target) => {
          await read(offset, target);
          block.forEach((byte, index) => {
            const place = first + index - offset;
            if (place >= 0 && place < target.length) target[place] = byte;
          });
        },
        signal,
      );
    },
  });
}

function scaledFormat(
  type: TensorType<NumberFormat>,
  blockIndex: number,
  factor: number,
): TensorType<NumberFormat> {
  const { format } = type;
  const { blockValues, blockBytes } = format;
  return {
    ...type,
    format: {
      ...format,
      decode(source, sourceOffset, target, targetOffset, blockCount) {
        format.decode(source, sourceOffset, target, targetOffset, blockCount);
        const block = blockIndex - sourceOffset / blockBytes;
        if (block < 0 || block >= blockCount) return;
        const first = targetOffset + block * blockValues;
        for (let i = first; i < first + blockValues; i++) target[i] = (target[i] ?? 0) * factor;
      },
    },
  };
}

/** `change` edits the words of every step block before it is used. */
export function changeStep(base: Backend, change: (words: Int32Array) => void): Backend {
  const written = new Map<Region, Uint8Array>();
  return changed(base, {
    write: (region, offsetBytes, bytes) => {
      if (offsetBytes === 0) written.set(region, bytes.slice());
      base.write(region, offsetBytes, bytes);
    },
    submit: (program, bindings, symbols, ticket) => {
      const bytes = (written.get(bindings.step) ?? new Uint8Array()).slice();
      change(new Int32Array(bytes.buffer));
      base.write(bindings.step, 0, bytes);
      base.submit(program, bindings, symbols, ticket);
    },
  });
}

const place = (words: Int32Array, row: number, field: number): number =>
  (words[4] ?? 0) + row * stepBlockLayout.rowWords + field;

/** The last row that has a mask sees one ancestor less, or one stranger more. */
export function flipMaskBit(words: Int32Array): void {
  for (let row = (words[0] ?? 0) - 1; row >= 0; row--) {
    const [low, high] = [place(words, row, 4), place(words, row, 5)];
    if ((words[low] ?? 0) === 0 && (words[high] ?? 0) === 0) continue;
    words[low] = (words[low] ?? 0) ^ 1;
    return;
  }
}

/** The last row stands one further than it should. */
export function shiftPosition(words: Int32Array): void {
  const rows = words[0] ?? 0;
  if (rows > 0) words[place(words, rows - 1, 1)] = (words[place(words, rows - 1, 1)] ?? 0) + 1;
}

/** Moves run last to first. */
export function reverseMoves(words: Int32Array): void {
  const [count, start, size] = [words[3] ?? 0, words[7] ?? 0, stepBlockLayout.moveWords];
  const moves = Array.from({ length: count }, (_, index) =>
    words.slice(start + index * size, start + (index + 1) * size),
  );
  moves.reverse().forEach((move, index) => {
    words.set(move, start + index * size);
  });
}

/** `change` replaces operations of every segment before it is prepared. */
export function changeOperations(base: Backend, change: (operation: Operation) => Operation): Backend {
  return changed(base, {
    prepare: (segment, plan) => {
      const kernels = segment.kernels.map((kernel) => ({
        ...kernel,
        nodes: kernel.nodes.map((node) => ({ ...node, operation: change(node.operation) })),
      }));
      const wrong: Segment = { ...segment, kernels };
      return base.prepare(wrong, plan);
    },
  });
}

/** States the roundoff of float32 kernels that read 8-bit activations beside block formats, so that cases allow as much. */
export function coarse(base: Backend): Backend {
  const float: Roundoff = { unit: 2 ** -24, operand: 0, operandGroup: 1, weight: 0, elementary: 2 ** -20 };
  const blocked: Roundoff = { ...float, operand: 1 / 254, operandGroup: 32, weight: 2 ** -11 };
  return changed(base, {
    describe: () => ({
      ...base.describe(),
      roundoff: (format) => (format && format.blockValues > 1 ? blocked : float),
    }),
  });
}
