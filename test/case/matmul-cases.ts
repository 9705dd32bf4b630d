/** Matrix products: every format, row counts around the sizes of kernel tiles, sizes that no tile divides. */
import { formatByName, formats, type NumberFormat } from '../../src/format.ts';
import type { GraphBuilder, Value } from '../../src/graph.ts';
import { between, endIn, type Fill, normal, type OpCase, unevenRows, validBlock } from './op-case.ts';
import { randomFrom } from './random.ts';
import { chain, stepOf } from './timeline.ts';

const rowCounts = [1, 2, 3, 5, 8, 17, 40];
const f32 = formatByName('f32');

interface Shape {
  readonly columns: number;
  readonly inner: number;
}

function product(format: NumberFormat, { columns, inner }: Shape, bias: boolean) {
  return (builder: GraphBuilder) =>
    endIn(builder, () => {
      const input = builder.apply(
        { op: 'embed' },
        [builder.weight('x', f32, [Math.max(...rowCounts), inner])],
        'x',
      );
      const weight = builder.weight('w', format, [columns, inner]);
      const inputs = bias ? [input, weight, builder.weight('b', f32, [columns])] : [input, weight];
      return builder.apply({ op: 'matmul' }, inputs, 'y');
    });
}

function matmulCase(
  format: NumberFormat,
  shape: Shape,
  options: Partial<OpCase> & { bias?: boolean } = {},
): OpCase {
  const { bias = false, ...rest } = options;
  return {
    name: `matmul ${format.name} [${shape.columns}, ${shape.inner}]${bias ? ' with bias' : ''}`,
    build: product(format, shape, bias),
    fills: { x: unevenRows, w: normal(0.5) },
    steps: rowCounts.map((count) => stepOf(chain(0, count), 0)),
    ...rest,
  };
}

/**
 * Terms of one sign, so that none hides behind others: an error in the weights shows even where inputs are rounded to 8 bits.
 * The weights are alike; or, of a format that cannot be written, a random block, whose signs the inputs take.
 */
function evenCase(format: NumberFormat): OpCase {
  const shape = { columns: 48, inner: Math.max(format.blockValues, 32) };
  const alike = between(0.9, 1);
  const block = validBlock(format, randomFrom(`one sign of ${format.name}`));
  const values = new Float64Array(format.blockValues);
  format.decode(block, 0, values, 0, 1);
  const signed: Fill = (random, index, width) =>
    Math.sign(values[index % shape.inner] ?? 0) * alike(random, index, width);
  return matmulCase(format, shape, {
    name: `matmul ${format.name} of terms of one sign`,
    fills: format.encode ? { x: alike, w: alike } : { x: signed, w: block },
    steps: [1, 5].map((count) => stepOf(chain(0, count), 0)),
  });
}

/** x + x Wᵀ: what is added to is still being read by the product. */
function residualCase(format: NumberFormat): OpCase {
  return {
    name: `matmul ${format.name} added to its own input`,
    build: (builder) =>
      endIn(builder, () => {
        const input = builder.apply({ op: 'embed' }, [builder.weight('x', f32, [40, 64])], 'x');
        const product = builder.apply({ op: 'matmul' }, [input, builder.weight('w', format, [64, 64])], 'y');
        return builder.apply({ op: 'add' }, [input, product], 'sum');
      }),
    steps: rowCounts.map((count) => stepOf(chain(0, count), 0)),
  };
}

/** silu(x Gᵀ) · (x Uᵀ) of an input that no norm makes, and several products of it, of different formats. */
function sharedInputCases(format: NumberFormat): OpCase[] {
  const steps = [1, 5].map((count) => stepOf(chain(0, count), 0));
  const input = (builder: GraphBuilder) =>
    builder.apply({ op: 'embed' }, [builder.weight('x', f32, [5, 64])], 'x');
  const times = (builder: GraphBuilder, x: Value, name: string, weightFormat: NumberFormat) =>
    builder.apply({ op: 'matmul' }, [x, builder.weight(name, weightFormat, [48, 64])], `${name}.out`);
  return [
    {
      name: `matmul ${format.name} twice, one the gate of the other`,
      build: (builder) =>
        endIn(builder, () => {
          const x = input(builder);
          const inputs = [times(builder, x, 'gate', format), times(builder, x, 'up', format)];
          return builder.apply({ op: 'gated', activation: 'silu' }, inputs, 'gated');
        }),
      fills: { gate: normal(0.2), up: normal(0.2) },
      steps,
    },
    {
      name: `matmul ${format.name} and f16 of one input`,
      build: (builder) =>
        endIn(builder, () => {
          const x = input(builder);
          const products = [times(builder, x, 'a', format), times(builder, x, 'b', formatByName('f16'))];
          return builder.apply({ op: 'gated', activation: 'silu' }, products, 'gated');
        }),
      fills: { a: normal(0.2), b: normal(0.2) },
      steps,
    },
  ];
}

const unblocked = formats.filter((format) => format.blockValues === 1);

export const matmulCases: readonly OpCase[] = [
  ...formats.flatMap((format) => {
    const block = Math.max(format.blockValues, 32);
    return [
      matmulCase(format, { columns: 48, inner: block }),
      matmulCase(format, { columns: 96, inner: 2 * block }),
      matmulCase(format, { columns: 130, inner: 3 * block }, { bias: true }),
      evenCase(format),
    ];
  }),
  ...unblocked.flatMap((format) => [
    matmulCase(format, { columns: 17, inner: 172 }),
    matmulCase(format, { columns: 1, inner: 20 }),
  ]),
  ...sharedInputCases(f32),
  ...sharedInputCases(formatByName('q8_0')),
  residualCase(f32),
  residualCase(formatByName('q8_0')),
  matmulCase(formatByName('q4_0'), { columns: 5, inner: 1088 }),
  matmulCase(formatByName('q8_0'), { columns: 33, inner: 2080 }),
];
