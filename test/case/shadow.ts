/**
 * The exact evaluation beside a backend: every node in float64 by the reference's functions, with a bound on how far the
 * backend may be. Where a value of the backend can be seen it is compared and then taken over, so that each kernel is
 * judged by its own rounding; where fusion hides a value its bound travels on.
 */
import type { LayerCache } from '../../src/backend/reference/layer-cache.ts';
import { runOperation } from '../../src/backend/reference/op-table.ts';
import { roundCached } from '../../src/backend/reference/round-cached.ts';
import { denseRows } from '../../src/backend/reference/rows.ts';
import { type StepTables, type TableRow, visibleRows } from '../../src/backend/reference/step-tables.ts';
import { known } from '../../src/base/error.ts';
import {
  type CacheType,
  type Graph,
  type GraphNode,
  type Operation,
  type Roundoff,
  ruleOf,
  type Value,
} from '../../src/graph.ts';
import type { Capability } from '../../src/plan.ts';
import { evaluateDim } from '../../src/tensor.ts';
import { type Approximate, propagateErrors } from './propagate.ts';
import type { CaseStep } from './timeline.ts';

/** Covers results that a backend's arithmetic flushes to zero. */
const underflow = 2 ** -100;
/** What first-order propagation leaves out. */
const slack = 1.05;

/** A layer's rows by sequence and cache row, made when first asked for. */
class ShadowCache implements LayerCache {
  readonly #rows = new Map<string, Float64Array>();
  readonly #keyWidth: number;
  readonly #valueWidth: number;
  readonly #keep: (row: Float64Array) => void;

  constructor(keyWidth: number, valueWidth: number, keep: (row: Float64Array) => void) {
    this.#keyWidth = keyWidth;
    this.#valueWidth = valueWidth;
    this.#keep = keep;
  }

  write(sequence: number, cacheRow: number, key: Float64Array, value: Float64Array): void {
    for (const [row, source] of [
      [this.key(sequence, cacheRow), key],
      [this.value(sequence, cacheRow), value],
    ] as const) {
      row.set(source);
      this.#keep(row);
    }
  }

  key(sequence: number, cacheRow: number): Float64Array {
    return this.#row(`key ${sequence} ${cacheRow}`, this.#keyWidth);
  }

  value(sequence: number, cacheRow: number): Float64Array {
    return this.#row(`value ${sequence} ${cacheRow}`, this.#valueWidth);
  }

  #row(name: string, width: number): Float64Array {
    const row = this.#rows.get(name) ?? new Float64Array(width);
    this.#rows.set(name, row);
    return row;
  }
}

export class Shadow {
  readonly #graph: Graph;
  readonly #capability: Capability;
  readonly #weights: ReadonlyMap<Value, Float64Array>;
  readonly #cacheType: CacheType;
  readonly #caches = new Map<number, { readonly data: ShadowCache; readonly error: ShadowCache }>();

  /** `weights`: decoded values of every weight of the graph. */
  constructor(
    graph: Graph,
    capability: Capability,
    weights: ReadonlyMap<Value, Float64Array>,
    cacheType: CacheType = 'f32',
  ) {
    this.#cacheType = cacheType;
    this.#graph = graph;
    this.#capability = capability;
    this.#weights = weights;
    for (const { layer, keyValueHeadCount, keySize, valueSize } of graph.caches) {
      const make = (keep: (row: Float64Array) => void) =>
        new ShadowCache(keyValueHeadCount * keySize, keyValueHeadCount * valueSize, keep);
      const data = make((row) => roundCached(cacheType, row));
      this.#caches.set(layer, { data, error: make(() => {}) });
    }
  }

