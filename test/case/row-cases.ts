/** Operations on single rows: embed, add, activations, factors and caps, norms, argmax, select-rows. */
import { formatByName, formats } from '../../src/format.ts';
import type { Activation, Gating, GraphBuilder, Operation, Value } from '../../src/graph.ts';
import { endIn, type Fill, normal, type OpCase, unevenRows } from './op-case.ts';
import { type CaseStep, chain, stepOf } from './timeline.ts';

const f32 = formatByName('f32');
const rowCounts = [1, 3, 17];
const steps = rowCounts.map((count) => stepOf(chain(0, count), 0));

function rows(builder: GraphBuilder, name: string, width: number): Value {
  return builder.apply({ op: 'embed' }, [builder.weight(name, f32, [Math.max(...rowCounts), width])], name);
}

const widths = [20, 64, 172, 1000];

const embedCases: OpCase[] = formats.map((format) => ({
  name: `embed ${format.name}`,
  build: (builder) =>
    endIn(builder, () =>
      builder.apply({ op: 'embed' }, [builder.weight('table', format, [33, 2 * format.blockValues])], 'row'),
    ),
  steps: [stepOf(chain(0, 5, { token: (row) => [32, 0, 7, 7, 31][row] ?? 0 }), 0), stepOf(chain(0, 33), 0)],
}));

/** Positions and tokens differ, so that one is not taken for the other. */
const positionCases: OpCase[] = ['f32', 'q8_0'].map((format) => ({
  name: `embed ${format} by position`,
  build: (builder) =>
    endIn(builder, () => {
      const table = builder.weight('table', formatByName(format), [40, 64]);
      return builder.apply({ op: 'embed', by: 'position' }, [table], 'row');
    }),
  steps: [
    stepOf(chain(0, 17, { token: (row) => 20 - row, position: (row) => (row * 7 + 3) % 40 }), 0),
    stepOf(chain(0, 1, { token: () => 1, position: () => 39 }), 0),
  ],
}));

const addCases: OpCase[] = widths.flatMap((width) => [
  {
    name: `add of width ${width}`,
    build: (builder) =>
      endIn(builder, () =>
        builder.apply({ op: 'add' }, [rows(builder, 'a', width), rows(builder, 'b', width)], 'sum'),
      ),
    fills: { a: unevenRows },
    steps,
  },
  {
    name: `add of a value to itself, width ${width}`,
    build: (builder) =>
      endIn(builder, () => {
        const a = rows(builder, 'a', width);
        return builder.apply({ op: 'add' }, [a, a], 'sum');
      }),
    steps,
  },
]);

/** Where exp overflows, underflows, and in between. */
const wide: Fill = (random, index) => [0, -0, 100, -100, 30, -30, 1e-6][index % 11] ?? random.normal() * 4;

const gatings: readonly Gating[] = [
  ...(['silu', 'gelu', 'gelu-tanh', 'relu', 'relu-squared'] as const).map((activation) => ({ activation })),
  { activation: 'swiglu-clamped', alpha: 1.702, limit: 7 },
];

const gatedCases: OpCase[] = gatings.flatMap((gating) =>
  widths.map((width) => ({
    name: `gated ${gating.activation} of width ${width}`,
    build: (builder) =>
      endIn(builder, () => {
        const inputs = [rows(builder, 'gate', width), rows(builder, 'up', width)];
        return builder.apply({ op: 'gated', ...gating }, inputs, 'gated');
      }),
    // A clamp of the second factor shows where it goes beyond.
    fills: { gate: wide, up: normal(4) },
    steps,
  })),
);

const unary = (name: string, operation: Operation, fill: Fill, width: number): OpCase => ({
  name: `${name} of width ${width}`,
  build: (builder) => endIn(builder, () => builder.apply(operation, [rows(builder, 'x', width)], 'y')),
  fills: { x: fill },
  steps,
});

const activations: readonly Activation[] = ['silu', 'gelu', 'gelu-tanh', 'relu', 'relu-squared'];

