/** Runs a calibration text through a model and sums what comes to its weight matrices. */
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
import type { ImportanceEntry, ImportanceFile } from './importance.ts';

export interface CollectOptions {
  /** Token ids; each window begins with an empty context. */
  readonly windows: readonly (readonly number[])[];
  /** Name of the text, for the file. */
  readonly dataset: string;
  readonly backend?: BackendName;
  readonly threads?: number | undefined;
  readonly memoryBudget?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (doneWindows: number, totalWindows: number) => void;
}

/** Rows of one pass: what every product reads is kept for so many. */
const rowsAtOnce = 128;

/**
 * Importances for every matrix inside the layers (not of the embedding and the head). The model is held in one memory;
 * throws `out-of-budget` where it does not fit, `bad-file` where an activation is no finite number.
 */
export async function collectImportance(
  checkpoint: Checkpoint,
  options: CollectOptions,
): Promise<ImportanceFile> {
  const { windows, backend: name = 'wasm', threads, signal, onProgress } = options;
  const opened = new Cleanup();
  try {
    const model = await openModel(checkpoint, signal);
    const backend = opened.add(await openBackend(name, threads === undefined ? {} : { threads }), (machine) =>
      machine.close(),
    );
    const budget = openBudget(options.memoryBudget);
    const graph = model.build({ maxRows: rowsAtOnce, maxSelected: 1 });
    const products = graph.nodes.flatMap((node) => productOf(node) ?? []);
    const observed = [
      ...new Set(products.flatMap(({ input, routes }) => (routes ? [input, routes] : [input]))),
    ];
    const plan = makePlan(graph, backend.describe(), { observed });
    const load = loadWeights({
      weights: plan.graph.weights,
      checkpoint,
      backend,
      budget,
      ...(signal ? { signal } : {}),
    });
    const weights = opened.add(await load, (packed) => packed.close());
    const contextLength = Math.max(1, ...windows.map((ids) => ids.length));
    const cache = opened.add(openKvCache({ backend, layout: plan.cache, contextLength, budget }), (pages) =>
      pages.close(),
    );
    const executor = opened.add(openExecutor({ backend, plan, weights, cache, budget }), (steps) =>
      steps.close(),
    );
    const sums = new Map(products.map((product) => [product.tensor, new ColumnSums(product)]));
    for (const [index, ids] of windows.entries()) {
      const sequence = cache.openSequence();
      try {
        await feed(executor, sequence, ids, signal, async () => {
          const values = new Map<Value, Numbers>();
          for (const value of observed) values.set(value, await executor.observed(value));
          for (const sum of sums.values()) sum.add(values);
        });
      } finally {
        sequence.close();
      }
      onProgress?.(index + 1, windows.length);
    }
    const entries = new Map([...sums].map(([tensor, sum]) => [tensor, sum.entry()]));
    const chunkSize = Math.max(0, ...windows.map((ids) => ids.length));
    return { entries, datasets: [options.dataset], chunkCount: windows.length, chunkSize };
  } finally {
    await opened.close();
  }
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

type Numbers = Float32Array | Float64Array;

interface Product {
  readonly tensor: string;
  readonly input: Value;
  /** Values of a row of the weight. */
  readonly columns: number;
  readonly matrices: number;
  readonly routes: Value | undefined;
}

function productOf(node: GraphNode): Product | undefined {
  const { product } = ruleOf(node.operation);
  if (!product || node.layer === undefined) return undefined;
  const weight = known(node.inputs[product.weight], 'weight');
  if (weight.kind !== 'weight') return undefined;
  const shape = weight.type.shape.map(Number);
  return {
    tensor: weight.name,
    input: known(node.inputs[product.input], 'input'),
    columns: shape.at(-1) ?? 0,
    matrices: shape.length > 2 ? (shape[0] ?? 1) : 1,
    routes: product.routes === undefined ? undefined : node.inputs[product.routes],
  };
}

/** Σ x² for each column of a weight, and how many rows that were. */
class ColumnSums {
  readonly #product: Product;
  readonly #sums: Float64Array;
  readonly #counts: Float64Array;

  constructor(product: Product) {
    this.#product = product;
    this.#sums = new Float64Array(product.columns * product.matrices);
    this.#counts = new Float64Array(product.matrices);
  }

  add(values: ReadonlyMap<Value, Numbers>): void {
    const { input, routes, columns, tensor } = this.#product;
    const x = known(values.get(input), 'observed input');
    if (!x.every(Number.isFinite)) {
      throw new NearfieldError(
        'bad-file',
        `What comes to ${tensor} is no finite number: the model is damaged`,
      );
    }
    if (routes) this.#addRouted(x, known(values.get(routes), 'observed routes'));
    else for (let start = 0; start < x.length; start += columns) this.#addRow(0, x, start);
  }

  /** Routes are [T, 2 · used], the chosen experts' numbers first; x is [T, columns] or a part for each of them. */
  #addRouted(x: Numbers, routes: Numbers): void {
    const { routes: value, input, columns } = this.#product;
    const used = Number(value?.type.shape[1]) / 2;
    const parts = Number(input.type.shape[1]) / columns;
    for (let row = 0; row < routes.length / (2 * used); row++) {
      for (let place = 0; place < used; place++) {
        const part = parts > 1 ? place : 0;
        this.#addRow(routes[row * 2 * used + place] ?? 0, x, (row * parts + part) * columns);
      }
    }
  }

  #addRow(matrix: number, x: Numbers, start: number): void {
    const { columns } = this.#product;
    const first = matrix * columns;
    for (let column = 0; column < columns; column++) {
      const value = x[start + column] ?? 0;
      this.#sums[first + column] = (this.#sums[first + column] ?? 0) + value * value;
    }
    this.#counts[matrix] = (this.#counts[matrix] ?? 0) + 1;
  }

  entry(): ImportanceEntry {
    return { sums: Float32Array.from(this.#sums), counts: Float32Array.from(this.#counts) };
  }
}
