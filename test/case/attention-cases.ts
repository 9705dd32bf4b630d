/** Attention with the cache it reads: cache-write, cache-move, groups of heads, pages, trees, windows, sequences. */
import { formatByName } from '../../src/format.ts';
import type { GraphBuilder } from '../../src/graph.ts';
import { endIn, normal, type OpCase } from './op-case.ts';
import { acceptPath, type CaseStep, chain, stepOf, tree } from './timeline.ts';

interface Heads {
  readonly keyValueHeadCount: number;
  readonly group: number;
  readonly keySize: number;
  readonly valueSize?: number;
  readonly window?: number;
  readonly softCap?: number;
  /** A score more for each head, from the table `sinks`. */
  readonly sinks?: boolean;
}

/** Queries, keys and values come straight from three tables by token, so that cases control them. */
function attentionCase(
  name: string,
  heads: Heads,
  steps: readonly CaseStep[],
  fills: OpCase['fills'] = {},
): OpCase {
  const { keyValueHeadCount, group, keySize, valueSize = keySize, window, softCap, sinks } = heads;
  const headCount = keyValueHeadCount * group;
  const tokens = 1 + Math.max(...steps.flatMap((step) => step.rows.map((row) => row.token)));
  const shape = {
    ...(window === undefined ? {} : { window }),
    ...(softCap === undefined ? {} : { softCap }),
  };
  return {
    name: `attention, ${name}`,
    build: (builder: GraphBuilder) =>
      endIn(builder, () => {
        const row = (table: string, width: number) =>
          builder.apply(
            { op: 'embed' },
            [builder.weight(table, formatByName('f32'), [tokens, width])],
            table,
          );
        builder.enterLayer(0);
        const query = row('q', headCount * keySize);
        const key = row('k', keyValueHeadCount * keySize);
        const value = row('v', keyValueHeadCount * valueSize);
        const state = builder.apply(
          { op: 'cache-write', layer: 0, keyValueHeadCount, keySize, valueSize },
          [key, value],
          'cache',
        );
        const scale = 1 / Math.sqrt(keySize);
        return builder.apply(
          { op: 'attention', layer: 0, headCount, keyValueHeadCount, keySize, valueSize, scale, ...shape },
          [query, state, ...(sinks ? [builder.weight('sinks', formatByName('f32'), [headCount])] : [])],
          'attended',
        );
      }),
    fills,
    steps,
  };
}

const bushy = [-1, -1, 0, 0, 1, 2, 4, 4, 7];

/** Prompt in one step, a few rows more, a tree of nine, one row. */
function prefixSteps(prefix: number): CaseStep[] {
  const prompt: CaseStep[] =
    prefix === 0 ? [] : [{ rows: chain(0, prefix), committed: [0], selected: [prefix - 1] }];
  return [
    ...prompt,
    stepOf(chain(prefix, 3), prefix),
    stepOf(tree(prefix + 3, bushy), prefix + 3),
    stepOf(chain(prefix + 3, 1), prefix + 3),
  ];
}

const usual: Heads = { keyValueHeadCount: 2, group: 2, keySize: 64 };

const groupCases = [1, 2, 4, 7].flatMap((group) =>
  [32, 64, 80, 128].map((keySize) =>
    attentionCase(
      `groups of ${group}, heads of ${keySize}`,
      { keyValueHeadCount: group === 7 ? 1 : 2, group, keySize },
      prefixSteps(5),
    ),
  ),
);

const prefixCases = [0, 1, 127, 128, 129, 300].map((prefix) =>
  attentionCase(`prefix of ${prefix}`, usual, prefixSteps(prefix)),
);

const windowCases = [1, 4, 100, 128, 1000].map((window) =>
  attentionCase(`window of ${window}`, { ...usual, window }, prefixSteps(150)),
);

/** Each row's parent is one of those before it; deep and broad at once. */
const wholeTree = Array.from({ length: 64 }, (_, node) =>
  node % 3 === 0 ? Math.floor(node / 2) - 1 : node - 1,
);

