/** Runs a calibration text through a model and shows what comes to its weight matrices, pass by pass. */
import { openModel } from '../architecture.ts';
import { type BackendName, openBackend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { openExecutor, type PlanExecutor } from '../executor.ts';
import { type GraphNode, ruleOf, type Value } from '../graph.ts';
import { openKvCache, type Sequence } from '../kv-cache.ts';
import { makePlan } from '../plan.ts';
import { loadWeights, openBudget } from '../weights.ts';

export interface CalibrationOptions {
  /** Token ids; each window begins with an empty context. */
  readonly windows: readonly (readonly number[])[];
  readonly backend?: BackendName | undefined;
  readonly threads?: number | undefined;
  readonly memoryBudget?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneWindows: number, totalWindows: number) => void) | undefined;
}

/** A matrix product inside a layer. */
export interface Product {
  readonly tensor: string;
  /** [T, columns], or a part for each chosen expert. */
  readonly input: Value;
  /** Values of a row of the weight. */
  readonly columns: number;
  readonly matrices: number;
  /** [T, 2 · used], the chosen experts' numbers first. */
  readonly routes: Value | undefined;
}

export type Numbers = Float32Array | Float64Array;

/** The rows that one pass brought: of products' inputs and routes. */
export type ObservedRows = ReadonlyMap<Value, Numbers>;

/** Rows of one pass: what every product reads is kept for so many. */
const rowsAtOnce = 128;

/**
 * Runs all windows, and calls `take` after each pass with what came to the products of the model that `choose` picks. The
 * model is held in one memory; throws `out-of-budget` where it does not fit, `bad-file` where an activation is no finite
 * number.
 */
export async function runCalibration(
  checkpoint: Checkpoint,
  options: CalibrationOptions,
  choose: (products: readonly Product[]) => readonly Product[],
  take: (rows: ObservedRows) => void,
): Promise<void> {
  const { windows, backend: name = 'wasm', threads, signal, onProgress } = options;
  const opened = new Cleanup();
  try {
    const model = await openModel(checkpoint, signal);
    const machine = openBackend(name, threads === undefined ? {} : { threads });
    const backend = opened.add(await machine, (computer) => computer.close());
    const budget = openBudget(options.memoryBudget);
    const graph = model.build({ maxRows: rowsAtOnce, maxSelected: 1 });
    const chosen = choose(productsOf(graph.nodes));
    const observed = [
      ...new Set(chosen.flatMap(({ input, routes }) => (routes ? [input, routes] : [input]))),
    ];
    const plan = makePlan(graph, backend.describe(), { observed });
    const load = { weights: plan.graph.weights, checkpoint, backend, budget, ...(signal ? { signal } : {}) };
    const weights = opened.add(await loadWeights(load), (packed) => packed.close());
    const contextLength = Math.max(1, ...windows.map((ids) => ids.length));
    const pages = openKvCache({ backend, layout: plan.cache, contextLength, budget });
    const cache = opened.add(pages, (kept) => kept.close());
    const steps = openExecutor({ backend, plan, weights, cache, budget });
    const executor = opened.add(steps, (running) => running.close());
    for (const [index, ids] of windows.entries()) {
      const sequence = cache.openSequence();
      try {
        await feed(executor, sequence, ids, signal, async () => take(await readRows(executor, observed)));
      } finally {
        sequence.close();
      }
      onProgress?.(index + 1, windows.length);
    }
  } finally {
    await opened.close();
  }
}

function productsOf(nodes: readonly GraphNode[]): Product[] {
  return nodes.flatMap((node) => {
    const { product } = ruleOf(node.operation);
    if (!product || node.layer === undefined) return [];
    const weight = known(node.inputs[product.weight], 'weight');
    if (weight.kind !== 'weight') return [];
    const shape = weight.type.shape.map(Number);
    return {
      tensor: weight.name,
      input: known(node.inputs[product.input], 'input'),
      columns: shape.at(-1) ?? 0,
      matrices: shape.length > 2 ? (shape[0] ?? 1) : 1,
      routes: product.routes === undefined ? undefined : node.inputs[product.routes],
    };
  });
}

async function readRows(executor: PlanExecutor, observed: readonly Value[]): Promise<ObservedRows> {
  const rows = new Map<Value, Numbers>();
  for (const value of observed) {
    const numbers = await executor.observed(value);
    if (!numbers.every(Number.isFinite)) {
      throw new NearfieldError(
        'bad-file',
        `${value.name} is no finite number on this text: the model is damaged`,
      );
    }
    rows.set(value, numbers);
  }
  return rows;
}

/** Computes a chain of rows, `rowsAtOnce` at a time. */
async function feed(
  executor: PlanExecutor,
  sequence: Sequence,
  ids: readonly number[],
  signal: AbortSignal | undefined,
  afterPass: () => Promise<void>,
): Promise<void> {
  for (let start = 0; start < ids.length; start += rowsAtOnce) {
    const rows = ids.slice(start, start + rowsAtOnce).map((token, index) => ({
      sequence,
      token,
      position: start + index,
      parent: index === 0 ? start - 1 : { row: index - 1 },
    }));
    const { cacheRows } = await executor.run({ rows, select: { kind: 'nothing' } }, signal ? { signal } : {});
    await afterPass();
    await executor.move(sequence.commit(cacheRows));
  }
}
