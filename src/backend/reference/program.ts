/** Programs of the reference backend: a segment's kernels, each one operation, run one after the other. */
import type { Program } from '../../backend.ts';
import { known, NearfieldError } from '../../base/error.ts';
import type { GraphNode, Value } from '../../graph.ts';
import type { Kernel, Operand, Plan, Segment } from '../../plan.ts';
import { evaluateDim } from '../../tensor.ts';
import { layerCache } from './layer-cache.ts';
import { runOperation } from './op-table.ts';
import { denseRows, type Rows } from './rows.ts';
import type { StepTables } from './step-tables.ts';
import type { ReferenceWeight } from './weight.ts';

/** What a program works on in one submit, resolved. */
export interface Run {
  readonly arena: ArrayBuffer;
  readonly step: StepTables;
  /** In the order of the segment's `weights`. */
  readonly weights: readonly ReferenceWeight[];
  readonly symbols: readonly number[];
}

export class ReferenceProgram implements Program {
  readonly segment: Segment;
  readonly plan: Plan;
  /** By tensor name. */
  readonly #weightPlaces: ReadonlyMap<string, number>;

  constructor(segment: Segment, plan: Plan) {
    this.segment = segment;
    this.plan = plan;
    this.#weightPlaces = new Map(segment.weights.map(({ name }, place) => [name, place]));
  }

  /** One launch, to the end. */
  runKernel(kernel: Kernel, run: Run): void {
    const [node] = kernel.nodes;
    if (!node || kernel.nodes.length !== 1) {
      throw new NearfieldError('internal', `The reference backend fuses nothing, yet got ${kernel.pattern}`);
    }
    runOperation({
      operation: node.operation,
      operands: node.inputs
        .filter((value) => value.kind !== 'cache')
        .map((value) => this.#operand(value, kernel, run)),
      output: outputOf(node, kernel, run),
      step: run.step,
      cache: (layer) => layerCache(this.plan.cache.of(layer), run.step),
    });
  }

  dispose(): void {}

  #operand(value: Value, kernel: Kernel, run: Run): Rows {
    if (value.kind === 'weight') {
      const place = known(this.#weightPlaces.get(value.name), `slot of ${value.name}`);
      return known(run.weights[place], `weight ${value.name}`).rows;
    }
    const operand = known(
      kernel.inputs.find((input) => input.value === value),
      `operand ${value.name}`,
    );
    return denseRows(valuesOf(operand, run), evaluateDim(value.type.shape.at(-1) ?? 0, run.symbols));
  }
}

/** A result that nobody reads has no place in the arena. */
function outputOf(node: GraphNode, kernel: Kernel, run: Run): Float64Array {
  const operand = kernel.outputs.find((output) => output.value === node.output);
  return operand ? valuesOf(operand, run) : new Float64Array(valueCount(node.output, run));
}

function valuesOf({ value, offset }: Operand, run: Run): Float64Array {
  return new Float64Array(run.arena, evaluateDim(offset, run.symbols), valueCount(value, run));
}

function valueCount(value: Value, run: Run): number {
  return value.type.shape.reduce<number>((product, dim) => product * evaluateDim(dim, run.symbols), 1);
}
