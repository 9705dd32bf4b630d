/**
 * Mixtures of experts. Logits are small multiples of one number, all different within a row, so that no rounding changes the
 * choice; where ties are wanted they are exact.
 */
import { formatByName, formats, type NumberFormat } from '../../src/format.ts';
import type { GraphBuilder, Operation, Value } from '../../src/graph.ts';
import { endIn, type Fill, normal, type OpCase, unevenRows } from './op-case.ts';
import { chain, stepOf } from './timeline.ts';

const f32 = formatByName('f32');
const rowCounts = [1, 2, 5, 17, 40];
const steps = rowCounts.map((count) => stepOf(chain(0, count), 0));
const few = [1, 9].map((count) => stepOf(chain(0, count), 0));

type Route = Extract<Operation, { op: 'route' }>;

function rows(builder: GraphBuilder, name: string, width: number): Value {
  return builder.apply({ op: 'embed' }, [builder.weight(name, f32, [Math.max(...rowCounts), width])], name);
}

/** Every row is the numbers from 0 on in an order of its own: 7 divides no number of experts used here. */
const scattered: Fill = (_, index, width) => {
  const [row, expert] = [Math.floor(index / width), index % width];
  return (((expert * 7 + row * 3 + ((row * row) >> 3)) % width) - width / 2) / 4;
};

/** Half of the rows want the same experts, so that some have many rows and others none. */
const crowded: Fill = (random, index, width) =>
  Math.floor(index / width) % 2 === 0 ? (index % width) / 4 : scattered(random, index, width);

const choice = (expertCount: number, usedCount: number, changes: Partial<Route> = {}): Route => ({
  op: 'route',
  expertCount,
  usedCount,
  gating: 'softmax',
  normalize: true,
  scale: 1,
  ...changes,
});

function routeCase(name: string, operation: Route, fills: Record<string, Fill>): OpCase {
  return {
    name: `route ${operation.usedCount} of ${operation.expertCount}, ${operation.gating}, ${name}`,
    build: (builder) =>
      endIn(builder, () => {
        const bias = 'bias' in fills ? [builder.weight('bias', f32, [operation.expertCount])] : [];
        return builder.apply(operation, [rows(builder, 'logits', operation.expertCount), ...bias], 'routes');
      }),
    fills,
    steps,
  };
}

const sizes: readonly [experts: number, used: number][] = [
  [1, 1],
  [5, 2],
  [8, 8],
  [64, 6],
  [131, 8],
];
const gatings = ['softmax', 'sigmoid', 'softmax-of-chosen'] as const;
/** Zeros are exact, and more than are chosen. */
const ties: Fill = (random) => Math.min(0, 1 - random.below(3));
const faint: Fill = (random, index, width) => scattered(random, index, width) - 60;

const routeCases: OpCase[] = [
  ...sizes.flatMap(([experts, used]) =>
    gatings.flatMap((gating) => [
      routeCase('normalized', choice(experts, used, { gating }), { logits: scattered }),
      routeCase('as they are', choice(experts, used, { gating, normalize: false, scale: 2.5 }), {
        logits: scattered,
      }),
    ]),
  ),
  ...gatings.map((gating) =>
    routeCase('with a bias', choice(16, 3, { gating }), {
      logits: scattered,
      bias: (_, index) => ((index * 5) % 16) * 2,
    }),
  ),
  routeCase('ties', choice(33, 7), { logits: ties }),
  routeCase('a sum of nearly nothing', choice(8, 2, { gating: 'sigmoid' }), { logits: faint }),
  routeCase('infinitely unlikely', choice(6, 2), { logits: (_, index) => (index % 6) * 60 - 200 }),
];

interface ExpertShape {
  readonly experts: number;
  readonly used: number;
  readonly columns: number;
  readonly inner: number;
  /** x has a part for each of the chosen. */
  readonly apart?: boolean;
  readonly bias?: boolean;
}

function expertMatmul(
  builder: GraphBuilder,
  { experts, used, columns, inner, bias = false }: ExpertShape,
  [name, format]: readonly [string, NumberFormat],
  [input, routes]: readonly [Value, Value],
): Value {
  const weight = builder.weight(name, format, [experts, columns, inner]);
  const biases = bias ? [builder.weight(`${name}.bias`, f32, [experts * columns])] : [];
  const operation = { op: 'expert-matmul', expertCount: experts, usedCount: used } as const;
  return builder.apply(operation, [input, weight, routes, ...biases], `${name}.out`);
}

const routesOf = (builder: GraphBuilder, { experts, used }: ExpertShape): Value =>
  builder.apply(choice(experts, used), [rows(builder, 'logits', experts)], 'routes');

