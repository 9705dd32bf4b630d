/** Lowers kernels of matrix products: which kernel suits the rows and the device, and a launch for each part of a weight. */
import { known } from '../../base/error.ts';
import type { Gating, GraphNode, Value } from '../../graph.ts';
import type { Kernel } from '../../plan.ts';
import { expertProductCheck } from './check/expert-checks.ts';
import { plainProductCheck } from './check/row-checks.ts';
import {
  arena,
  type Bound,
  fewRows,
  type LaunchList,
  type NodeOf,
  nodeOf,
  nodesOf,
  nothing,
  partWords,
  type Weight,
} from './launch-list.ts';
import { type ChosenProduct, lanesFor, productsFor } from './product-choice.ts';
import { expertProductKernel } from './shader/experts.ts';
import { floatBits, withCheck } from './shader/kernel.ts';
import { orderOf, type ProductShape, shapeKey } from './shader/product.ts';
import { plainProductKernel } from './shader/rows.ts';
import { blockValuesOf, type WeightPart } from './weight-layout.ts';

/** Rows of a weight that one launch can see. */
interface Piece {
  readonly node: NodeOf<'matmul'>;
  readonly weight: Weight;
  readonly part: WeightPart;
  readonly partNumber: number;
}

export class ProductLowering {
  readonly #list: LaunchList;

  constructor(list: LaunchList) {
    this.#list = list;
  }

  /** The first kernel for so many rows and blocks along K that this device has not been seen to compute wrongly. */
  #productKernel(shape: ProductShape, rows: number, blocks: number): ChosenProduct {
    const candidates = productsFor(shape, rows, blocks, this.#list.site.profile);
    const kernels = candidates.map(({ kernel }) => kernel);
    const chosen = this.#list.expectRight(kernels, shapeKey(shape));
    return known(candidates[kernels.indexOf(chosen)], 'product');
  }

  /** One or several products of one input; with a norm before, or a sum after. */
  products(kernel: Kernel): void {
    const nodes = nodesOf(kernel, 'matmul');
    const [first] = nodes;
    if (first && this.#list.weight(first.inputs[1]).size.isPlain) {
      this.#plainProduct(kernel, first);
      return;
    }
    const pieces: Piece[] = nodes.flatMap((node) => {
      const weight = this.#list.weight(node.inputs[1]);
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
    const { number, size } = this.#list.weight(inputs[1]);
    const bias = inputs[2];
    const rows = this.#list.size(output, 0);
    size.parts.forEach((part, index) => {
      this.#list.launch(
        withCheck(plainProductKernel, plainProductCheck),
        [arena, { kind: 'weight', weight: number, part: index }, bias ? this.#list.vector(bias) : nothing],
        {
          ...{ rows, inner: size.columns, n: part.rows, first: part.firstRow, biased: bias ? 1 : 0 },
          width: this.#list.size(output, 1),
          x: this.#list.place(kernel.inputs, inputs[0]),
          out: this.#list.place(kernel.outputs, output),
        },
        this.#list.threads(rows * part.rows),
        rows * part.rows * size.columns,
      );
    });
  }

  /** Products by the weights of each row's chosen experts, whose matrices lie one behind the other. */
  expertProduct(planned: Kernel): void {
    const { operation, inputs, output } = nodeOf(planned, 'expert-matmul');
    const { expertCount, usedCount: used } = operation;
    const [x, matrix, routes, bias] = inputs;
    const list = this.#list;
    const { number, size } = list.weight(matrix);
    const { columns, layout } = size;
    const [rows, n] = [list.size(output, 0), size.rows / expertCount];
    const blocks = columns / blockValuesOf(layout);
    const candidates = (list.site.profile.parallel ? [lanesFor(blocks), 1] : [1]).map((lanes) => {
      const check = () => expertProductCheck(layout, lanes);
      return { lanes, kernel: withCheck(expertProductKernel(layout, lanes), check) };
    });
    const kernels = candidates.map((candidate) => candidate.kernel);
    const kernel = list.expectRight(kernels, `expert-product ${layout.name}`);
    const lanes = known(candidates[kernels.indexOf(kernel)], 'product').lanes;
    size.parts.forEach((part, index) => {
      list.launch(
        kernel,
        [arena, { kind: 'weight', weight: number, part: index }, bias ? list.vector(bias) : nothing],
        {
          ...{ rows, used, n, k4: columns / 4, biased: bias ? 1 : 0 },
          ...{ firstRow: part.firstRow, rowCount: part.rows, ...partWords(part, 'w0') },
          x: list.place(planned.inputs, x) / 4,
          parts: list.size(known(x, 'input'), 1) / columns,
          routes: list.place(planned.inputs, routes),
          out: list.place(planned.outputs, output),
        },
        list.spread(Math.ceil((rows * used * n * lanes) / 64)),
        rows * used * n * columns,
      );
    });
  }

  /** Gate and up are cut alike, since they have one format. */
  gatedProducts(kernel: Kernel): void {
    const gated = nodeOf(kernel, 'gated');
    const nodes = gated.inputs.map((input) =>
      known(
        nodesOf(kernel, 'matmul').find(({ output }) => output === input),
        'gate and up',
      ),
    );
    const weights = nodes.map((node) => ({ node, weight: this.#list.weight(node.inputs[1]) }));
    weights[0]?.weight.size.parts.forEach((_, partNumber) => {
      const pieces = weights.map(({ node, weight }): Piece => {
        return { node, weight, part: known(weight.size.parts[partNumber], 'part'), partNumber };
      });
      this.#product(kernel, pieces, () => gated.output, {
        gating: gatingOf(gated.operation),
        residual: undefined,
      });
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
    const rows = this.#list.size(known(input, 'input'), 0);
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
        [`${name}out`]: this.#list.place(kernel.outputs, output) + piece.part.firstRow,
        [`${name}width`]: this.#list.size(output, 1),
      });
    });
    const tiles = Math.ceil(rows / chosen.rows);
    this.#list.launch(
      chosen.kernel,
      [
        arena,
        ...pieces.map(
          (piece): Bound => ({ kind: 'weight', weight: piece.weight.number, part: piece.partNumber }),
        ),
        ...pieces.map(({ node: { inputs } }) => (inputs[2] ? this.#list.vector(inputs[2]) : nothing)),
        ...(norm ? [this.#list.vector(norm.inputs[1])] : []),
      ],
      {
        ...words,
        ...orderOf(tiles, groups, rows <= fewRows),
        ...{ rows, k4: columns / 4, x: this.#list.place(kernel.inputs, input) / 4 },
        epsilon: norm ? floatBits(norm.operation.epsilon) : 0,
        residual: residual ? this.#list.place(kernel.inputs, residual) + part.firstRow : 0,
      },
      this.#list.spread(groups * tiles),
      rows * columns * pieces.reduce((sum, piece) => sum + piece.part.rows, 0),
    );
  }
}

export function gatingOf(operation: NodeOf<'gated'>['operation']): Gating {
  const { op: _, ...gating } = operation;
  return gating as Gating;
}