const treeCases = [
  attentionCase('tree of 64', usual, [
    { rows: chain(0, 100), committed: [0], selected: [99] },
    stepOf(tree(100, wholeTree), 100),
  ]),
  attentionCase('tree without a prefix', usual, [stepOf(tree(0, bushy), 0)]),
  attentionCase('tree drafted node by node', usual, [
    stepOf(chain(0, 6), 0),
    ...bushy.map((_, node) => stepOf(tree(6, bushy).slice(node, node + 1), 6)),
  ]),
  attentionCase('window of 3 over a tree', { ...usual, window: 3 }, prefixSteps(5)),
];

/** Three sequences whose tokens differ, with a chain, a tree and a single row of them mixed in one step. */
function mixedSteps(): CaseStep[] {
  const options = (sequence: number) => ({
    sequence,
    token: (row: number) => (row * 3 + sequence * 41) % 150,
  });
  const prompts = [5, 130, 64].map((count, sequence) => chain(0, count, options(sequence)));
  const next = [chain(5, 4, options(0)), tree(130, bushy, options(1)), chain(64, 1, options(2))];
  const interleaved = Array.from({ length: 9 }, (_, index) =>
    next.flatMap((rows) => rows[index] ?? []),
  ).flat();
  return [
    { rows: prompts.flat(), committed: [0, 0, 0], selected: [4, 134, 198] },
    { rows: interleaved, committed: [5, 130, 64], selected: interleaved.map((_, index) => index) },
  ];
}

const acceptance = [1, 4, 7, 8];

const cacheCases = [
  attentionCase('three sequences in one step', usual, mixedSteps()),
  attentionCase('a path is accepted across pages', usual, [
    { rows: chain(0, 125), committed: [0], selected: [] },
    { ...stepOf(tree(125, bushy), 125), moves: acceptPath(125, acceptance) },
    stepOf(chain(129, 2), 129),
  ]),
  attentionCase('a prefix is copied to another sequence', usual, [
    { rows: chain(0, 6), committed: [0, 0], selected: [5], moves: [0, 1, 2].map((row) => shareMove(row)) },
    {
      rows: [...chain(6, 1), ...chain(3, 2, { sequence: 1, token: (row) => row + 4 })],
      committed: [6, 3],
      selected: [0, 1, 2],
    },
  ]),
  attentionCase('rejected rows are overwritten', usual, [
    stepOf(chain(0, 4), 0),
    stepOf(tree(4, bushy), 4),
    stepOf(chain(4, 3, { token: (row) => 15 - row }), 4),
  ]),
];

function shareMove(row: number) {
  return { fromSequence: 0, fromRow: row, toSequence: 1, toRow: row };
}

/** Sinks far below the scores, among them and far above, and scores that a cap changes much. */
const changedCases = [
  attentionCase('scores capped at 5', { ...usual, softCap: 5 }, prefixSteps(150), { q: normal(3) }),
  attentionCase('scores capped at 50 in a window', { ...usual, softCap: 50, window: 100 }, prefixSteps(150)),
  attentionCase('sinks', { ...usual, sinks: true }, prefixSteps(150), { sinks: normal(3) }),
  attentionCase('large sinks over a window', { ...usual, sinks: true, window: 3 }, prefixSteps(5), {
    sinks: (_, index) => [20, -200, 0, 90][index % 4] ?? 0,
  }),
  attentionCase('sinks and capped scores', { ...usual, group: 7, softCap: 5, sinks: true }, prefixSteps(5)),
];

export const attentionCases: readonly OpCase[] = [
  ...groupCases,
  ...prefixCases,
  ...windowCases,
  ...treeCases,
  ...cacheCases,
  ...changedCases,
  attentionCase('values of another size than keys', { ...usual, keySize: 32, valueSize: 48 }, prefixSteps(5)),
  attentionCase('scores far apart', usual, prefixSteps(20), { q: normal(30) }),
  attentionCase('scores all alike', usual, prefixSteps(20), { q: normal(0) }),
];
