/** Builds a graph node by node; shapes are checked as it grows. */
import { NearfieldError } from '../base/error.ts';
import type { NumberFormat } from '../format.ts';
import type {
  CacheSpec,
  Graph,
  GraphNode,
  Stage,
  StepSymbols,
  Value,
  WeightSource,
  WeightValue,
} from '../graph.ts';
import { real, symbolDim, type TensorType } from '../tensor.ts';
import { type Operation, ruleOf } from './operation.ts';

export class GraphBuilder {
  readonly symbols: StepSymbols;
  #values = 0;
  #layer: number | undefined;
  #stage: Stage = 'body';
  readonly #nodes: GraphNode[] = [];
  readonly #weights = new Map<string, WeightValue>();
  readonly #caches: CacheSpec[] = [];
  #positionCount = Number.POSITIVE_INFINITY;

  /** `maxRows` and `maxSelected` bound the two symbols of a step. */
  constructor(limits: { readonly maxRows: number; readonly maxSelected: number }) {
    this.symbols = {
      rows: symbolDim({ name: 'T', index: 0, min: 1, max: limits.maxRows }),
      selected: symbolDim({ name: 'R', index: 1, min: 0, max: limits.maxSelected }),
    };
  }

  /** Nodes added from here on belong to `layer` (undefined: to none). */
  enterLayer(layer: number | undefined): void {
    this.#layer = layer;
  }

  /** A weight by its name, that of its tensor unless `source` says otherwise; asking twice gives the same value (a tied head). */
  weight(
    name: string,
    format: NumberFormat,
    shape: readonly number[],
    source: WeightSource = { tensor: name, firstRow: 0, rowCount: shape[0] ?? 0 },
  ): WeightValue {
    const before = this.#weights.get(name);
    if (before) return before;
    const { tensor, firstRow, rowCount } = source;
    const type = { format, shape };
    const value: WeightValue = {
      ...{ id: this.#values++, name, kind: 'weight', type, tensor, firstRow, rowCount },
    };
    this.#weights.set(name, value);
    return value;
  }

  apply(operation: Operation, inputs: readonly Value[], name: string): Value {
    const rule = ruleOf(operation);
    const types = inputs.map((input) => input.type);
    const type: TensorType = rule.infer(operation, types, this.symbols);
    const positions = rule.positionCount?.(operation, types);
    if (typeof positions === 'number') this.#positionCount = Math.min(this.#positionCount, positions);
    const cache = rule.cacheSpec?.(operation);
    if (cache) this.#caches.push(cache);
    const output: Value = { id: this.#values++, name, kind: cache ? 'cache' : 'activation', type };
    const stage = rule.stage ?? this.#stage;
    this.#nodes.push({ id: this.#nodes.length, operation, inputs, output, layer: this.#layer, stage });
    return output;
  }

  /** Ends the graph: what follows `hidden` runs for the selected rows only. `head` makes the logits of those rows. */
  finish(hidden: Value, head: (selected: Value) => Value): Graph {
    if (this.#stage !== 'body') throw new NearfieldError('internal', 'A graph is finished once');
    for (const { layer } of this.#caches) {
      this.#layer = layer;
      this.apply({ op: 'cache-move', layer }, [], `blk.${layer}.cache-move`);
    }
    this.#layer = undefined;
    this.#stage = 'head';
    const logits = head(this.apply({ op: 'select-rows' }, [hidden], 'selected'));
    this.#stage = 'argmax';
    const argmax = this.apply({ op: 'argmax' }, [logits], 'argmax');
    return {
      nodes: this.#nodes,
      weights: [...this.#weights.values()],
      caches: this.#caches,
      symbols: this.symbols,
      positionCount: this.#positionCount,
      hidden,
      logits,
      argmax,
    };
  }
}

/** An activation type outside any graph, for tests of single operations. */
export function activationType(shape: TensorType['shape']): TensorType {
  return { format: real, shape };
}
