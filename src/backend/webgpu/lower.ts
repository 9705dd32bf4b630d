/** Lowers a plan's segment, for one number of rows, to launches: one function per kernel pattern. */
import { known, NearfieldError } from '../../base/error.ts';
import type { Operation, OperationName } from '../../graph.ts';
import type { Kernel, Plan, Segment } from '../../plan.ts';
import { cacheMoveCheck, cacheWriteCheck, ropeCheck } from './check/cache-checks.ts';
import { expertSumCheck, routeCheck } from './check/expert-checks.ts';
import {
  argmaxCheck,
  embedCheck,
  normCheck,
  pairwiseCheck,
  plainEmbedCheck,
  selectCheck,
} from './check/row-checks.ts';
import {
  arena,
  type Bound,
  type Launch,
  LaunchList,
  type NodeOf,
  nodeOf,
  nodesOf,
  nothing,
  partWords,
  step,
} from './launch-list.ts';
import { lowerAttention } from './lower-attention.ts';
import { gatingOf, ProductLowering } from './lower-products.ts';
import type { DeviceProfile } from './profile.ts';
import {
  cacheMoveKernel,
  cacheMoveThreads,
  cacheWriteKernel,
  cacheWriteThreads,
  type Rotation,
  ropeKernel,
  unitsPerHead,
} from './shader/cache.ts';
import { expertSumKernel, routeKernel } from './shader/experts.ts';
import { floatBits, type KernelText, withCheck } from './shader/kernel.ts';
import {
  activateKernel,
  addKernel,
  argmaxKernel,
  embedKernel,
  gatedKernel,
  normKernel,
  plainEmbedKernel,
  scaleKernel,
  selectKernel,
  softcapKernel,
} from './shader/rows.ts';
import { turnsOf } from './turns.ts';
import { blockValuesOf } from './weight-layout.ts';

export class Lowering {
  readonly #list: LaunchList;
  readonly #products: ProductLowering;

  /** `banks`: buffers that cache pages lie in. */
  constructor(
    segment: Segment,
    plan: Plan,
    profile: DeviceProfile,
    banks: number,
    symbols: readonly number[],
  ) {
    this.#list = new LaunchList({ segment, plan, profile, banks, symbols });
    this.#products = new ProductLowering(this.#list);
    for (const kernel of segment.kernels) this.#lower(kernel);
  }

