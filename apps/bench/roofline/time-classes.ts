/** Time per class of kernels in the steps of a model, on one thread. Runs in a process of its own (`timed-child.ts`). */
import type { CacheType } from '../../../src/graph.ts';
import { openModelBelowEngine } from '../model-below-engine.ts';
import { promptIds } from '../peers/contender.ts';
import { type KernelWork, workOf } from './kernel-work.ts';
import { matchEntries } from './match-entries.ts';
import { installTapeClock } from './tape-clock.ts';
import { type Submitted, watchSubmits } from './watch-submits.ts';

export interface Phase {
  readonly title: string;
  /** Rows in the cache before, rows of the step, and how often it is repeated. */
  readonly depth: number;
  readonly rows: number;
  readonly repeats: number;
}

/** Rows of a context that are computed at a time. */
const fillRows = 128;

/** Of one step. */
export interface ClassTime extends KernelWork {
  readonly entries: number;
  readonly milliseconds: number;
}

export interface PhaseTimes {
  readonly phase: Phase;
  readonly classes: readonly ClassTime[];
  /** Entries that belong to no kernel. */
  readonly otherMs: number;
}

export async function timeClasses(
  path: string,
  cacheType: CacheType,
  phases: readonly Phase[],
): Promise<PhaseTimes[]> {
  const clock = installTapeClock();
  const submits: Submitted[] = [];
  const contextLength = Math.max(...phases.map(({ depth, rows }) => depth + rows)) + 1;
  const model = await openModelBelowEngine(path, {
    ...{ threads: 1, contextLength, cacheType },
    watch: (backend) => watchSubmits(backend, (submitted) => void submits.push(submitted)),
  });
  const machine = { capability: model.backend.describe(), cache: model.plan.cache };
  const sequence = model.cache.openSequence();
  const run = async (rows: number, last: boolean): Promise<void> => {
    const chain = model.nextRows(sequence, promptIds(rows, sequence.committed));
    const select = last ? ({ kind: 'argmax', rows: [rows - 1] } as const) : ({ kind: 'nothing' } as const);
    const { cacheRows } = await model.executor.run({ rows: chain, select });
    await model.executor.move(sequence.commit(cacheRows));
  };
  const results: PhaseTimes[] = [];
  try {
    for (const phase of phases) {
      const { depth, rows, repeats } = phase;
      if (sequence.committed > depth) sequence.forget(depth);
      while (sequence.committed < depth) {
        await run(Math.min(fillRows, depth - sequence.committed), false);
        // Of a long prompt there would be gigabytes.
        clock.take();
        submits.length = 0;
      }
      const totals = new Map<string, ClassTime>();
      let otherMs = 0;
      for (let repeat = 0; repeat <= repeats; repeat++) {
        sequence.forget(depth);
        clock.take();
        submits.length = 0;
        await run(rows, true);
        if (repeat === 0) continue;
        const kernels = submits.flatMap(({ segment, symbols }) =>
          segment.kernels.map((kernel) => ({ kernel, symbols })),
        );
        const patterns = kernels.map(({ kernel }) => kernel.pattern);
        const { kernelMs, otherMs: other } = matchEntries(clock.take(), patterns);
        otherMs += other / repeats;
        for (const [index, { kernel, symbols }] of kernels.entries()) {
          const work = workOf(kernel, machine, symbols, depth);
          addWork(totals, work, kernelMs[index] ?? 0, repeats);
        }
      }
      results.push({ phase, classes: [...totals.values()], otherMs });
    }
  } finally {
    await model.close();
  }
  return results;
}

function addWork(
  totals: Map<string, ClassTime>,
  work: KernelWork,
  milliseconds: number,
  repeats: number,
): void {
  const before = totals.get(work.className);
  const add = (key: 'streamedBytes' | 'activationBytes' | 'operations'): number =>
    (before?.[key] ?? 0) + work[key] / repeats;
  totals.set(work.className, {
    className: work.className,
    entries: (before?.entries ?? 0) + 1 / repeats,
    milliseconds: (before?.milliseconds ?? 0) + milliseconds / repeats,
    streamedBytes: add('streamedBytes'),
    activationBytes: add('activationBytes'),
    operations: add('operations'),
  });
}
