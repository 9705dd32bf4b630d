/** Builds a graph whose weights come from a checkpoint, each checked against the shape the configuration calls for. */
import type { GraphLimits } from '../../architecture.ts';
import { NearfieldError } from '../../base/error.ts';
import type { Checkpoint, TensorEntry } from '../../checkpoint.ts';
import { GraphBuilder, type Operation, type Value, type WeightValue } from '../../graph.ts';
import type { RowNorm } from './family.ts';

/** `[N]`, `[N, K]`, or `[E, N, K]` of E experts. */
type WeightShape = readonly [number] | readonly [number, number] | readonly [number, number, number];

/** Of a tensor that holds several weights, one above the other. */
export interface RowRange {
  readonly first: number;
  readonly count: number;
}

export type BiasRule = 'optional' | 'required';

export class ModelBuilder {
  readonly graph: GraphBuilder;
  readonly #checkpoint: Checkpoint;

  constructor(checkpoint: Checkpoint, limits: GraphLimits) {
    this.graph = new GraphBuilder(limits);
    this.#checkpoint = checkpoint;
  }

  apply(operation: Operation, inputs: readonly Value[], name: string): Value {
    return this.graph.apply(operation, inputs, name);
  }

  has(tensor: string): boolean {
    return this.#checkpoint.tensors.has(tensor);
  }

  /** Rows of a tensor; undefined where there is no such matrix. */
  rowsOf(tensor: string): number | undefined {
    return this.#checkpoint.tensors.get(tensor)?.shape[0];
  }

  /**
   * A tensor of this shape, or some rows of it (of a vector, some values). Throws `bad-file` naming the tensor that is
   * missing or of another shape.
   */
  weight(tensor: string, shape: WeightShape, rows?: RowRange): WeightValue {
    const { format } = this.#entry(tensor, shape);
    if (!rows || rows.count === shape[0]) return this.graph.weight(tensor, format, shape);
    const name = `${tensor}[${rows.first}:${rows.first + rows.count}]`;
    const source = { tensor, firstRow: rows.first, rowCount: rows.count };
    return this.graph.weight(name, format, [rows.count, ...shape.slice(1)], source);
  }

  /** A matrix of the file whose rows, one after the other, are one vector. */
  flatWeight(tensor: string, shape: readonly [number, number]): WeightValue {
    const { format } = this.#entry(tensor, shape);
    const source = { tensor, firstRow: 0, rowCount: shape[0] };
    return this.graph.weight(`${tensor}.flat`, format, [shape[0] * shape[1]], source);
  }

  #entry(tensor: string, shape: WeightShape): TensorEntry {
    const entry = this.#checkpoint.tensors.get(tensor);
    if (!entry) {
      throw new NearfieldError(
        'bad-file',
        `Tensor ${tensor} of shape [${shape.join(', ')}] is missing from ${this.#checkpoint.name}: the file is incomplete or badly converted`,
      );
    }
    if (entry.shape.length !== shape.length || entry.shape.some((size, axis) => size !== shape[axis])) {
      throw new NearfieldError(
        'bad-file',
        `Tensor ${tensor} has shape [${entry.shape.join(', ')}] instead of [${shape.join(', ')}]: the file is damaged or badly converted`,
      );
    }
    return entry;
  }

  /**
   * `block` names a weight without its `.weight`; `[T, K]` times `[N, K]` gives `[T, N]`, plus the bias if there is one.
   * With `rows` only those of the weight and of the bias.
   */
  linear(
    input: Value,
    block: string,
    shape: readonly [number, number],
    biasRule: BiasRule = 'optional',
    rows?: RowRange,
  ): Value {
    const weight = this.weight(`${block}.weight`, shape, rows);
    const hasBias = biasRule === 'required' || this.has(`${block}.bias`);
    const bias = hasBias ? [this.weight(`${block}.bias`, [shape[0]], rows)] : [];
    return this.apply({ op: 'matmul' }, [input, weight, ...bias], rows ? `${block}[${rows.first}]` : block);
  }

  /** The same by the weights `[E, N, K]`, and the biases `[E, N]` if there are any, of the experts that the routes name. */
  expertLinear(
    input: Value,
    block: string,
    shape: readonly [number, number, number],
    routes: Value,
    usedCount: number,
  ): Value {
    const [expertCount, columns] = shape;
    const weight = this.weight(`${block}.weight`, shape);
    const bias = `${block}.bias`;
    const biases = this.has(bias) ? [this.flatWeight(bias, [expertCount, columns])] : [];
    const operation = { op: 'expert-matmul', expertCount, usedCount } as const;
    return this.apply(operation, [input, weight, routes, ...biases], block);
  }

  /** One number a row. The matrix of one row may be a vector in the file. */
  singleLinear(input: Value, block: string, inner: number): Value {
    const tensor = `${block}.weight`;
    const isVector = this.#checkpoint.tensors.get(tensor)?.shape.length === 1;
    const { format } = this.#entry(tensor, isVector ? [inner] : [1, inner]);
    const source = { tensor, firstRow: 0, rowCount: isVector ? inner : 1 };
    return this.apply(
      { op: 'matmul' },
      [input, this.graph.weight(tensor, format, [1, inner], source)],
      block,
    );
  }

  norm(input: Value, block: string, { op, bias }: RowNorm, size: number, epsilon: number): Value {
    const vectors = bias ? ['weight', 'bias'] : ['weight'];
    const operands = vectors.map((vector) => this.weight(`${block}.${vector}`, [size]));
    return this.apply({ op, epsilon }, [input, ...operands], block);
  }

  /** As it is where there is no factor. */
  scale(input: Value, factor: number | undefined): Value {
    if (factor === undefined || factor === 1) return input;
    return this.apply({ op: 'scale', factor }, [input], `${input.name}.scaled`);
  }

  add(left: Value, right: Value, name: string): Value {
    return this.apply({ op: 'add' }, [left, right], name);
  }
}
