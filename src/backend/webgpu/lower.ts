/** Lowers a plan's segment, for one number of rows, to launches: one function per kernel pattern. */
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { Gating, GraphNode, Operation, OperationName, Value } from '../../graph.ts';
import type { Kernel, Operand, Plan, Segment } from '../../plan.ts';
import { evaluateDim, type TensorType } from '../../tensor.ts';
import { productCheck } from './product-check.ts';
import type { DeviceProfile } from './profile.ts';
import {
  type AttentionShape,
  attentionKernel,
  headsPerGroup,
  mergeKernel,
  partialFloats,
} from './shader/attention.ts';
import {
  cacheMoveKernel,
  cacheMoveThreads,
  cacheWriteKernel,
  cacheWriteThreads,
  type Rotation,
  ropeKernel,
  unitsPerHead,
} from './shader/cache.ts';
import { floatBits, type KernelText } from './shader/kernel.ts';
import { columnsPerGroup, type ProductShape, productKernel, shapeKey } from './shader/product.ts';
import {
  activateKernel,
  addKernel,
  argmaxKernel,
  embedKernel,
  gatedKernel,
  normKernel,
  plainEmbedKernel,
  plainProductKernel,
  scaleKernel,
  selectKernel,
  softcapKernel,
} from './shader/rows.ts';
import { tiledProductKernel, tileSize } from './shader/tiled-product.ts';
import { blockValuesOf, type WeightPart, type WeightSize, weightSize } from './weight-layout.ts';

/** What a binding of a launch is. */
export type Bound =
  | { readonly kind: 'arena' }
  | { readonly kind: 'step' }
  | { readonly kind: 'weight'; readonly weight: number; readonly part: number }
  | { readonly kind: 'bank'; readonly bank: number }
  /** Words that never change. */
  | { readonly kind: 'constant'; readonly words: Uint32Array<ArrayBuffer> }
  /** Room within the program that lives as long as it; the launches of a program share it. */
  | { readonly kind: 'scratch'; readonly byteLength: number };

export interface Launch {
  readonly kernel: KernelText;
  readonly bound: readonly Bound[];
  /** Words by the names of the kernel's parameters. */
  readonly params: Readonly<Record<string, number>>;
  readonly groups: readonly [number, number, number];
  /** Multiplications, about: what its time goes by. */
  readonly work: number;
}

type NodeOf<Name extends OperationName> = GraphNode & {
  readonly operation: Extract<Operation, { op: Name }>;
};

const nodesOf = <Name extends OperationName>(kernel: Kernel, op: Name): NodeOf<Name>[] =>
  kernel.nodes.filter((node): node is NodeOf<Name> => node.operation.op === op);

const nodeOf = <Name extends OperationName>(kernel: Kernel, op: Name): NodeOf<Name> =>
  known(nodesOf(kernel, op)[0], `${op} in ${kernel.pattern}`);

const arena: Bound = { kind: 'arena' };
const step: Bound = { kind: 'step' };
/** Bound where there is no bias. */
const nothing: Bound = { kind: 'constant', words: new Uint32Array(4) };

/** Rows up to which attention is cut in stretches, so that few rows have the whole device. */
const fewRows = 16;
const stretches = 16;
/** Rows seen, for the count of work: only the device knows. */
const guessedContext = 512;

interface Weight {
  readonly number: number;
  readonly type: TensorType<NumberFormat>;
  readonly size: WeightSize;
}

interface ChosenProduct {
  readonly kernel: KernelText;
  /** Of a workgroup. */
  readonly rows: number;
  readonly columns: number;
}

/** Rows of a weight that one launch can see. */
interface Piece {
  readonly node: NodeOf<'matmul'>;
  readonly weight: Weight;
  readonly part: WeightPart;
  readonly partNumber: number;
}

export class Lowering {
  readonly launches: Launch[] = [];
  readonly #segment: Segment;
  readonly #plan: Plan;
  readonly #profile: DeviceProfile;
  readonly #banks: number;
  readonly #symbols: readonly number[];

