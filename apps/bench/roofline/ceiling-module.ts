/**
 * A WebAssembly module, byte by byte, of loops that show what the machine gives at most: reading memory in one stream,
 * the two integer dot products that kernels are made of, and float32 multiply-add. The arithmetic loops read operands as
 * a matrix tile of 6 by 2 vectors does: 8 loads for 12 products.
 */

export interface CeilingExports {
  /** Reads [from, end); both are multiples of 256. */
  read(from: number, end: number): number;
  relaxedDots(rounds: number): number;
  wideDots(rounds: number): number;
  floatProducts(rounds: number): number;
}

/** Multiplications and additions of one round. */
export const operationsPerRound = {
  relaxedDots: 12 * 16 * 2,
  wideDots: 12 * 8 * 2,
  floatProducts: 12 * 4 * 2,
} as const;
export type ArithmeticLoop = keyof typeof operationsPerRound;
/** The arithmetic loops read their operands below this address. */
export const operandBytes = 65536;

const op = {
  end: 0x0b,
  loop: [0x03, 0x40],
  branchIf: (depth: number) => [0x0d, depth],
  get: (local: number) => [0x20, local],
  set: (local: number) => [0x21, local],
  tee: (local: number) => [0x22, local],
  constant: (value: number) => [0x41, ...signed(value)],
  add: 0x6a,
  subtract: 0x6b,
  and: 0x71,
  shiftLeft: 0x74,
  below: 0x49,
  load: (offset: number) => [0xfd, 0x00, 4, ...unsigned(offset)],
  lane0: [0xfd, 0x1b, 0],
  addLanes: [0xfd, 0xae, 0x01],
  relaxedDot: [0xfd, 0x93, 0x02],
  wideDot: [0xfd, 0xba, 0x01],
  relaxedMultiplyAdd: [0xfd, 0x85, 0x02],
} as const;

type Code = readonly (number | Code)[];

const flatten = (code: Code): number[] =>
  code.flatMap((part) => (typeof part === 'number' ? [part] : flatten(part)));

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  const isLast = value >= -64 && value < 64;
  return isLast ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}

const [int, vector] = [0x7f, 0x7b];

/** Sixteen loads a turn into sixteen sums would not fit the registers; eight do. */
function readBody(): Code {
  const loads = Array.from({ length: 16 }, (_, index) => {
    const sum = 2 + (index % 8);
    return [op.get(sum), op.get(0), op.load(16 * index), op.addLanes, op.set(sum)];
  });
  const next = [op.get(0), op.constant(256), op.add, op.tee(0), op.get(1), op.below, op.branchIf(0)];
  return [[1, 8, vector], op.loop, loads, next, op.end, sumOf(2, 8), op.end];
}

/** Locals: 0 rounds, 1 address, 2–3 weights, 4 activation, 5–16 sums. */
function arithmeticBody(kind: ArithmeticLoop): Code {
  const address = [op.get(0), op.constant(63), op.and, op.constant(7), op.shiftLeft, op.set(1)];
  const weights = [0, 1].map((index) => [op.get(1), op.load(32768 + 16 * index), op.set(2 + index)]);
  const rows = Array.from({ length: 6 }, (_, row) => [
    [op.get(1), op.load(1024 + 16 * row), op.set(4)],
    [0, 1].map((column) => {
      const sum = 5 + row * 2 + column;
      const operands = [op.get(4), op.get(2 + column)];
      if (kind === 'wideDots') return [operands, op.wideDot, op.get(sum), op.addLanes, op.set(sum)];
      const product = kind === 'relaxedDots' ? op.relaxedDot : op.relaxedMultiplyAdd;
      return [operands, op.get(sum), product, op.set(sum)];
    }),
  ]);
  const next = [op.get(0), op.constant(1), op.subtract, op.tee(0), op.branchIf(0)];
  const locals = [2, 1, int, 15, vector];
  return [locals, op.loop, address, weights, rows, next, op.end, sumOf(5, 12), op.end];
}

function sumOf(first: number, count: number): Code {
  const rest = Array.from({ length: count - 1 }, (_, index) => [op.get(first + 1 + index), op.addLanes]);
  return [op.get(first), rest, op.lane0];
}

/** `memoryPages` is both the least and the most of the imported shared memory. */
export function ceilingModule(memoryPages: number): WebAssembly.Module {
  const section = (id: number, code: Code): number[] => {
    const bytes = flatten(code);
    return [id, ...unsigned(bytes.length), ...bytes];
  };
  const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
  const limits = [3, unsigned(memoryPages), unsigned(memoryPages)];
  const loops = Object.keys(operationsPerRound) as ArithmeticLoop[];
  const bodies = [readBody(), ...loops.map(arithmeticBody)].map((code) => {
    const bytes = flatten(code);
    return [unsigned(bytes.length), bytes];
  });
  const exported = ['read', ...loops].map((text, index) => [name(text), 0, index]);
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, 0x60, 2, int, int, 1, int, 0x60, 1, int, 1, int]),
    ...section(2, [1, name('env'), name('memory'), 2, limits]),
    ...section(3, [4, 0, 1, 1, 1]),
    ...section(7, [4, exported]),
    ...section(10, [4, bodies]),
  ];
  return new WebAssembly.Module(new Uint8Array(bytes));
}
