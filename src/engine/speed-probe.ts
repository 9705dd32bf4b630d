/** Runs steps of a graph with made-up weights and takes their times. */
import type { Backend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { known } from '../base/error.ts';
import { openExecutor, type PlanExecutor, type Step, type StepRow } from '../executor.ts';
import type { CacheType, Graph } from '../graph.ts';
import { type KvCache, openKvCache, type Sequence } from '../kv-cache.ts';
import { makePlan } from '../plan.ts';
import { openBudget, type Weights } from '../weights.ts';

export interface ProbeOptions {
  readonly backend: Backend;
  readonly graph: Graph;
  readonly cacheType: CacheType;
  /** Of this graph's weights at least. */
  readonly weights: Weights;
  /** Rows of the cache that a step can see. */
  readonly contextLength: number;
  readonly signal: AbortSignal | undefined;
}

/** A step of `rows` rows after `depth` rows; `wanted` is what it gives back of the last. */
export interface ProbedStep {
  readonly rows: number;
  readonly depth: number;
  readonly wanted: 'nothing' | 'argmax';
}

export interface SpeedProbe {
  /**
   * Milliseconds of each of these steps. They take turns until `atMostMs` are over, at least twice, so that a machine that
   * is busy with something else for a while slows all of them alike; the first turn does not count.
   */
  measure<Steps extends readonly ProbedStep[]>(
    steps: Steps,
    atMostMs: number,
  ): Promise<{ readonly [Index in keyof Steps]: number }>;
  close(): Promise<void>;
}

export function openSpeedProbe(options: ProbeOptions): SpeedProbe {
  const { backend, graph, cacheType, weights, contextLength, signal } = options;
  const opened = new Cleanup();
  const budget = openBudget();
  const plan = makePlan(graph, backend.describe(), { cacheType });
  const cache = opened.add(openKvCache({ backend, layout: plan.cache, contextLength, budget }), (pages) =>
    pages.close(),
  );
  const executor = opened.add(openExecutor({ backend, plan, weights, cache, budget }), (steps) =>
    steps.close(),
  );
  return {
    measure: (steps, atMostMs) => takeTurns(executor, cache, steps, atMostMs, signal),
    close: () => opened.close(),
  };
}

/** Committed rows of zeros: attention costs the same over them. */
function filledSequence(cache: KvCache, length: number): Promise<Sequence> {
  return cache.restore(length, async () => {});
}

async function takeTurns<Steps extends readonly ProbedStep[]>(
  executor: PlanExecutor,
  cache: KvCache,
  steps: Steps,
  atMostMs: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly [Index in keyof Steps]: number }> {
  const sequences: Sequence[] = [];
  try {
    const runs: { readonly stepOf: (turn: number) => Step; readonly times: number[] }[] = [];
    for (const step of steps) {
      const sequence = await filledSequence(cache, step.depth);
      sequences.push(sequence);
      runs.push({ stepOf: (turn) => stepOf(step, sequence, executor.vocabularySize, turn), times: [] });
    }
    const began = performance.now();
    for (let turn = 0; turn < 2 || performance.now() - began < atMostMs; turn++) {
      for (const [index, { stepOf, times }] of runs.entries()) {
        const step = stepOf(turn);
        const start = performance.now();
        await executor.run(step, signal ? { signal } : {});
        if (turn > 0) times.push(performance.now() - start);
        sequences[index]?.forget(steps[index]?.depth ?? 0);
      }
    }
    return runs.map(({ times }) => lowerQuartile(times)) as { [Index in keyof Steps]: number };
  } finally {
    for (const sequence of sequences) sequence.close();
  }
}

/** Other tokens in every turn, for which other experts are chosen: none stays in a cache of the processor. */
function stepOf(
  { rows: rowCount, depth, wanted }: ProbedStep,
  sequence: Sequence,
  vocabularySize: number,
  turn: number,
): Step {
  const rows = Array.from({ length: rowCount }, (_, index): StepRow => {
    const parent = index === 0 ? depth - 1 : { row: index - 1 };
    const token = (turn * 7919 + index) % vocabularySize;
    return { sequence, token, position: depth + index, parent };
  });
  return { rows, select: wanted === 'nothing' ? { kind: wanted } : { kind: wanted, rows: [rowCount - 1] } };
}

/** Steadier than the median where something else runs now and then, and the same where nothing does. */
function lowerQuartile(times: number[]): number {
  times.sort((a, b) => a - b);
  return known(times[Math.floor((times.length - 1) / 4)], 'time');
}
