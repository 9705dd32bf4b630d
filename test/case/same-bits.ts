/**
 * Same rows, same bits: the logits of a row must not depend on the rows beside it, on how a prompt is cut in steps, or on
 * whether a branch stands in a tree. For backends that promise it.
 */
import type { Backend } from '../../src/backend.ts';
import { type CacheType, type Graph, GraphBuilder } from '../../src/graph.ts';
import { makePlan } from '../../src/plan.ts';
import { CaseMachine, type PackedWeights } from './case-machine.ts';
import { buildLayers, type LayerShape, layerFills, smallShape } from './layer-cases.ts';
import { packWeights } from './run-cases.ts';
import { type CaseStep, chain, pathTo, stepOf, tree } from './timeline.ts';

/** Both reach into a second page. */
const promptLength = 145;
const prefix = 120;
const parents = [-1, 0, 0, 1, -1, 4, 4, 2, 7, 8, 3, 10];
const token = (row: number) => (row * 11 + 5) % 70;

const shapes: readonly LayerShape[] = [
  smallShape,
  { ...smallShape, format: 'q8_0', inner: 96, pairing: 'split', bias: true, window: 7 },
  { ...smallShape, format: 'q4_k', hidden: 256, inner: 256, headSize: 64, layers: 1 },
  { ...smallShape, headSize: 32, group: 3, window: 50, layers: 1 },
  {
    ...{
      ...smallShape,
      format: 'q8_0',
      inner: 96,
      bias: true,
      layerNorm: true,
      headNorm: true,
      parallel: true,
    },
    feedForward: { activation: 'gelu-tanh' },
  },
  { ...smallShape, inner: 24, experts: [7, 3], layers: 1 },
  { ...smallShape, format: 'q4_0', inner: 96, experts: [6, 2], layers: 1 },
];

/** Returns one line for each way in which rows differed. */
export async function differingBits(backend: Backend, cacheType: CacheType = 'f32'): Promise<string[]> {
  const problems: string[] = [];
  for (const shape of shapes) {
    if (cacheType === 'q8_0' && shape.headSize % 32 !== 0) continue;
    const builder = new GraphBuilder({ maxRows: 2 * promptLength, maxSelected: 2 * promptLength });
    const graph = buildLayers(builder, shape);
    const opCase = { name: 'same bits', build: () => graph, fills: layerFills(shape), steps: [] };
    const { packed } = await packWeights(backend, graph, opCase);
    const found = [
      ...(await promptProblems(backend, graph, packed, cacheType)),
      ...(await treeProblems(backend, graph, packed, cacheType)),
    ];
    problems.push(...found.map((problem) => `${shape.format}: ${problem}`));
    for (const weight of packed.values()) backend.unpack(weight);
  }
  return problems;
}

type Logits = readonly Float64Array[];

/** Logits of every row of every step, in order. */
async function runSteps(
  backend: Backend,
  graph: Graph,
  packed: PackedWeights,
  steps: readonly CaseStep[],
  cacheType: CacheType,
): Promise<Logits> {
  const machine = new CaseMachine(backend, makePlan(graph, backend.describe(), { cacheType }), packed, steps);
  const rows: Float64Array[] = [];
  for (const step of steps) {
    await machine.runStep(step);
    const logits = await machine.read(machine.plan.logits);
    const width = logits.length / step.rows.length;
    step.rows.forEach((_, row) => {
      rows.push(logits.slice(row * width, (row + 1) * width));
    });
  }
  machine.dispose();
  return rows;
}

const differs = (left: Float64Array | undefined, right: Float64Array | undefined): boolean =>
  !left || !right || left.length === 0 || left.some((value, index) => !Object.is(value, right[index]));

function differences(how: string, left: Logits, right: Logits): string[] {
  const count = left.filter((row, index) => differs(row, right[index])).length;
  return count === 0 ? [] : [`${count} of ${left.length} rows differ ${how}`];
}

const chunks = (size: number): CaseStep[] =>
  Array.from({ length: Math.ceil(promptLength / size) }, (_, index) =>
    stepOf(chain(index * size, Math.min(size, promptLength - index * size), { token }), index * size),
  );

async function promptProblems(
  backend: Backend,
  graph: Graph,
  packed: PackedWeights,
  cacheType: CacheType,
): Promise<string[]> {
  const run = (steps: readonly CaseStep[]) => runSteps(backend, graph, packed, steps, cacheType);
  const whole = await run(chunks(promptLength));
  const other = chain(0, promptLength, { token: (row) => token(row + 1), sequence: 1 });
  const pairs = chain(0, promptLength, { token }).flatMap((row, index) => [row, other[index] ?? row]);
  const beside = await run([{ ...stepOf(pairs, 0), committed: [0, 0] }]);
  return [
    ...differences('in chunks of 7', whole, await run(chunks(7))),
    ...differences('token by token', whole, await run(chunks(1))),
    ...differences(
      'beside another sequence',
      whole,
      beside.filter((_, index) => index % 2 === 0),
    ),
  ];
}

/** The tree's rows in one step, one step each, and every branch alone as a chain. */
async function treeProblems(
  backend: Backend,
  graph: Graph,
  packed: PackedWeights,
  cacheType: CacheType,
): Promise<string[]> {
  const prompt = stepOf(chain(0, prefix, { token }), 0);
  const nodes = tree(prefix, parents, { token });
  const run = async (steps: readonly CaseStep[]) =>
    (await runSteps(backend, graph, packed, [prompt, ...steps], cacheType)).slice(prefix);
  const whole = await run([stepOf(nodes, prefix)]);
  const problems = differences(
    'drafted node by node',
    whole,
    await run(nodes.map((node) => stepOf([node], prefix))),
  );
  const leaves = parents.flatMap((_, node) => (parents.includes(node) ? [] : [node]));
  for (const leaf of leaves) {
    const path = pathTo(parents, leaf);
    const alone = await run(
      path.map((node, depth) =>
        stepOf(chain(prefix + depth, 1, { token: () => token(prefix + node) }), prefix + depth),
      ),
    );
    const inTree = path.flatMap((node) => whole[node] ?? []);
    problems.push(...differences(`between the tree and its branch to ${leaf} alone`, inTree, alone));
  }
  return problems;
}
