/** Opens an executor: checks the bounds, reserves and allocates what steps work in, prepares the programs. */
import { type Backend, drawBlockLayout, type Region, StepBlock } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import type { PlanExecutor, TraceEvent } from '../executor.ts';
import type { KvCache } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import { type Dim, dimBounds, evaluateDim } from '../tensor.ts';
import type { Budget, Weights } from '../weights.ts';
import { Pace, type PaceOptions } from './pace.ts';
import { QueuedExecutor } from './queued-executor.ts';
import { StageRunner } from './stage-runner.ts';

/** A tree has 64 rows at most, a copied page 127. */
const movesAtATime = 128;
const defaultSequences = 16;
/** Behind the step block. */
const drawBytes = 4 * drawBlockLayout.words;

export interface ExecutorOptions {
  readonly backend: Backend;
  /** Made for this backend. */
  readonly plan: Plan;
  readonly weights: Weights;
  readonly cache: KvCache;
  readonly budget: Budget;
  /** Rows, and rows of results, computed in one pass; at most the graph's bounds, which they are by default. */
  readonly maxRows?: number;
  readonly maxSelected?: number;
  /** Sequences in one pass; 16 by default. */
  readonly maxSequences?: number;
  /** Told of each program that ran. */
  readonly onTrace?: (event: TraceEvent) => void;
  /** Gaps between programs; without it there are none. */
  readonly gaps?: PaceOptions | undefined;
}

/** Bytes that an executor reserves which has the plan's own bounds, and sequences of so many rows; one that draws tokens, too. */
export function workspaceBytes(plan: Plan, contextLength: number, draws = false): number {
  const { rows, selected } = plan.graph.symbols;
  const [maxRows, maxSelected] = [dimBounds(rows).max, dimBounds(selected).max];
  const block = stepBlock(maxRows, maxSelected, defaultSequences, contextLength, plan.cache.pageRows);
  const arenaBytes = evaluateDim(plan.arenaBytes, [maxRows, maxSelected]);
  return arenaBytes + block.mostBytes + (draws ? drawBytes : 0);
}

function stepBlock(
  rows: number,
  selected: number,
  sequences: number,
  contextLength: number,
  pageRows: number,
): StepBlock {
  const pages = sequences * Math.ceil(contextLength / pageRows);
  return new StepBlock({ rows, selected, sequences, moves: movesAtATime, pages, pageRows });
}

/** Throws `bad-argument` for bounds beyond the graph's, `out-of-budget`. The backend, weights and cache stay the caller's. */
export function openExecutor(options: ExecutorOptions): PlanExecutor {
  const { backend, plan, weights, cache, budget } = options;
  const { rows, selected } = plan.graph.symbols;
  const maxRows = boundOf('maxRows', options.maxRows, rows);
  const maxSelected = boundOf('maxSelected', options.maxSelected, selected);
  const maxSequences = options.maxSequences ?? defaultSequences;
  if (!Number.isInteger(maxSequences) || maxSequences < 2) {
    throw new NearfieldError('bad-argument', `maxSequences is at least 2, not ${maxSequences}`);
  }
  const block = stepBlock(maxRows, maxSelected, maxSequences, cache.contextLength, plan.cache.pageRows);
  const arenaBytes = evaluateDim(plan.arenaBytes, [maxRows, maxSelected]);
  // A row's token must be known before it is computed where tables lie elsewhere, or something has to happen between programs.
  const isUnbroken = !(weights.isStreamed || weights.rows || options.onTrace);
  const draws = isUnbroken && backend.drawing !== undefined;
  const stepBytes = block.mostBytes + (draws ? drawBytes : 0);
  // The machine has as much of it in each memory.
  const reservation = budget.reserve(
    plan.weightBytes.length * (arenaBytes + stepBytes),
    'arena',
    'a smaller number of rows in one pass',
  );
  const regions: Region[] = [];
  const free = (): void => {
    for (const region of regions.splice(0)) backend.release(region);
    reservation.release();
  };
  const allocate = (bytes: number, purpose: string): Region => {
    const region = backend.allocate(bytes, purpose);
    regions.push(region);
    return region;
  };
  try {
    const arena = allocate(arenaBytes, 'arena');
    const step = allocate(stepBytes, 'step');
    const pace = options.gaps && new Pace(options.gaps);
    const runner = new StageRunner({ backend, plan, weights, arena, step, onTrace: options.onTrace, pace });
    const limits = { maxRows, maxSelected, maxSequences, maxMoves: movesAtATime };
    return new QueuedExecutor({
      ...{ backend, plan, cache, weights, runner, block, arena, step, limits, free, draws, pace },
      arenaBytes: reservation.bytes,
    });
  } catch (error) {
    free();
    throw error;
  }
}

function boundOf(name: string, wanted: number | undefined, symbol: Dim): number {
  const { max } = dimBounds(symbol);
  const bound = wanted ?? max;
  if (Number.isInteger(bound) && bound >= 1 && bound <= max) return bound;
  throw new NearfieldError('bad-argument', `${name} is from 1 to ${max}, the plan's bound, not ${bound}`);
}
