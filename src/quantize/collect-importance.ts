/** Sums of squares of what comes to a model's weight matrices while it reads a calibration text. */
import { known } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import {
  type CalibrationOptions,
  type Numbers,
  type ObservedRows,
  type Product,
  runCalibration,
} from './calibration-run.ts';
import type { ImportanceEntry, ImportanceFile } from './importance.ts';

export interface CollectOptions extends CalibrationOptions {
  /** Name of the text, for the file. */
  readonly dataset: string;
}

/** Importances for every matrix inside the layers (not of the embedding and the head). Throws as `runCalibration`. */
export async function collectImportance(
  checkpoint: Checkpoint,
  options: CollectOptions,
): Promise<ImportanceFile> {
  const sums = new Map<string, ColumnSums>();
  await runCalibration(
    checkpoint,
    options,
    (products) => {
      for (const product of products) sums.set(product.tensor, new ColumnSums(product));
      return products;
    },
    (rows) => {
      for (const sum of sums.values()) sum.add(rows);
    },
  );
  const { windows, dataset } = options;
  return {
    entries: new Map([...sums].map(([tensor, sum]) => [tensor, sum.entry()])),
    datasets: [dataset],
    chunkCount: windows.length,
    chunkSize: Math.max(0, ...windows.map((ids) => ids.length)),
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

  add(rows: ObservedRows): void {
    const { input, routes, columns } = this.#product;
    const x = known(rows.get(input), 'observed input');
    if (routes) this.#addRouted(x, known(rows.get(routes), 'observed routes'));
    else for (let start = 0; start < x.length; start += columns) this.#addRow(0, x, start);
  }

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