  get launches(): readonly Launch[] {
    return this.#list.launches;
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
    matmul: (kernel) => this.#products.products(kernel),
    projections: (kernel) => this.#products.products(kernel),
    'norm-projections': (kernel) => this.#products.products(kernel),
    'projection-add': (kernel) => this.#products.products(kernel),
    'gated-projections': (kernel) => this.#products.gatedProducts(kernel),
    'norm-gated-projections': (kernel) => this.#products.gatedProducts(kernel),
    rope: (kernel) => this.#rope(kernel),
    'cache-write': (kernel) => this.#cacheWrite(kernel),
    'rope-cache': (kernel) => this.#cacheWrite(kernel),
    attention: (kernel) => lowerAttention(this.#list, kernel),
    add: (kernel) => this.#pairwise(kernel, 'add', () => addKernel),
    gated: (kernel) => this.#pairwise(kernel, 'gated', (operation) => gatedKernel(gatingOf(operation))),
    activate: (kernel) => this.#pairwise(kernel, 'activate', ({ activation }) => activateKernel(activation)),
    scale: (kernel) => this.#pairwise(kernel, 'scale', ({ factor }) => scaleKernel(factor)),
    softcap: (kernel) => this.#pairwise(kernel, 'softcap', ({ limit }) => softcapKernel(limit)),
    'select-rows': (kernel) => this.#selectRows(kernel),
    argmax: (kernel) => this.#argmax(kernel),
    route: (kernel) => this.#route(kernel),
    'expert-matmul': (kernel) => this.#products.expertProduct(kernel),
    'expert-sum': (kernel) => this.#expertSum(kernel),
    'cache-move': (kernel) => this.#cacheMove(kernel),
  };

  #embed(kernel: Kernel): void {
    const { inputs, output, operation } = nodeOf(kernel, 'embed');
    const field = operation.by === 'position' ? 1 : 0;
    const { number, size } = this.#list.weight(inputs[0]);
    const { columns, layout, isPlain } = size;
    const out = this.#list.place(kernel.outputs, output);
    size.parts.forEach((part, index) => {
      const bound: Bound[] = [arena, { kind: 'weight', weight: number, part: index }, step];
      const params = { rows: this.#list.rows, field, firstRow: part.firstRow, rowCount: part.rows };
      if (isPlain) {
        const plain = { ...params, width: columns, out };
        const text = withCheck(plainEmbedKernel, plainEmbedCheck);
        this.#list.launch(text, bound, plain, this.#list.threads(this.#list.rows * columns));
      } else {
        const blocks = columns / blockValuesOf(layout);
        const packed = { ...params, k4: columns / 4, out: out / 4, ...partWords(part, 'w0') };
        const text = withCheck(embedKernel(layout), () => embedCheck(layout));
        this.#list.launch(text, bound, packed, this.#list.threads(this.#list.rows * blocks));
      }
    });
  }

  #norm(kernel: Kernel, kind: 'rms-norm' | 'layer-norm'): void {
    const { inputs, output, operation } = nodeOf(kernel, kind);
    const { groups: parts = 1, epsilon } = operation;
    const { parallel, subgroupSize } = this.#list.site.profile;
    const texts = (parallel && subgroupSize > 1 ? [subgroupSize, 1] : [1]).map((joined) =>
      withCheck(normKernel(kind, joined), () => normCheck(kind)),
    );
    const [, weight, bias] = inputs;
    const rows = this.#list.size(output, 0);
    this.#list.launch(
      this.#list.expectRight(texts, kind),
      [arena, this.#list.vector(weight), bias ? this.#list.vector(bias) : nothing],
      {
        ...{ size: this.#list.size(output, 1) / parts, parts, rows, epsilon: floatBits(epsilon) },
        x: this.#list.place(kernel.inputs, inputs[0]),
        out: this.#list.place(kernel.outputs, output),
        gains: this.#list.weight(weight).size.columns,
        biases: bias ? this.#list.weight(bias).size.columns : 0,
      },
      this.#list.spread(rows * parts),
    );
  }

  #pairwise<Name extends OperationName>(
    kernel: Kernel,
    name: Name,
    textOf: (operation: Extract<Operation, { op: Name }>) => KernelText,
  ): void {
    const { inputs, output, operation } = nodeOf(kernel, name);
    const count = this.#list.size(output, 0) * this.#list.size(output, 1);
    this.#list.launch(
      withCheck(textOf(operation), () => pairwiseCheck(operation)),
      [arena],
      {
        count,
        left: this.#list.place(kernel.inputs, inputs[0]),
        right: this.#list.place(kernel.inputs, inputs[1] ?? inputs[0]),
        out: this.#list.place(kernel.outputs, output),
      },
      this.#list.threads(count),
    );
  }

  #rotation({ operation }: NodeOf<'rope'>): Rotation {
    const { headCount, headSize, frequencies, pairing } = operation;
    return { headCount, headSize, pairCount: frequencies.length, pairing };
  }

  #rope(kernel: Kernel): void {
    const node = nodeOf(kernel, 'rope');
    const rotation = this.#rotation(node);
    this.#list.launch(
      withCheck(ropeKernel(rotation), () => ropeCheck(rotation)),
      [arena, step, { kind: 'constant', words: turnsOf(node.operation.frequencies) }],
      {
        rows: this.#list.rows,
        x: this.#list.place(kernel.inputs, node.inputs[0]),
        out: this.#list.place(kernel.outputs, node.output),
        magnitude: floatBits(node.operation.magnitude),
      },
      this.#list.threads(this.#list.rows * rotation.headCount * unitsPerHead(rotation)),
    );
  }

  /** With the rotation of keys and queries where it is fused. */
  #cacheWrite(kernel: Kernel): void {
    const node = nodeOf(kernel, 'cache-write');
    const ropes = nodesOf(kernel, 'rope');
    const keys = ropes.find(({ output }) => output === node.inputs[0]);
    const query = ropes.find((rope) => rope !== keys);
    const { plan, banks } = this.#list.site;
    const spec = plan.cache.of(node.operation.layer);
    const rotation =
      keys && query ? { keys: this.#rotation(keys), queryHeads: query.operation.headCount } : undefined;
    const frequencies = keys
      ? [{ kind: 'constant', words: turnsOf(keys.operation.frequencies) } as const]
      : [];
    this.#list.launch(
      withCheck(cacheWriteKernel(spec, banks, rotation), () => cacheWriteCheck(spec, banks, rotation)),
      [arena, step, ...frequencies, ...this.#list.bankBounds],
      {
        ...{ rows: this.#list.rows, layer: spec.offsetBytes / 4 },
        keys: this.#list.place(kernel.inputs, keys ? keys.inputs[0] : node.inputs[0]),
        values: this.#list.place(kernel.inputs, node.inputs[1]),
        x: query ? this.#list.place(kernel.inputs, query.inputs[0]) : 0,
        out: query ? this.#list.place(kernel.outputs, query.output) : 0,
        magnitude: floatBits(keys?.operation.magnitude ?? 1),
      },
      this.#list.threads(this.#list.rows * cacheWriteThreads(spec, rotation)),
    );
  }

  #route(kernel: Kernel): void {
    const { operation, inputs, output } = nodeOf(kernel, 'route');
    const list = this.#list;
    const rows = list.size(output, 0);
    const bias = inputs[1];
    list.launch(
      withCheck(routeKernel(operation), () => routeCheck(operation)),
      [arena, bias ? list.vector(bias) : nothing],
      {
        ...{ rows, biased: bias ? 1 : 0, scale: floatBits(operation.scale), leastSum: floatBits(2 ** -14) },
        x: list.place(kernel.inputs, inputs[0]),
        out: list.place(kernel.outputs, output),
      },
      list.threads(rows),
    );
  }

  #expertSum(kernel: Kernel): void {
    const { operation, inputs, output } = nodeOf(kernel, 'expert-sum');
    const list = this.#list;
    const [rows, width] = [list.size(output, 0), list.size(output, 1)];
    list.launch(
      withCheck(expertSumKernel, expertSumCheck),
      [arena],
      {
        ...{ count: rows * width, width, used: operation.usedCount },
        x: list.place(kernel.inputs, inputs[0]),
        routes: list.place(kernel.inputs, inputs[1]),
        out: list.place(kernel.outputs, output),
      },
      list.threads(rows * width),
    );
  }

  #selectRows(kernel: Kernel): void {
    const { inputs, output } = nodeOf(kernel, 'select-rows');
    const [rows, width] = [this.#list.size(output, 0), this.#list.size(output, 1)];
    this.#list.launch(
      withCheck(selectKernel, selectCheck),
      [arena, step],
      {
        ...{ count: rows * width, width },
        x: this.#list.place(kernel.inputs, inputs[0]),
        out: this.#list.place(kernel.outputs, output),
      },
      this.#list.threads(rows * width),
    );
  }

  #argmax(kernel: Kernel): void {
    const { inputs, output } = nodeOf(kernel, 'argmax');
    const rows = this.#list.size(output, 0);
    this.#list.launch(
      withCheck(argmaxKernel, argmaxCheck),
      [arena],
      {
        ...{ rows, width: this.#list.size(known(inputs[0], 'input'), 1) },
        x: this.#list.place(kernel.inputs, inputs[0]),
        out: this.#list.place(kernel.outputs, output),
      },
      this.#list.spread(rows),
    );
  }

  #cacheMove(kernel: Kernel): void {
    const { plan, banks } = this.#list.site;
    const spec = plan.cache.of(nodeOf(kernel, 'cache-move').operation.layer);
    this.#list.launch(
      withCheck(cacheMoveKernel(spec, banks), () => cacheMoveCheck(spec, banks)),
      [step, ...this.#list.bankBounds],
      { layer: spec.offsetBytes / 4 },
      this.#list.threads(cacheMoveThreads(spec)),
    );
  }
}
