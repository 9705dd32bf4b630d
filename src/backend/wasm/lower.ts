/** Lowers a plan's segment to a tape: one function per kernel pattern. */
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { GraphNode, Operation, OperationName, Value } from '../../graph.ts';
import type { Kernel, Operand, Plan, Segment } from '../../plan.ts';
import { type Dim, dimBounds, type TensorType } from '../../tensor.ts';
import { type DotVariant, kernelNumber } from './dot-variant.ts';
import { cacheForms, f32, q8 } from './forms.ts';
import { type Packing, requirePacking, weightSize } from './packing.ts';
import { operationNumbers, TapeTemplate, valueCount } from './tape.ts';

/** Memory a program asks its backend for while it is lowered; it lives as long as the program. */
export interface ProgramMemory {
  /** Byte address of these bytes. */
  constant(bytes: Uint8Array): number;
  scratch(byteLength: number): number;
  /** Address of a layout's record description (`assembly/embed.ts`). */
  description(layout: number): number;
  /** The dot product that suits this host. */
  readonly dots: DotVariant;
}

type NodeOf<Name extends OperationName> = GraphNode & {
  readonly operation: Extract<Operation, { op: Name }>;
};

function nodeOf<Name extends OperationName>(kernel: Kernel, op: Name): NodeOf<Name> {
  const node = kernel.nodes.find((candidate) => candidate.operation.op === op);
  return known(node, `${op} in ${kernel.pattern}`) as NodeOf<Name>;
}

const widthOf = (value: Value): number => {
  const width = value.type.shape[1];
  if (typeof width !== 'number') throw new NearfieldError('internal', `${value.name} has no fixed width`);
  return width;
};

/** Bytes of weights one claim covers: long enough to stream, short enough that a disturbed thread holds little back. */
const claimBytes = 65536;

export class Lowering {
  readonly tape = new TapeTemplate();
  readonly #segment: Segment;
  readonly #plan: Plan;
  readonly #memory: ProgramMemory;
  readonly #rows: Dim;
  readonly #selected: Dim;
  /** Address of each table of cosines and sines, by what it is made from. */
  readonly #ropeTables = new Map<string, number>();

  constructor(segment: Segment, plan: Plan, memory: ProgramMemory) {
    this.#segment = segment;
    this.#plan = plan;
    this.#memory = memory;
    this.#rows = plan.graph.symbols.rows;
    this.#selected = plan.graph.symbols.selected;
    for (const kernel of segment.kernels) this.#lower(kernel);
  }

