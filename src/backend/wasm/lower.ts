/** Lowers a plan's segment to a tape: one function per kernel pattern. */
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { Gating, GraphNode, Operation, OperationName, Value } from '../../graph.ts';
import type { Kernel, Operand, Plan, Segment } from '../../plan.ts';
import { type Dim, dimBounds, type TensorType } from '../../tensor.ts';
import { type DotVariant, kernelNumber } from './dot-variant.ts';
import { cacheForms, f32, q8 } from './forms.ts';
import { type Packing, requirePacking, weightSize } from './packing.ts';
import { activationNumbers, bitsOf, operationNumbers, TapeTemplate, valueCount } from './tape.ts';

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

/** Alpha and limit of a clamped gate, zeros for other activations. */
function clampOf(gating: Gating): readonly [alpha: number, limit: number] {
  return gating.activation === 'swiglu-clamped' ? [gating.alpha, gating.limit] : [0, 0];
}

/** Bytes of weights one claim covers: long enough to stream, short enough that a disturbed thread holds little back. */
const claimBytes = 65536;

/** Numbers of `assembly/routing.ts`. */
const gatings = { softmax: 0, sigmoid: 1, 'softmax-of-chosen': 2 } as const;

const isByExperts = (node: GraphNode): node is NodeOf<'expert-matmul'> =>
  node.operation.op === 'expert-matmul';

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
    'rms-norm': (kernel) => this.#norm(kernel, nodeOf(kernel, 'rms-norm')),
    'layer-norm': (kernel) => this.#norm(kernel, nodeOf(kernel, 'layer-norm')),
    convert: (kernel) => this.#quantize(kernel),
    matmul: (kernel) => this.#product(kernel),
    projections: (kernel) => this.#product(kernel),
    'projection-add': (kernel) => this.#product(kernel, { residual: nodeOf(kernel, 'add') }),
    'gated-projections': (kernel) => this.#product(kernel, { activated: nodeOf(kernel, 'gated') }),
    'activated-projection': (kernel) => this.#product(kernel, { activated: nodeOf(kernel, 'activate') }),
    rope: (kernel) => this.#rope(kernel),
    'cache-write': (kernel) => this.#cacheWrite(kernel),
    'rope-cache': (kernel) => this.#ropeCache(kernel),
    attention: (kernel) => this.#attention(kernel),
    add: (kernel) => this.#elementwise(kernel, operationNumbers.add, []),
    gated: (kernel) => this.#gated(kernel),
    activate: (kernel) => this.#activate(kernel),
    scale: (kernel) => this.#scale(kernel),
    softcap: (kernel) => this.#softcap(kernel),
    route: (kernel) => this.#route(kernel),
    'expert-matmul': (kernel) => this.#product(kernel),
    'gated-expert-projections': (kernel) => this.#product(kernel, { activated: nodeOf(kernel, 'gated') }),
    'expert-sum': (kernel) => this.#expertSum(kernel, undefined),
    'expert-sum-add': (kernel) => this.#expertSum(kernel, nodeOf(kernel, 'add')),
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
    this.tape.word(node.operation.by === 'position' ? 1 : 0);
  }

  #norm(kernel: Kernel, node: NodeOf<'rms-norm'> | NodeOf<'layer-norm'>): void {
    const { op, epsilon, groups = 1 } = node.operation;
    const input = this.#input(kernel, node.inputs[0]);
    const quantized = this.#output(kernel, node.output, q8.name);
    const plain = kernel.outputs.find((operand) => operand !== quantized);
    const size = widthOf(input.value) / groups;
    this.tape.begin(operationNumbers.norm).word(this.#rowsOf(input.value)).word(groups).word(size);
    this.#arena(input);
    this.tape.float(epsilon).word(op === 'layer-norm' ? 1 : 0);
    for (const vector of [node.inputs[1], node.inputs[2]]) {
      // One part's values serve all parts.
      const step = vector?.type.shape[0] === size ? 0 : size * 4;
      this.#optionalWeight(vector);
      this.tape.word(step);
    }
    this.#arena(plain);
    this.#arena(quantized);
  }

  /** A vector's address, or 0. */
  #optionalWeight(value: Value | undefined): void {
    if (value) this.tape.address(this.#weight(value).base, 0);
    else this.tape.word(0);
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

  /** One or several products of one input; with a residual, or an activation of one or of two. */
  #product(
    kernel: Kernel,
    epilogue: {
      readonly residual?: NodeOf<'add'>;
      readonly activated?: NodeOf<'gated'> | NodeOf<'activate'>;
    } = {},
  ): void {
    const { residual, activated } = epilogue;
    // Gate and up in the order of the operation, whichever the graph makes first.
    const results = activated?.inputs ?? kernel.nodes.map((node) => node.output);
    const products = kernel.nodes.filter((node) => node.operation.op === 'matmul' || isByExperts(node));
    const nodes = results.flatMap((value) => products.filter((node) => node.output === value));
    const first = known(nodes[0], 'product');
    const input = this.#input(kernel, first.inputs[0]);
    const parts = nodes.map((node) => {
      const { base, type } = this.#weight(node.inputs[1]);
      return { node, base, type, packing: requirePacking(type.format), size: weightSize(type) };
    });
    const { packing, size } = known(parts[0], 'part');
    const groups = activated ? size.groups : parts.reduce((sum, part) => sum + part.size.groups, 0);
    const read = isByExperts(first) ? groups * first.operation.usedCount : groups;
    const share = this.#groupsPerUnit(packing, size.columns, read, activated ? parts.length : 0);
    const rowBytes = packing.input === q8 ? (size.columns / 32) * q8.blockBytes : size.columns * 4;
    const number = isByExperts(first) ? operationNumbers.expertMatmul : operationNumbers.matmul;
    this.tape.begin(number).word(this.#rowsOf(input.value));
    this.#arena(input);
    this.tape.word(rowBytes).word(packing.inner(size.columns));
    const other = residual?.inputs.find((value) => value !== first.output);
    this.#arena(other && this.#input(kernel, other));
    this.tape
      .word(activated ? activationNumbers[activated.operation.activation] : 0)
      .word(parts.length)
      .word(share)
      .word(Math.ceil(groups / share));
    this.#expertWords(kernel, first);
    const clamp = activated ? clampOf(activated.operation) : [0, 0];
    for (const [index, part] of parts.entries()) {
      const { packing, size } = part;
      const result = (activated ?? residual ?? part.node).output;
      this.tape
        .word(packing.unpack ? kernelNumber(packing.layout, this.#memory.dots) : packing.layout)
        .address(part.base, 0)
        .word(packing.groupBytes(size.columns));
      if (packing.unpack) this.tape.address(part.base, size.matrixBytes);
      else this.tape.word(0);
      this.tape.word(size.rows);
      this.#arena(this.#output(kernel, result, f32.name));
      this.tape.word(size.rows * 4);
      this.#optionalWeight(part.node.inputs[isByExperts(part.node) ? 3 : 2]);
      this.#arena(this.#output(kernel, result, q8.name));
      this.tape.float(clamp[index] ?? 0);
    }
  }

  /** Of a product by chosen experts: routes, experts, chosen for a row, places that share a row of x. */
  #expertWords(kernel: Kernel, node: GraphNode): void {
    if (!isByExperts(node)) {
      this.tape.word(0).word(0).word(0).word(0);
      return;
    }
    const { operation, inputs } = node;
    const [input, weight, routes] = inputs;
    this.#arena(this.#input(kernel, routes));
    const isShared = input && weight && widthOf(input) === weight.type.shape[2];
    this.tape
      .word(operation.expertCount)
      .word(operation.usedCount)
      .word(isShared ? operation.usedCount : 1);
  }

  #route(kernel: Kernel): void {
    const { operation, inputs, output } = nodeOf(kernel, 'route');
    const logits = this.#input(kernel, inputs[0]);
    this.tape
      .begin(operationNumbers.route)
      .word(this.#rowsOf(logits.value))
      .word(operation.expertCount)
      .word(operation.usedCount)
      .word(gatings[operation.gating])
      .word(operation.normalize ? 1 : 0)
      .float(operation.scale);
    this.#arena(logits);
    if (inputs[1]) this.tape.address(this.#weight(inputs[1]).base, 0);
    else this.tape.word(0);
    this.#arena(this.#output(kernel, output));
  }

  #expertSum(kernel: Kernel, residual: NodeOf<'add'> | undefined): void {
    const { operation, inputs, output } = nodeOf(kernel, 'expert-sum');
    const input = this.#input(kernel, inputs[0]);
    this.tape
      .begin(operationNumbers.expertSum)
      .word(this.#rowsOf(input.value))
      .word(widthOf(output))
      .word(operation.usedCount);
    this.#arena(input);
    this.#arena(this.#input(kernel, inputs[1]));
    const other = residual?.inputs.find((value) => value !== output);
    this.#arena(other && this.#input(kernel, other));
    this.#arena(this.#output(kernel, residual?.output ?? output));
  }

  /** `activated`: weights that are read together for one activation's results; 0 where there is none. */
  #groupsPerUnit(packing: Packing, columns: number, groups: number, activated: number): number {
    const bytes = packing.groupBytes(columns) * Math.max(1, activated);
    const share = Math.max(1, Math.min(Math.round(claimBytes / bytes), Math.ceil(groups / 8)));
    // Activated products may write blocks of two groups.
    return activated > 0 ? share + (share % 2) : share;
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
    const { layer, headCount, keyValueHeadCount, keySize, valueSize, scale, window, softCap } =
      node.operation;
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
    this.tape.word(this.#memory.dots === 'halves' ? 1 : 0).float(softCap ?? 0);
    this.#optionalWeight(node.inputs[2]);
  }

  /** Number of values, words of the operation's own, then its operands and its result. */
  #elementwise(kernel: Kernel, operation: number, own: readonly number[]): void {
    const node = known(kernel.nodes[0], 'node');
    this.tape.begin(operation).word(valueCount(node.output.type.shape));
    for (const word of own) this.tape.word(word);
    for (const input of node.inputs) this.#arena(this.#input(kernel, input));
    this.#arena(this.#output(kernel, node.output));
  }

  #gated(kernel: Kernel): void {
    const { operation } = nodeOf(kernel, 'gated');
    const [alpha, limit] = clampOf(operation);
    this.#elementwise(kernel, operationNumbers.gated, [activationNumbers[operation.activation]]);
    this.tape.float(alpha).float(limit);
  }

  #activate(kernel: Kernel): void {
    const { activation } = nodeOf(kernel, 'activate').operation;
    this.#elementwise(kernel, operationNumbers.activate, [activationNumbers[activation]]);
  }

  #scale(kernel: Kernel): void {
    this.#elementwise(kernel, operationNumbers.scale, [bitsOf(nodeOf(kernel, 'scale').operation.factor)]);
  }

  #softcap(kernel: Kernel): void {
    this.#elementwise(kernel, operationNumbers.softcap, [bitsOf(nodeOf(kernel, 'softcap').operation.limit)]);
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
