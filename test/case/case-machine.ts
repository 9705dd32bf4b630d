/** Runs steps of one plan on a backend: arena, step block and cache pages, as the rooms above a backend would hold them. */
import {
  type Backend,
  type PackedWeight,
  type Program,
  type Region,
  type RegionUse,
  StepBlock,
  Ticket,
} from '../../src/backend.ts';
import { known } from '../../src/base/error.ts';
import type { Stage, Value, WeightValue } from '../../src/graph.ts';
import type { Operand, Plan } from '../../src/plan.ts';
import { evaluateDim } from '../../src/tensor.ts';
import type { CaseStep } from './timeline.ts';

export type PackedWeights = ReadonlyMap<WeightValue, PackedWeight>;

/** Finite in every float format and never what a case expects: memory that nobody wrote shows up. */
const garbageByte = 0x47;

export class CaseMachine {
  readonly plan: Plan;
  readonly #backend: Backend;
  readonly #weights: PackedWeights;
  readonly #programs: readonly Program[];
  readonly #arena: Region;
  readonly #block: StepBlock;
  readonly #step: Region;
  /** Per sequence. */
  readonly #pages: readonly (readonly Region[])[];
  #symbols: readonly number[] = [];

  /** `steps`: everything that will be run; sizes are taken from it. */
  constructor(backend: Backend, plan: Plan, weights: PackedWeights, steps: readonly CaseStep[]) {
    this.plan = plan;
    this.#backend = backend;
    this.#weights = weights;
    this.#programs = plan.segments.map((segment) => backend.prepare(segment, plan));
    const most = (count: (step: CaseStep) => number) =>
      steps.reduce((size, step) => Math.max(size, count(step)), 0);
    const rows = most((step) => step.rows.length);
    const selected = most((step) => step.selected.length);
    this.#arena = this.#region(
      most((step) => evaluateDim(plan.arenaBytes, [step.rows.length, step.selected.length])),
      'case arena',
    );
    this.#pages = this.#allocatePages(steps);
    this.#block = new StepBlock({
      rows,
      selected,
      sequences: this.#pages.length,
      moves: most((step) => step.moves?.length ?? 0),
      pages: this.#pages.flat().length,
      pageRows: plan.cache.pageRows,
    });
    this.#step = this.#region(this.#block.mostBytes, 'case step');
  }

  /** Submits the segments of a step, and after them its moves. */
  async runStep(step: CaseStep): Promise<void> {
    this.#symbols = [step.rows.length, step.selected.length];
    this.#beginBlock(step);
    for (const row of step.rows) this.#block.addRow(row);
    for (const row of step.selected) this.#block.select(row);
    const stages: readonly Stage[] = step.selected.length > 0 ? ['body', 'head', 'argmax'] : ['body'];
    await this.#submit(stages, this.#symbols);
    if (!step.moves || step.moves.length === 0) return;
    this.#beginBlock(step);
    for (const { fromSequence, fromRow, toSequence, toRow } of step.moves) {
      this.#block.move(fromSequence, fromRow, toSequence, toRow);
    }
    await this.#submit(['commit'], [1, 0]);
  }

  /** Values of an operand in the backend's general form, as the last step left them. */
  async read({ value, offset, form }: Operand): Promise<Float64Array> {
    const count = value.type.shape.reduce<number>((size, dim) => size * evaluateDim(dim, this.#symbols), 1);
    const bytes = new Uint8Array(count * form.blockBytes);
    if (count > 0) await this.#backend.read(this.#arena, evaluateDim(offset, this.#symbols), bytes);
    return form.blockBytes === 8
      ? new Float64Array(bytes.buffer)
      : new Float64Array(new Float32Array(bytes.buffer));
  }

  /** All of `values` that have a place of their own until the end of the step. */
  async readAll(values: ReadonlySet<Value>): Promise<ReadonlyMap<Value, Float64Array>> {
    const form = this.#backend.describe().form;
    const read = new Map<Value, Float64Array>();
    for (const buffer of this.plan.buffers) {
      if (values.has(buffer.value) && buffer.form === form) read.set(buffer.value, await this.read(buffer));
    }
    return read;
  }

  dispose(): void {
    for (const program of this.#programs) program.dispose();
    for (const region of [this.#arena, this.#step, ...this.#pages.flat()]) this.#backend.release(region);
  }

  #region(byteLength: number, purpose: string, use?: RegionUse): Region {
    const region = this.#backend.allocate(byteLength, purpose, use);
    this.#backend.write(region, 0, new Uint8Array(byteLength).fill(garbageByte));
    return region;
  }

  /** Pages of the sequences take turns, so that no sequence's pages follow each other in memory. */
  #allocatePages(steps: readonly CaseStep[]): Region[][] {
    const rowsOf: number[] = [];
    const need = (sequence: number, row: number) => {
      rowsOf[sequence] = Math.max(rowsOf[sequence] ?? 0, row + 1);
    };
    for (const { rows, moves = [], committed } of steps) {
      committed.forEach((count, sequence) => {
        need(sequence, count - 1);
      });
      for (const { sequence, cacheRow } of rows) need(sequence, cacheRow);
      for (const { toSequence, toRow } of moves) need(toSequence, toRow);
    }
    const pages: Region[][] = rowsOf.map(() => []);
    const { pageBytes, pageRows } = this.plan.cache;
    if (pageBytes === 0) return pages;
    for (let page = Math.ceil(Math.max(...rowsOf) / pageRows) - 1; page >= 0; page--) {
      rowsOf.forEach((rows, sequence) => {
        if (page * pageRows < rows) pages[sequence]?.unshift(this.#region(pageBytes, 'case pages', 'pages'));
      });
    }
    return pages;
  }

  #beginBlock(step: CaseStep): void {
    this.#block.clear();
    this.#pages.forEach((pages, sequence) => {
      const addresses = pages.map((page) => page.addressWords);
      this.#block.addSequence(addresses, step.committed[sequence] ?? 0);
    });
  }

  async #submit(stages: readonly Stage[], symbols: readonly number[]): Promise<void> {
    this.#backend.write(this.#step, 0, this.#block.bytes);
    const ticket = new Ticket();
    for (const program of this.#programs.filter(({ segment }) => stages.includes(segment.stage))) {
      const weights = program.segment.weights.map((weight) => known(this.#weights.get(weight), weight.name));
      const bindings = { arena: this.#arena, step: this.#step, weights };
      this.#backend.submit(program, bindings, symbols, ticket);
    }
    await ticket.settled();
  }
}
