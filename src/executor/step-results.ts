/** Reads what a pass computed into results that are reused, one for each sequence that a step begins with. */
import type { Backend, Region } from '../backend.ts';
import { known } from '../base/error.ts';
import type { RunOptions, Step } from '../executor.ts';
import type { Value } from '../graph.ts';
import type { Sequence } from '../kv-cache.ts';
import type { Operand, Plan } from '../plan.ts';
import { evaluateDim } from '../tensor.ts';
import type { AppendedRows } from './appended-rows.ts';
import { NumberBuffer, type Numbers } from './number-buffer.ts';
import type { Passes } from './passes.ts';

const none: readonly number[] = Object.freeze([]);

/** A step under way: what it selects, and where its results go. */
export interface RunningStep {
  readonly step: Step;
  readonly options: RunOptions;
  /** Ascending indices into the step's rows. */
  readonly wanted: readonly number[];
  readonly result: { cacheRows: number[]; argmax: number[]; logits: Numbers };
  /** The memory of `result.logits`. */
  readonly logits: NumberBuffer;
}

type Kept = Pick<RunningStep, 'result' | 'logits'>;

export class StepResults {
  readonly vocabularySize: number;
  readonly #backend: Backend;
  readonly #plan: Plan;
  readonly #arena: Region;
  readonly #kept = new WeakMap<Sequence, Kept>();
  readonly #argmax: NumberBuffer;
  /** Logits on their way to `onLogits`, and the rows they belong to. */
  readonly #passing: NumberBuffer;
  readonly #passingRows: number[] = [];
  readonly #noLogits: Numbers;

  constructor(backend: Backend, plan: Plan, arena: Region) {
    this.vocabularySize = evaluateDim(known(plan.graph.logits.type.shape[1], 'vocabulary size'), [1, 1]);
    this.#backend = backend;
    this.#plan = plan;
    this.#arena = arena;
    this.#argmax = new NumberBuffer(plan.argmax.form);
    this.#passing = new NumberBuffer(plan.logits.form);
    this.#noLogits = new NumberBuffer(plan.logits.form).values;
  }

  begin(step: Step, options: RunOptions, appended: AppendedRows): RunningStep {
    const { rows, select } = step;
    const wanted = select.kind === 'nothing' ? none : select.rows;
    const { sequence } = known(rows[0], 'first row');
    const { result, logits } = this.#kept.get(sequence) ?? this.#keep(sequence);
    for (let row = 0; row < rows.length; row++) result.cacheRows[row] = appended.cacheRow(row);
    result.cacheRows.length = rows.length;
    result.argmax.length = select.kind === 'argmax' ? wanted.length : 0;
    result.logits = this.#noLogits;
    if (select.kind === 'logits' && !options.onLogits) {
      logits.resize(wanted.length * this.vocabularySize);
      result.logits = logits.values;
    }
    return { step, options, wanted, result, logits };
  }

  /** Takes the results of a pass to where the caller looks for them; a promise where a machine or a caller takes its time. */
  take(run: RunningStep, pass: Passes): Promise<void> | undefined {
    const reading = this.#read(run, pass);
    return reading ? this.#deliverAfter(reading, run, pass) : this.#deliver(run, pass);
  }

  async #deliverAfter(reading: Promise<void>, run: RunningStep, pass: Passes): Promise<void> {
    await reading;
    await this.#deliver(run, pass);
  }

  /** The results of a pass are the first in the arena. */
  #read(run: RunningStep, { place: first, count, symbols }: Passes): Promise<void> | undefined {
    const size = this.vocabularySize;
    if (run.step.select.kind === 'argmax') {
      this.#argmax.resize(2 * count);
      return this.#copy(this.#plan.argmax, symbols, this.#argmax.bytes(0, 2 * count));
    }
    if (!run.options.onLogits) {
      return this.#copy(this.#plan.logits, symbols, run.logits.bytes(first * size, count * size));
    }
    this.#passing.resize(count * size);
    return this.#copy(this.#plan.logits, symbols, this.#passing.bytes(0, count * size));
  }

  /** A value that is kept to the end of a pass, as a fresh copy. */
  async observed(value: Value, symbols: readonly number[]): Promise<Numbers> {
    const { form } = this.#plan.logits;
    const operand = this.#plan.buffers.find((buffer) => buffer.value === value && buffer.form === form);
    const copy = new NumberBuffer(form);
    copy.resize(value.type.shape.reduce<number>((product, dim) => product * evaluateDim(dim, symbols), 1));
    await this.#copy(
      known(operand, `observed value ${value.name}`),
      symbols,
      copy.bytes(0, copy.values.length),
    );
    return copy.values;
  }

  #deliver(run: RunningStep, { place: first, count }: Passes): Promise<void> | undefined {
    if (run.step.select.kind === 'argmax') {
      const { values } = this.#argmax;
      for (let place = 0; place < count; place++) run.result.argmax[first + place] = values[2 * place] ?? 0;
      return undefined;
    }
    const { onLogits } = run.options;
    if (!onLogits) return undefined;
    this.#passingRows.length = 0;
    for (let place = 0; place < count; place++) this.#passingRows.push(run.wanted[first + place] ?? 0);
    return onLogits(this.#passingRows, this.#passing.values) ?? undefined;
  }

  #copy(operand: Operand, symbols: readonly number[], target: Uint8Array): Promise<void> | undefined {
    return this.#backend.read(this.#arena, evaluateDim(operand.offset, symbols), target);
  }

  #keep(sequence: Sequence): Kept {
    const logits = new NumberBuffer(this.#plan.logits.form);
    const kept = { result: { cacheRows: [], argmax: [], logits: this.#noLogits }, logits };
    this.#kept.set(sequence, kept);
    return kept;
  }
}
