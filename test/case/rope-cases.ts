/** Rotary position embedding: both pairings, partial rotation, magnitudes, far positions. */
import { formatByName } from '../../src/format.ts';
import { endIn, type OpCase } from './op-case.ts';
import { chain, stepOf } from './timeline.ts';

const positions = [0, 1, 2, 5, 127, 1000, 4095, 131_071, 3];

export const ropeCases: readonly OpCase[] = (['adjacent', 'split'] as const).flatMap((pairing) =>
  [
    { headSize: 32, rotated: 32, headCount: 3, magnitude: 1 },
    { headSize: 64, rotated: 64, headCount: 1, magnitude: 1.25 },
    { headSize: 64, rotated: 24, headCount: 2, magnitude: 1 },
    { headSize: 80, rotated: 80, headCount: 2, magnitude: 1 },
    { headSize: 128, rotated: 128, headCount: 4, magnitude: 0.5 },
    { headSize: 8, rotated: 2, headCount: 2, magnitude: 1 },
  ].map(({ headSize, rotated, headCount, magnitude }) => ({
    name: `rope ${pairing}, ${headCount} heads of ${headSize}, ${rotated} turned, magnitude ${magnitude}`,
    build: (builder) =>
      endIn(builder, () => {
        const table = builder.weight('x', formatByName('f32'), [positions.length, headCount * headSize]);
        const input = builder.apply({ op: 'embed' }, [table], 'x');
        const frequencies = Array.from(
          { length: rotated / 2 },
          (_, pair) => 10_000 ** ((-2 * pair) / rotated),
        );
        return builder.apply(
          { op: 'rope', headCount, headSize, pairing, frequencies, magnitude },
          [input],
          'turned',
        );
      }),
    steps: [1, 4, positions.length].map((count) =>
      stepOf(chain(0, count, { position: (row) => positions[(row + count) % positions.length] ?? 0 }), 0),
    ),
  })),
);