function productCase(format: NumberFormat, shape: ExpertShape, changes: Partial<OpCase> = {}): OpCase {
  const { experts, used, columns, inner, apart = false, bias = false } = shape;
  const variant = `${apart ? ', an input each' : ''}${bias ? ', with bias' : ''}`;
  return {
    name: `expert-matmul ${format.name} ${used} of [${experts}, ${columns}, ${inner}]${variant}`,
    build: (builder) =>
      endIn(builder, () => {
        const input = rows(builder, 'x', apart ? used * inner : inner);
        return expertMatmul(builder, shape, ['w', format], [input, routesOf(builder, shape)]);
      }),
    fills: { x: unevenRows, w: normal(0.5), logits: crowded },
    steps: few,
    ...changes,
  };
}

const shapeOf = ({ blockValues }: NumberFormat): ExpertShape => ({
  experts: 5,
  used: 2,
  columns: 40,
  inner: Math.max(blockValues, 64),
});

const productCases: OpCase[] = [
  ...formats.map((format) => productCase(format, { ...shapeOf(format), bias: true })),
  ...['f32', 'f16', 'q8_0', 'q4_k', 'mxfp4'].map((name) => {
    const format = formatByName(name);
    return productCase(format, { ...shapeOf(format), apart: true }, { steps });
  }),
  productCase(f32, { experts: 9, used: 3, columns: 17, inner: 20 }, { steps }),
  productCase(formatByName('q4_0'), { experts: 64, used: 6, columns: 48, inner: 96 }, { steps }),
  productCase(formatByName('q8_0'), { experts: 3, used: 3, columns: 1, inner: 32 }, { steps }),
];

/** More choices than are sorted at a time. */
const manyRows = chain(0, 300, { token: (row) => row % 40 });
const longCase = productCase(
  f32,
  { experts: 64, used: 64, columns: 3, inner: 4 },
  { name: 'expert-matmul of 300 rows, all of 64 experts', steps: [stepOf(manyRows, 0)] },
);

/** Everything of one sign and size: an error in the weights shows where inputs are rounded to 8 bits. */
const evenCases: OpCase[] = ['q8_0', 'q4_0'].map((name) =>
  productCase(formatByName(name), shapeOf(formatByName(name)), {
    name: `expert-matmul ${name} of values of one sign`,
    fills: {
      x: (random) => 0.9 + 0.1 * random.uniform(),
      w: (random) => 0.9 + 0.1 * random.uniform(),
      logits: scattered,
    },
  }),
);

const sumCases: OpCase[] = [1, 7, 1100].map((width) => ({
  name: `expert-sum of width ${width}`,
  build: (builder) =>
    endIn(builder, () => {
      const routes = builder.apply(choice(6, 3), [rows(builder, 'logits', 6)], 'routes');
      const inputs = [rows(builder, 'x', 3 * width), routes];
      return builder.apply({ op: 'expert-sum', usedCount: 3 }, inputs, 'sum');
    }),
  fills: { x: unevenRows, logits: scattered },
  steps,
}));

/** A whole block, as a backend may fuse it: gate and up of one input, gated, down, summed over the residual. */
function blockCase(format: NumberFormat, shape: ExpertShape): OpCase {
  const { used, columns, inner } = shape;
  return {
    name: `experts ${format.name} of ${JSON.stringify(shape)}`,
    build: (builder) =>
      endIn(builder, () => {
        const [input, routes] = [rows(builder, 'x', inner), routesOf(builder, shape)];
        const product = (name: string, x: Value, changes: Partial<ExpertShape> = {}) =>
          expertMatmul(builder, { ...shape, ...changes }, [name, format], [x, routes]);
        const both = [product('gate', input), product('up', input)];
        const gated = builder.apply({ op: 'gated', activation: 'silu' }, both, 'gated');
        const down = product('down', gated, { columns: inner, inner: columns });
        const summed = builder.apply({ op: 'expert-sum', usedCount: used }, [down, routes], 'summed');
        return builder.apply({ op: 'add' }, [summed, rows(builder, 'residual', inner)], 'out');
      }),
    fills: { logits: crowded, gate: normal(0.3), up: normal(0.3), down: normal(0.3) },
    steps,
  };
}

const blockCases: OpCase[] = [
  blockCase(f32, { experts: 5, used: 2, columns: 20, inner: 36 }),
  blockCase(formatByName('q4_0'), { experts: 8, used: 2, columns: 96, inner: 64, bias: true }),
  blockCase(formatByName('q8_0'), { experts: 3, used: 1, columns: 32, inner: 32 }),
  blockCase(formatByName('mxfp4'), { experts: 16, used: 4, columns: 64, inner: 96, bias: true }),
  blockCase(formatByName('q4_k'), { experts: 4, used: 2, columns: 256, inner: 256 }),
];

export const expertCases: readonly OpCase[] = [
  ...routeCases,
  ...productCases,
  longCase,
  ...evenCases,
  ...sumCases,
  ...blockCases,
];