const unaryCases: OpCase[] = [1, 20, 1000].flatMap((width) => [
  ...activations.map((activation) =>
    unary(`activate ${activation}`, { op: 'activate', activation }, wide, width),
  ),
  unary('scale by 55.4', { op: 'scale', factor: 55.4 }, unevenRows, width),
  unary('scale by -0.22', { op: 'scale', factor: -0.22 }, unevenRows, width),
  unary('softcap at 30', { op: 'softcap', limit: 30 }, wide, width),
  unary('softcap at 0.5', { op: 'softcap', limit: 0.5 }, wide, width),
  unary('softcap of small values', { op: 'softcap', limit: 50 }, normal(1e-3), width),
]);

interface NormShape {
  readonly width: number;
  readonly groups?: number;
  /** Values of the weight, where not the row's. */
  readonly weights?: number;
  readonly bias?: boolean;
  readonly fill?: Fill;
}

const normCase = (op: 'rms-norm' | 'layer-norm', epsilon: number, shape: NormShape): OpCase => {
  const { width, groups, weights = width, bias = false, fill = unevenRows } = shape;
  const parts = groups === undefined ? '' : `, ${groups} parts with ${weights} weights`;
  return {
    name: `${op} of width ${width}${parts}, epsilon ${epsilon}${bias ? ', bias' : ''}`,
    build: (builder: GraphBuilder) =>
      endIn(builder, () => {
        const vectors = bias ? ['scale', 'bias'] : ['scale'];
        const inputs = vectors.map((name) => builder.weight(name, f32, [weights]));
        const split = groups === undefined ? {} : { groups };
        return builder.apply({ op, epsilon, ...split }, [rows(builder, 'x', width), ...inputs], 'normed');
      }),
    fills: { x: fill },
    steps,
  };
};

/** Far from zero, so that a mean that is not taken away shows. */
const lifted: Fill = (random) => 5 + random.normal();

const normCases: OpCase[] = (['rms-norm', 'layer-norm'] as const).flatMap((op) => [
  ...widths.flatMap((width) => [1e-5, 1e-6].map((epsilon) => normCase(op, epsilon, { width }))),
  normCase(op, 1e-5, { width: 172, bias: true, fill: lifted }),
  normCase(op, 1e-5, { width: 64, bias: true, fill: lifted }),
  normCase(op, 1e-6, { width: 96, groups: 3, weights: 32 }),
  normCase(op, 1e-6, { width: 96, groups: 3, weights: 96, fill: lifted }),
  normCase(op, 1e-6, { width: 60, groups: 5, weights: 12, bias: true, fill: lifted }),
]);

/** Small integers repeat, so that rows have several largest entries. */
const ties: Fill = (random) => random.below(4) - 6;
/** The largest entry of row r stands at place r from the front or from the back. */
const edges: Fill = (random, index, width) => {
  const [row, column] = [Math.floor(index / width), index % width];
  const place = row % 2 === 0 ? Math.min(row, width - 1) : Math.max(0, width - row);
  return column === place ? 2 : random.uniform();
};
const signedZeros: Fill = (_, index, width) => (index % width === 0 ? -0 : index % width === 1 ? 0 : -1);

const argmaxCases: OpCase[] = [1, 5, 17, 64, 1003].flatMap((width) =>
  Object.entries({ ties, edges, signedZeros }).map(([name, fill]) => ({
    name: `argmax of ${width}, ${name}`,
    build: (builder: GraphBuilder) => endIn(builder, () => rows(builder, 'x', width)),
    fills: { x: fill },
    steps,
  })),
);

const selections: readonly (readonly number[])[] = [[], [16], [0, 16], [3, 1, 2, 1], [0]];

const selectCases: OpCase[] = [20, 64].map((width) => ({
  name: `select-rows of width ${width}`,
  build: (builder) => endIn(builder, () => rows(builder, 'x', width)),
  steps: selections.map((selected): CaseStep => ({ ...stepOf(chain(0, 17), 0), selected })),
}));

export const rowCases: readonly OpCase[] = [
  ...embedCases,
  ...positionCases,
  ...addCases,
  ...gatedCases,
  ...unaryCases,
  ...normCases,
  ...argmaxCases,
  ...selectCases,
];