  /** `banks`: buffers that cache pages lie in. */
  constructor(
    segment: Segment,
    plan: Plan,
    profile: DeviceProfile,
    banks: number,
    symbols: readonly number[],
  ) {
    this.#segment = segment;
    this.#plan = plan;
    this.#profile = profile;
    this.#banks = banks;
    this.#symbols = symbols;
    for (const kernel of segment.kernels) this.#lower(kernel);
  }

  #lower(kernel: Kernel): void {
    const lower = this.#table[kernel.pattern];
    if (!lower) throw new NearfieldError('internal', `The webgpu backend has no kernel ${kernel.pattern}`);
    lower(kernel);
  }

  readonly #table: Readonly<Record<string, (kernel: Kernel) => void>> = {
    embed: (kernel) => this.#embed(kernel),
    'rms-norm': (kernel) => this.#norm(kernel, 'rms-norm'),
    'layer-norm': (kernel) => this.#norm(kernel, 'layer-norm'),
    matmul: (kernel) => this.#products(kernel),
    projections: (kernel) => this.#products(kernel),
    'norm-projections': (kernel) => this.#products(kernel),
    'projection-add': (kernel) => this.#products(kernel),
    'gated-projections': (kernel) => this.#gatedProducts(kernel),
    'norm-gated-projections': (kernel) => this.#gatedProducts(kernel),
    rope: (kernel) => this.#rope(kernel),
    'cache-write': (kernel) => this.#cacheWrite(kernel),
    'rope-cache': (kernel) => this.#cacheWrite(kernel),
    attention: (kernel) => this.#attention(kernel),
    add: (kernel) => this.#pairwise(kernel, addKernel),
    gated: (kernel) => this.#pairwise(kernel, gatedKernel(gatingOf(nodeOf(kernel, 'gated')))),
    activate: (kernel) =>
      this.#pairwise(kernel, activateKernel(nodeOf(kernel, 'activate').operation.activation)),
    scale: (kernel) => this.#pairwise(kernel, scaleKernel(nodeOf(kernel, 'scale').operation.factor)),
    softcap: (kernel) => this.#pairwise(kernel, softcapKernel(nodeOf(kernel, 'softcap').operation.limit)),
    'select-rows': (kernel) => this.#selectRows(kernel),
    argmax: (kernel) => this.#argmax(kernel),
    'cache-move': (kernel) => this.#cacheMove(kernel),
  };

  #launch(
    kernel: KernelText,
    bound: readonly Bound[],
    params: Readonly<Record<string, number>>,
    groups: Launch['groups'],
    work = 64 * groups[0] * groups[1] * groups[2],
  ): void {
    if (groups.includes(0)) return;
    this.launches.push({ kernel, bound, params, groups, work });
  }

  /** So many threads or workgroups in x and y. */
  #spread(groups: number): [number, number, number] {
    const most = this.#profile.workgroups;
    return groups <= most ? [groups, 1, 1] : [most, Math.ceil(groups / most), 1];
  }

  #threads(count: number): [number, number, number] {
    return this.#spread(Math.ceil(count / 64));
  }

  #size(value: Value, axis: number): number {
    return evaluateDim(known(value.type.shape[axis], `size of ${value.name}`), this.#symbols);
  }

  /** Where an activation is in the arena, in float32 values. */
  #place(operands: readonly Operand[], value: Value | undefined): number {
    const operand = operands.find((candidate) => candidate.value === value);
    return evaluateDim(known(operand, `place of ${value?.name}`).offset, this.#symbols) / 4;
  }

  #weight(value: Value | undefined): Weight {
    const number = this.#segment.weights.findIndex(({ name }) => name === value?.name);
    const { type } = known(this.#segment.weights[number], `weight ${value?.name}`);
    return { number, type, size: weightSize(type, this.#profile.bindingBytes) };
  }

  /** A weight of one part. */
  #vector(value: Value | undefined): Bound {
    return { kind: 'weight', weight: this.#weight(value).number, part: 0 };
  }

  get #rows(): number {
    return known(this.#symbols[0], 'rows');
  }

  get #bankBounds(): Bound[] {
    return Array.from({ length: this.#banks }, (_, bank) => ({ kind: 'bank', bank }));
  }

  #embed(kernel: Kernel): void {
    const { inputs, output, operation } = nodeOf(kernel, 'embed');
    const field = operation.by === 'position' ? 1 : 0;
    const { number, size } = this.#weight(inputs[0]);
    const { columns, layout, isPlain } = size;
    const out = this.#place(kernel.outputs, output);
    size.parts.forEach((part, index) => {
      const bound: Bound[] = [arena, { kind: 'weight', weight: number, part: index }, step];
      const params = { rows: this.#rows, field, firstRow: part.firstRow, rowCount: part.rows };
      if (isPlain) {
        const plain = { ...params, width: columns, out };
        this.#launch(plainEmbedKernel, bound, plain, this.#threads(this.#rows * columns));
      } else {
        const blocks = columns / blockValuesOf(layout);
        const packed = { ...params, k4: columns / 4, out: out / 4, ...partWords(part, 'w0') };
        this.#launch(embedKernel(layout), bound, packed, this.#threads(this.#rows * blocks));
      }
    });
  }

  #norm(kernel: Kernel, kind: 'rms-norm' | 'layer-norm'): void {
    const { inputs, output, operation } = nodeOf(kernel, kind);
    const { groups: parts = 1, epsilon } = operation;
    const [, weight, bias] = inputs;
    const rows = this.#size(output, 0);
    this.#launch(
      normKernel(kind),
      [arena, this.#vector(weight), bias ? this.#vector(bias) : nothing],
      {
        ...{ size: this.#size(output, 1) / parts, parts, rows, epsilon: floatBits(epsilon) },
        x: this.#place(kernel.inputs, inputs[0]),
        out: this.#place(kernel.outputs, output),
        gains: this.#weight(weight).size.columns,
        biases: bias ? this.#weight(bias).size.columns : 0,
      },
      this.#spread(rows * parts),
    );
  }

  /** The first kernel for so many rows and blocks along K that this device has not been seen to compute wrongly. */
  #productKernel(shape: ProductShape, rows: number, blocks: number): ChosenProduct {
    const { parallel, wrongKernels } = this.#profile;
    const candidates = [
      ...(parallel && rows > fewRows ? [tiled(shape)] : []),
      ...(parallel ? [inLanes(shape, rows, blocks)] : []),
      alone(shape, rows),
    ];
    const chosen = candidates.find(({ kernel }) => !wrongKernels.has(kernel.key));
    if (chosen) return chosen;
    throw new NearfieldError(
      'backend',
      `The GPU's driver computes ${shapeKey(shape)} wrongly; use another backend`,
    );
  }

  /** One or several products of one input; with a norm before, or a sum after. */
  #products(kernel: Kernel): void {
    const nodes = nodesOf(kernel, 'matmul');
    const [first] = nodes;
    if (first && this.#weight(first.inputs[1]).size.isPlain) {
      this.#plainProduct(kernel, first);
      return;
    }
    const pieces: Piece[] = nodes.flatMap((node) => {
      const weight = this.#weight(node.inputs[1]);
      return weight.size.parts.map((part, partNumber) => ({ node, weight, part, partNumber }));
    });
    const add = nodesOf(kernel, 'add')[0];
    for (let first = 0; first < pieces.length; first += nodes.length) {
      this.#product(kernel, pieces.slice(first, first + nodes.length), (node) => add?.output ?? node.output, {
        gating: undefined,
        residual: add?.inputs.find((value) => value !== nodes[0]?.output),
      });
    }
  }

  #plainProduct(kernel: Kernel, { inputs, output }: NodeOf<'matmul'>): void {
    const { number, size } = this.#weight(inputs[1]);
    const bias = inputs[2];
    const rows = this.#size(output, 0);
    size.parts.forEach((part, index) => {
      this.#launch(
        plainProductKernel,
        [arena, { kind: 'weight', weight: number, part: index }, bias ? this.#vector(bias) : nothing],
        {
          ...{ rows, inner: size.columns, n: part.rows, first: part.firstRow, biased: bias ? 1 : 0 },
          width: this.#size(output, 1),
          x: this.#place(kernel.inputs, inputs[0]),
          out: this.#place(kernel.outputs, output),
        },
        this.#threads(rows * part.rows),
        rows * part.rows * size.columns,
      );
    });
  }

  /** Gate and up are cut alike, since they have one format. */
  #gatedProducts(kernel: Kernel): void {
    const gated = nodeOf(kernel, 'gated');
    const nodes = gated.inputs.map((input) =>
      known(
        nodesOf(kernel, 'matmul').find(({ output }) => output === input),
        'gate and up',
      ),
    );
    const weights = nodes.map((node) => ({ node, weight: this.#weight(node.inputs[1]) }));
    weights[0]?.weight.size.parts.forEach((_, partNumber) => {
      const pieces = weights.map(({ node, weight }): Piece => {
        return { node, weight, part: known(weight.size.parts[partNumber], 'part'), partNumber };
      });
      this.#product(kernel, pieces, () => gated.output, { gating: gatingOf(gated), residual: undefined });
    });
  }

  #product(
    kernel: Kernel,
    pieces: readonly Piece[],
    outputOf: (node: GraphNode) => Value,
    { gating, residual }: { readonly gating: Gating | undefined; readonly residual: Value | undefined },
  ): void {
    const [first] = pieces;
    const norm = nodesOf(kernel, 'rms-norm')[0];
    const { node, weight, part } = known(first, 'product');
    const input = norm?.inputs[0] ?? node.inputs[0];
    const rows = this.#size(known(input, 'input'), 0);
    const { columns } = weight.size;
    const shape: ProductShape = {
      layouts: pieces.map((piece) => piece.weight.size.layout),
      gating,
      norm: norm !== undefined,
      residual: residual !== undefined,
    };
    const chosen = this.#productKernel(shape, rows, columns / blockValuesOf(weight.size.layout));
    let groups = 0;
    const words: Record<string, number> = {};
    pieces.forEach((piece, index) => {
      const name = `w${index}`;
      if (!gating || index === 0) groups += Math.ceil(piece.part.rows / chosen.columns);
      const output = outputOf(piece.node);
      Object.assign(words, partWords(piece.part, name), {
        [`${name}n`]: piece.part.rows,
        [`${name}first`]: piece.part.firstRow,
        [`${name}biased`]: piece.node.inputs.length > 2 ? 1 : 0,
        [`${name}end`]: groups,
        [`${name}out`]: this.#place(kernel.outputs, output) + piece.part.firstRow,
        [`${name}width`]: this.#size(output, 1),
      });
    });
    const [x, y] = this.#spread(groups);
    this.#launch(
      chosen.kernel,
      [
        arena,
        ...pieces.map(
          (piece): Bound => ({ kind: 'weight', weight: piece.weight.number, part: piece.partNumber }),
        ),
        ...pieces.map(({ node: { inputs } }) => (inputs[2] ? this.#vector(inputs[2]) : nothing)),
        ...(norm ? [this.#vector(norm.inputs[1])] : []),
      ],
      {
        ...words,
        ...{ rows, k4: columns / 4, x: this.#place(kernel.inputs, input) / 4 },
        epsilon: norm ? floatBits(norm.operation.epsilon) : 0,
        residual: residual ? this.#place(kernel.inputs, residual) + part.firstRow : 0,
      },
      [x, y, Math.ceil(rows / chosen.rows)],
      rows * columns * pieces.reduce((sum, piece) => sum + piece.part.rows, 0),
    );
  }

  #pairwise(kernel: Kernel, text: KernelText): void {
    const { inputs, output } = known(kernel.nodes[0], 'node');
    const count = this.#size(output, 0) * this.#size(output, 1);
    this.#launch(
      text,
      [arena],
      {
        count,
        left: this.#place(kernel.inputs, inputs[0]),
        right: this.#place(kernel.inputs, inputs[1] ?? inputs[0]),
        out: this.#place(kernel.outputs, output),
      },
      this.#threads(count),
    );
  }

  #rotation({ operation }: NodeOf<'rope'>): Rotation {
    const { headCount, headSize, frequencies, pairing } = operation;
    return { headCount, headSize, pairCount: frequencies.length, pairing };
  }

  #rope(kernel: Kernel): void {
    const node = nodeOf(kernel, 'rope');
    const rotation = this.#rotation(node);
    this.#launch(
      ropeKernel(rotation),
      [arena, step, { kind: 'constant', words: turnsOf(node.operation.frequencies) }],
      {
        rows: this.#rows,
        x: this.#place(kernel.inputs, node.inputs[0]),
        out: this.#place(kernel.outputs, node.output),
        magnitude: floatBits(node.operation.magnitude),
      },
      this.#threads(this.#rows * rotation.headCount * unitsPerHead(rotation)),
    );
  }

  /** With the rotation of keys and queries where it is fused. */
  #cacheWrite(kernel: Kernel): void {
    const node = nodeOf(kernel, 'cache-write');
    const ropes = nodesOf(kernel, 'rope');
    const keys = ropes.find(({ output }) => output === node.inputs[0]);
    const query = ropes.find((rope) => rope !== keys);
    const spec = this.#plan.cache.of(node.operation.layer);
    const rotation =
      keys && query ? { keys: this.#rotation(keys), queryHeads: query.operation.headCount } : undefined;
    const frequencies = keys
      ? [{ kind: 'constant', words: turnsOf(keys.operation.frequencies) } as const]
      : [];
    this.#launch(
      cacheWriteKernel(spec, this.#banks, rotation),
      [arena, step, ...frequencies, ...this.#bankBounds],
      {
        ...{ rows: this.#rows, layer: spec.offsetBytes / 4 },
        keys: this.#place(kernel.inputs, keys ? keys.inputs[0] : node.inputs[0]),
        values: this.#place(kernel.inputs, node.inputs[1]),
        x: query ? this.#place(kernel.inputs, query.inputs[0]) : 0,
        out: query ? this.#place(kernel.outputs, query.output) : 0,
        magnitude: floatBits(keys?.operation.magnitude ?? 1),
      },
      this.#threads(this.#rows * cacheWriteThreads(spec, rotation)),
    );
  }

  #attention(kernel: Kernel): void {
    const node = nodeOf(kernel, 'attention');
    const { layer, headCount, keyValueHeadCount, scale, window, softCap } = node.operation;
    const sinks = node.inputs[2];
    const spec = this.#plan.cache.of(layer);
    const { parallel } = this.#profile;
    const shape: AttentionShape = {
      ...{
        ...spec,
        headCount,
        window: window !== undefined,
        softCap: softCap !== undefined,
        shared: parallel,
      },
      sinks: sinks !== undefined,
    };
    const rows = this.#rows;
    const split = parallel && rows <= fewRows;
    const splits = split ? stretches : 1;
    const out = this.#place(kernel.outputs, node.output) / 4;
    const partials: Bound = {
      kind: 'scratch',
      byteLength: rows * headCount * splits * partialFloats(shape) * 4,
    };
    const tiles = headCount / keyValueHeadCount / headsPerGroup(shape);
    this.#launch(
      attentionKernel(shape, this.#banks, split),
      [
        arena,
        step,
        ...(split ? [partials] : []),
        ...(sinks ? [this.#vector(sinks)] : []),
        ...this.#bankBounds,
      ],
      {
        ...{
          layer: spec.offsetBytes / 4,
          out,
          scale: floatBits(scale),
          window: window ?? 0,
          cap: floatBits(softCap ?? 1),
          splits,
        },
        x: this.#place(kernel.inputs, node.inputs[0]) / 4,
      },
      [keyValueHeadCount * Math.ceil(tiles), rows, splits],
      rows * headCount * (shape.keySize + shape.valueSize) * guessedContext,
    );
    if (!split) return;
    const threads = rows * headCount * (shape.valueSize / 4);
    this.#launch(mergeKernel(shape), [arena, partials], { rows, out, splits }, this.#threads(threads));
  }

  #selectRows(kernel: Kernel): void {
    const { inputs, output } = nodeOf(kernel, 'select-rows');
    const [rows, width] = [this.#size(output, 0), this.#size(output, 1)];
    this.#launch(
      selectKernel,
      [arena, step],
      {
        ...{ count: rows * width, width },
        x: this.#place(kernel.inputs, inputs[0]),
        out: this.#place(kernel.outputs, output),
      },
      this.#threads(rows * width),
    );
  }

  #argmax(kernel: Kernel): void {
    const { inputs, output } = nodeOf(kernel, 'argmax');
    const rows = this.#size(output, 0);
    this.#launch(
      argmaxKernel,
      [arena],
      {
        ...{ rows, width: this.#size(known(inputs[0], 'input'), 1) },
        x: this.#place(kernel.inputs, inputs[0]),
        out: this.#place(kernel.outputs, output),
      },
      this.#spread(rows),
    );
  }

  #cacheMove(kernel: Kernel): void {
    const spec = this.#plan.cache.of(nodeOf(kernel, 'cache-move').operation.layer);
    this.#launch(
      cacheMoveKernel(spec, this.#banks),
      [step, ...this.#bankBounds],
      { layer: spec.offsetBytes / 4 },
      this.#threads(cacheMoveThreads(spec)),
    );
  }
}