  #lower(kernel: Kernel): void {
    const lower = this.#table[kernel.pattern];
    if (!lower) throw new NearfieldError('internal', `The wasm backend has no kernel ${kernel.pattern}`);
    lower(kernel);
  }

  readonly #table: Readonly<Record<string, (kernel: Kernel) => void>> = {
    embed: (kernel) => this.#embed(kernel),
    'rms-norm': (kernel) => this.#norm(kernel),
    convert: (kernel) => this.#quantize(kernel),
    matmul: (kernel) => this.#product(kernel, undefined),
    projections: (kernel) => this.#product(kernel, undefined),
    'projection-add': (kernel) => this.#product(kernel, nodeOf(kernel, 'add')),
    'gated-projections': (kernel) => this.#product(kernel, undefined, nodeOf(kernel, 'gated').output),
    rope: (kernel) => this.#rope(kernel),
    'cache-write': (kernel) => this.#cacheWrite(kernel),
    'rope-cache': (kernel) => this.#ropeCache(kernel),
    attention: (kernel) => this.#attention(kernel),
    add: (kernel) => this.#elementwise(kernel, operationNumbers.add),
    gated: (kernel) => this.#elementwise(kernel, operationNumbers.gated),
    'select-rows': (kernel) => this.#selectRows(kernel),
    argmax: (kernel) => this.#argmax(kernel),
    'cache-move': (kernel) => this.#cacheMove(kernel),
  };

  #input(kernel: Kernel, value: Value | undefined): Operand {
    return known(
      kernel.inputs.find((operand) => operand.value === value),
      `input ${value?.name} of ${kernel.pattern}`,
    );
  }

  #output(kernel: Kernel, value: Value, form?: string): Operand | undefined {
    return kernel.outputs.find((operand) => operand.value === value && (!form || operand.form.name === form));
  }

  /** Rows of an activation: all rows of the step, or the selected ones. */
  #rowsOf(value: Value): Dim {
    return known(value.type.shape[0], 'rows');
  }

  #arena(operand: Operand | undefined): void {
    if (operand) this.tape.address('arena', operand.offset);
    else this.tape.word(0);
  }

  #weight(value: Value | undefined): { base: { weight: number }; type: TensorType<NumberFormat> } {
    const weight = this.#segment.weights.findIndex(({ name }) => name === value?.name);
    const { type } = known(this.#segment.weights[weight], `weight ${value?.name}`);
    return { base: { weight }, type };
  }

  #embed(kernel: Kernel): void {
    const node = nodeOf(kernel, 'embed');
    const { base, type } = this.#weight(node.inputs[0]);
    const size = weightSize(type);
    const packing = requirePacking(type.format);
    this.tape
      .begin(operationNumbers.embed)
      .word(this.#rows)
      .address('step', 0)
      .word(packing.inner(size.columns));
    this.#arena(this.#output(kernel, node.output));
    this.tape.word(size.columns).word(packing.layout).address(base, 0).word(packing.groupBytes(size.columns));
    this.tape.address(base, size.matrixBytes);
    this.tape.word(packing.unpack ? this.#memory.description(packing.layout) : 0);
  }

  #norm(kernel: Kernel): void {
    const node = nodeOf(kernel, 'rms-norm');
    const input = this.#input(kernel, node.inputs[0]);
    const quantized = this.#output(kernel, node.output, q8.name);
    const plain = kernel.outputs.find((operand) => operand !== quantized);
    this.tape.begin(operationNumbers.rmsNorm).word(this.#rowsOf(input.value)).word(widthOf(input.value));
    this.#arena(input);
    this.tape.address(this.#weight(node.inputs[1]).base, 0).float(node.operation.epsilon);
    this.#arena(plain);
    this.#arena(quantized);
  }

  #quantize(kernel: Kernel): void {
    const [input, output] = [known(kernel.inputs[0], 'input'), known(kernel.outputs[0], 'output')];
    const rows = this.#rowsOf(input.value);
    const blocks = widthOf(input.value) / 32;
    this.tape.begin(operationNumbers.quantize).word(rows).word(widthOf(input.value));
    this.#arena(input);
    this.#arena(output);
    // A unit is a row, so that units follow from the row count.
    this.tape.word(rows).word(blocks);
  }

  /** One or several products of one input; with a residual, or gated. */
  #product(kernel: Kernel, residual: NodeOf<'add'> | undefined, gated?: Value): void {
    const nodes = kernel.nodes.filter((node) => node.operation.op === 'matmul');
    const first = known(nodes[0], 'product');
    const input = this.#input(kernel, first.inputs[0]);
    const parts = nodes.map((node) => {
      const { base, type } = this.#weight(node.inputs[1]);
      return { node, base, type, packing: requirePacking(type.format), size: weightSize(type) };
    });
    const { packing, size } = known(parts[0], 'part');
    const groups = gated ? size.groups : parts.reduce((sum, part) => sum + part.size.groups, 0);
    const share = this.#groupsPerUnit(packing, size.columns, groups, gated !== undefined);
    const rowBytes = packing.input === q8 ? (size.columns / 32) * q8.blockBytes : size.columns * 4;
    this.tape.begin(operationNumbers.matmul).word(this.#rowsOf(input.value));
    this.#arena(input);
    this.tape.word(rowBytes).word(packing.inner(size.columns));
    const other = residual?.inputs.find((value) => value !== first.output);
    this.#arena(other && this.#input(kernel, other));
    this.tape
      .word(gated ? 1 : 0)
      .word(parts.length)
      .word(share)
      .word(Math.ceil(groups / share));
    for (const part of parts) {
      const result = gated ?? residual?.output ?? part.node.output;
      this.tape
        .word(
          part.packing.unpack ? kernelNumber(part.packing.layout, this.#memory.dots) : part.packing.layout,
        )
        .address(part.base, 0)
        .word(part.packing.groupBytes(part.size.columns));
      if (part.packing.unpack) this.tape.address(part.base, part.size.matrixBytes);
      else this.tape.word(0);
      this.tape.word(part.size.rows);
      this.#arena(this.#output(kernel, result, f32.name));
      this.tape.word(part.size.rows * 4);
      const bias = part.node.inputs[2];
      if (bias) this.tape.address(this.#weight(bias).base, 0);
      else this.tape.word(0);
      this.#arena(this.#output(kernel, result, q8.name));
      this.tape.word(0);
    }
  }

  #groupsPerUnit(packing: Packing, columns: number, groups: number, pairs: boolean): number {
    const bytes = packing.groupBytes(columns) * (pairs ? 2 : 1);
    const share = Math.max(1, Math.min(Math.round(claimBytes / bytes), Math.ceil(groups / 8)));
    // Gated products may write blocks of two groups.
    return pairs ? share + (share % 2) : share;
  }

  /** Address of the step's table for this rotation; adds the entry that fills it where it is new. */
  #ropeTable({ operation }: NodeOf<'rope'>): number {
    const { frequencies, magnitude } = operation;
    const key = `${magnitude}:${frequencies.join()}`;
    const before = this.#ropeTables.get(key);
    if (before !== undefined) return before;
    const constants = this.#memory.constant(new Uint8Array(new Float64Array(frequencies).buffer));
    const address = this.#memory.scratch(dimBounds(this.#rows).max * frequencies.length * 8);
    this.#ropeTables.set(key, address);
    this.tape.begin(operationNumbers.ropeTable).word(this.#rows).address('step', 0).word(frequencies.length);
    this.tape.word(constants).float(magnitude).word(address);
    return address;
  }

  #rope(kernel: Kernel): void {
    const node = nodeOf(kernel, 'rope');
    const { headCount, headSize, frequencies, pairing } = node.operation;
    const table = this.#ropeTable(node);
    this.tape
      .begin(operationNumbers.rope)
      .word(this.#rows)
      .word(headCount)
      .word(headSize)
      .word(frequencies.length);
    this.tape.word(pairing === 'split' ? 1 : 0).word(table);
    this.#arena(this.#input(kernel, node.inputs[0]));
    this.#arena(this.#output(kernel, node.output));
  }

  /** The words that cache writes and the fused form share. */
  #cacheWords(node: NodeOf<'cache-write'>, keys: Operand, values: Operand): void {
    const { layer, keyValueHeadCount, keySize, valueSize } = node.operation;
    const { type, offsetBytes } = this.#plan.cache.of(layer);
    this.tape.word(this.#rows).address('step', 0).word(offsetBytes);
    this.tape.word(keyValueHeadCount).word(keySize).word(valueSize).word(cacheForms[type].number);
    this.#arena(keys);
    this.#arena(values);
  }

  #cacheWrite(kernel: Kernel): void {
    const node = nodeOf(kernel, 'cache-write');
    this.tape.begin(operationNumbers.cacheWrite);
    this.#cacheWords(node, this.#input(kernel, node.inputs[0]), this.#input(kernel, node.inputs[1]));
  }

  #ropeCache(kernel: Kernel): void {
    const write = nodeOf(kernel, 'cache-write');
    const ropes = kernel.nodes.filter((node) => node.operation.op === 'rope') as NodeOf<'rope'>[];
    const keys = known(
      ropes.find((node) => node.output === write.inputs[0]),
      'rope of the keys',
    );
    const query = known(
      ropes.find((node) => node !== keys),
      'rope of the queries',
    );
    const table = this.#ropeTable(query);
    this.tape.begin(operationNumbers.ropeCache);
    this.#cacheWords(write, this.#input(kernel, keys.inputs[0]), this.#input(kernel, write.inputs[1]));
    const { headCount, frequencies, pairing } = query.operation;
    this.tape
      .word(headCount)
      .word(frequencies.length)
      .word(pairing === 'split' ? 1 : 0)
      .word(table);
    this.#arena(this.#input(kernel, query.inputs[0]));
    this.#arena(this.#output(kernel, query.output));
  }

  #attention(kernel: Kernel): void {
    const node = nodeOf(kernel, 'attention');
    const { layer, headCount, keyValueHeadCount, keySize, valueSize, scale, window } = node.operation;
    const group = headCount / keyValueHeadCount;
    const { type, offsetBytes } = this.#plan.cache.of(layer);
    this.tape.begin(operationNumbers.attention).word(this.#rows).address('step', 0);
    this.tape.word(offsetBytes).word(headCount).word(keyValueHeadCount);
    this.tape
      .word(keySize)
      .word(valueSize)
      .word(cacheForms[type].number)
      .word(window ?? 0)
      .float(scale);
    this.#arena(this.#input(kernel, node.inputs[0]));
    this.#arena(this.#output(kernel, node.output, f32.name));
    this.tape.word(Math.max(1, Math.floor(8 / group)));
    this.#arena(this.#output(kernel, node.output, q8.name));
    this.tape.word(this.#memory.dots === 'halves' ? 1 : 0);
  }

  #elementwise(kernel: Kernel, operation: number): void {
    const node = known(kernel.nodes[0], 'node');
    this.tape.begin(operation).word(valueCount(node.output.type.shape));
    this.#arena(this.#input(kernel, node.inputs[0]));
    this.#arena(this.#input(kernel, node.inputs[1]));
    this.#arena(this.#output(kernel, node.output));
  }

  #selectRows(kernel: Kernel): void {
    const node = nodeOf(kernel, 'select-rows');
    const input = this.#input(kernel, node.inputs[0]);
    this.tape
      .begin(operationNumbers.selectRows)
      .word(this.#selected)
      .word(widthOf(input.value) * 4)
      .address('step', 0);
    this.#arena(input);
    this.#arena(this.#output(kernel, node.output));
  }

  #argmax(kernel: Kernel): void {
    const node = nodeOf(kernel, 'argmax');
    const input = this.#input(kernel, node.inputs[0]);
    this.tape.begin(operationNumbers.argmax).word(this.#rowsOf(input.value)).word(widthOf(input.value));
    this.#arena(input);
    this.#arena(this.#output(kernel, node.output));
  }

  #cacheMove(kernel: Kernel): void {
    const { layer } = nodeOf(kernel, 'cache-move').operation;
    const { type, offsetBytes, keyValueHeadCount, keySize, valueSize } = this.#plan.cache.of(layer);
    this.tape.begin(operationNumbers.cacheMove).word(0).address('step', 0).word(offsetBytes);
    this.tape.word(keyValueHeadCount).word(keySize).word(valueSize).word(cacheForms[type].number);
  }
}
