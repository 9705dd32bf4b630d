/** Operations on single rows: embed, add, gated, rms-norm, argmax, select-rows. */
import { formatByName, formats } from '../../src/format.ts';
import type { GraphBuilder, Value } from '../../src/graph.ts';
import { endIn, type Fill, type OpCase, unevenRows } from './op-case.ts';
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

const gatedCases: OpCase[] = widths.map((width) => ({
  name: `gated silu of width ${width}`,
  build: (builder) =>
    endIn(builder, () => {
      const inputs = [rows(builder, 'gate', width), rows(builder, 'up', width)];
      return builder.apply({ op: 'gated', activation: 'silu' }, inputs, 'gated');
    }),
  fills: { gate: wide },
  steps,
}));

const normCases: OpCase[] = widths.flatMap((width) =>
  [1e-5, 1e-6].map((epsilon) => ({
    name: `rms-norm of width ${width}, epsilon ${epsilon}`,
    build: (builder: GraphBuilder) =>
      endIn(builder, () => {
        const inputs = [rows(builder, 'x', width), builder.weight('scale', f32, [width])];
        return builder.apply({ op: 'rms-norm', epsilon }, inputs, 'normed');
      }),
    fills: { x: unevenRows },
    steps,
  })),
);

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
  ...addCases,
  ...gatedCases,
  ...normCases,
  ...argmaxCases,
  ...selectCases,
];