function gatingOf({ operation }: NodeOf<'gated'>): Gating {
  const { op: _, ...gating } = operation;
  return gating as Gating;
}

const checked = (shape: ProductShape, kernel: KernelText, rows: number, columns: number): ChosenProduct => ({
  kernel: { ...kernel, check: () => productCheck(shape, { rows, columns }) },
  rows,
  columns,
});

/** Enough for reads of whole cache lines; what more lanes make is more sums to bring together. */
const mostLanes = 32;

const tiled = (shape: ProductShape): ChosenProduct =>
  checked(shape, tiledProductKernel(shape), tileSize, tileSize);

function inLanes(shape: ProductShape, rows: number, blocks: number): ChosenProduct {
  const lanes = Math.min(mostLanes, 2 ** Math.floor(Math.log2(Math.max(1, blocks))));
  const tile = { rows: rows === 1 ? 1 : 4, columns: 4, lanes, unrolled: true };
  return checked(shape, productKernel(shape, tile), tile.rows, columnsPerGroup(tile));
}

function alone(shape: ProductShape, rows: number): ChosenProduct {
  const tile = { rows: rows === 1 ? 1 : 4, columns: 1, lanes: 1, unrolled: false };
  return checked(shape, productKernel(shape, tile), tile.rows, columnsPerGroup(tile));
}

/** Where the planes, scales and factors of a part begin, in words. */
function partWords(part: WeightPart, name: string): Record<string, number> {
  return {
    [`${name}plane0`]: (part.planes[0] ?? 0) / 4,
    [`${name}plane1`]: (part.planes[1] ?? 0) / 4,
    [`${name}scales`]: part.scales / 4,
    [`${name}factors`]: part.factors / 4,
  };
}

/** Turns per position as 64-bit fractions, the higher word first. */
function turnsOf(frequencies: readonly number[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(2 * frequencies.length);
  frequencies.forEach((frequency, pair) => {
    const turns = frequency / (2 * Math.PI);
    const high = (turns - Math.floor(turns)) * 2 ** 32;
    words[2 * pair] = Math.floor(high);
    words[2 * pair + 1] = Math.floor((high - Math.floor(high)) * 2 ** 32);
  });
  return words;
}