  /** Evaluates a step. `seen` gives the backend's values where they can be read. Returns one line per value that is off. */
  runStep(step: CaseStep, seen: (value: Value) => Float64Array | undefined): string[] {
    const problems: string[] = [];
    const values = new Map<Value, Approximate>();
    const symbols = [step.rows.length, step.selected.length];
    const tables: StepTables = {
      rows: step.rows,
      selected: step.selected,
      sequences: step.committed.map((committed) => ({ pages: [], committed })),
      moves: step.moves ?? [],
    };
    for (const node of this.#nodesOf(step)) {
      const operands = node.inputs
        .filter((input) => input.kind !== 'cache')
        .map((input) => values.get(input) ?? this.#weight(input));
      const size = (axis: number) => evaluateDim(node.output.type.shape[axis] ?? 1, symbols);
      const shape: [number, number] = [size(0), size(1)];
      let result: Approximate = { ...this.#evaluate(node, operands, shape, tables), shape };
      const actual = node.output.kind === 'activation' ? seen(node.output) : undefined;
      if (actual) {
        const problem = compare(node.output, result, actual);
        if (problem) problems.push(problem);
        result = { data: actual, error: new Float64Array(actual.length), shape };
      }
      values.set(node.output, result);
    }
    return problems;
  }

  /** In the order of the stages. */
  #nodesOf({ selected, moves = [] }: CaseStep): GraphNode[] {
    const of = (stage: GraphNode['stage']) => this.#graph.nodes.filter((node) => node.stage === stage);
    return [
      ...of('body'),
      ...(selected.length > 0 ? [...of('head'), ...of('argmax')] : []),
      ...(moves.length > 0 ? of('commit') : []),
    ];
  }

  #weight(value: Value): Approximate {
    const data = known(this.#weights.get(value), `values of ${value.name}`);
    const width = evaluateDim(value.type.shape.at(-1) ?? 1, []);
    return { data, error: new Float64Array(data.length), shape: [data.length / width, width] };
  }

  #evaluate(
    { operation, inputs }: GraphNode,
    operands: readonly Approximate[],
    shape: readonly [number, number],
    step: StepTables,
  ): { data: Float64Array; error: Float64Array } {
    const run = (part: 'data' | 'error') => {
      const output = new Float64Array(shape[0] * shape[1]);
      runOperation({
        operation,
        operands: operands.map((operand) => denseRows(operand[part], operand.shape[1])),
        output,
        step,
        cache: (layer) => known(this.#caches.get(layer), `cache of layer ${layer}`)[part],
      });
      return output;
    };
    const data = run('data');
    const weight = inputs.find((input) => input.kind === 'weight');
    const format = this.#graph.weights.find((candidate) => candidate === weight)?.type.format;
    const roundoff = this.#capability.roundoff(format);
    if (operation.op === 'attention')
      return { data, error: this.#attentionError(operation, operands, data, step, roundoff) };
    const own = ruleOf(operation).errorBound({ operation, operands, result: data, roundoff });
    const inherited = propagateErrors(operation, operands, data) ?? copiedError(operation, run);
    if (operation.op === 'cache-write') this.#widenCached(operation, step);
    return { data, error: own.map((bound, index) => bound + slack * (inherited[index] ?? 0)) };
  }

  /** Values that may be off may round to a neighbour. */
  #widenCached({ layer }: Extract<Operation, { op: 'cache-write' }>, { rows }: StepTables): void {
    const { data, error } = known(this.#caches.get(layer), 'cache');
    for (const { sequence, cacheRow } of rows) {
      for (const part of ['key', 'value'] as const) {
        const steps = cacheSteps(this.#cacheType, data[part](sequence, cacheRow));
        const errors = error[part](sequence, cacheRow);
        errors.forEach((bound, index) => {
          errors[index] = bound > 0 ? bound + (steps[index] ?? 0) : 0;
        });
      }
    }
  }

  /** Row by row, with just the keys and values that the row sees. */
  #attentionError(
    operation: Extract<Operation, { op: 'attention' }>,
    [queries]: readonly Approximate[],
    result: Float64Array,
    step: StepTables,
    roundoff: Roundoff,
  ): Float64Array {
    const { data, error } = known(this.#caches.get(operation.layer), 'cache');
    const width = known(queries, 'query').shape[1];
    const resultWidth = operation.headCount * operation.valueSize;
    const bounds = new Float64Array(result.length);
    step.rows.forEach((row, index) => {
      const seen = seenRows(row, step, operation.window);
      const slice = (values: Float64Array, size: number) => values.subarray(index * size, (index + 1) * size);
      const query: Approximate = {
        data: slice(known(queries, 'query').data, width),
        error: withQueryRounding(
          this.#cacheType,
          slice(known(queries, 'query').data, width),
          slice(known(queries, 'query').error, width),
        ),
        shape: [1, width],
      };
      const gather = (part: 'key' | 'value'): Approximate => {
        const [rows, errors] = [data, error].map((cache) =>
          seen.map((cacheRow) => cache[part](row.sequence, cacheRow)),
        );
        const rowWidth = rows?.[0]?.length ?? 0;
        return { data: joined(rows ?? []), error: joined(errors ?? []), shape: [seen.length, rowWidth] };
      };
      const operands = [query, gather('key'), gather('value')];
      const own = slice(result, resultWidth);
      const weightRounding = weightShare[this.#cacheType] * largestOf(operands[2]?.data ?? own);
      const bound = ruleOf(operation).errorBound({ operation, operands, result: own, roundoff });
      const inherited = propagateErrors(operation, operands, own);
      bound.forEach((value, place) => {
        bounds[index * resultWidth + place] = value + slack * (inherited?.[place] ?? 0) + weightRounding;
      });
    });
    return bounds;
  }
}

/** Distance of neighbouring values that a cached row can hold, value by value. */
function cacheSteps(type: CacheType, row: Float64Array): Float64Array {
  if (type === 'f32') return new Float64Array(row.length);
  if (type === 'f16') return row.map((value) => Math.abs(value) * 2 ** -10 + 2 ** -24);
  return row.map((_, index) => largestOf(row.subarray(index & ~31, (index & ~31) + 32)) / 127);
}

/** Integer kernels may round queries to fourteen bits of the largest value of a head, here of the row. */
function withQueryRounding(type: CacheType, query: Float64Array, error: Float64Array): Float64Array {
  if (type !== 'q8_0') return error;
  const rounding = largestOf(query) / 16000;
  return error.map((bound) => bound + rounding);
}

/** And weights to fourteen bits of the largest in a block of 128 rows: each row half a step off, as a share of max|v|. */
const weightShare: Readonly<Record<CacheType, number>> = { f32: 0, f16: 1e-6, q8_0: 128 / 32000 };

function largestOf(values: Float64Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

function seenRows(row: TableRow, step: StepTables, window = Number.POSITIVE_INFINITY): number[] {
  const visible = visibleRows(row, known(step.sequences[row.sequence], 'sequence').committed);
  return visible.slice(Math.max(0, visible.length - window));
}

function joined(rows: readonly Float64Array[]): Float64Array {
  const width = rows[0]?.length ?? 0;
  const all = new Float64Array(rows.length * width);
  rows.forEach((row, index) => {
    all.set(row, index * width);
  });
  return all;
}

/** Copies carry errors as they carry values. An arg-max is exact: the logits it reads can always be seen. */
function copiedError(operation: Operation, run: (part: 'error') => Float64Array): Float64Array {
  return operation.op === 'argmax' ? new Float64Array() : run('error');
}

function compare(value: Value, exact: Approximate, actual: Float64Array): string | undefined {
  if (!exact.error.every(Number.isFinite)) return `${value.name} could be anything: the case proves nothing`;
  let worst = -1;
  let worstRatio = 1;
  exact.data.forEach((expected, index) => {
    const bound = (exact.error[index] ?? 0) + underflow;
    const off = Math.abs((actual[index] ?? Number.NaN) - expected) / bound;
    // An infinite expectation of the same sign gives NaN: equal values are never off.
    if (!(off <= worstRatio) && actual[index] !== expected) {
      worst = index;
      worstRatio = Number.isNaN(off) ? Number.POSITIVE_INFINITY : off;
    }
  });
  if (worst < 0) return undefined;
  const [row, column] = [Math.floor(worst / exact.shape[1]), worst % exact.shape[1]];
  return `${value.name}[${row}, ${column}] is ${actual[worst]}, exact ${exact.data[worst]}, allowed ±${exact.error[worst]} (${worstRatio.toPrecision(3)} times)`;
}
