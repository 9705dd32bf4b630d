/**
 * `bench --roofline`: where the time of a step goes, per class of kernels, beside what the machine gives at most in the
 * same run. Classes are timed on one thread (nothing but the kernels runs); whole steps on one and on more.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { CacheType } from '../../src/graph.ts';
import { openModelBelowEngine } from './model-below-engine.ts';
import { promptIds } from './peers/contender.ts';
import { medianOf } from './peers/median.ts';
import { type Ceilings, measureCeilings } from './roofline/measure-ceilings.ts';
import type { ClassTime, Phase, PhaseTimes } from './roofline/time-classes.ts';

const phases: readonly Phase[] = [
  { title: 'one token, empty context', depth: 0, rows: 1, repeats: 64 },
  { title: 'one token, 512 in the context', depth: 512, rows: 1, repeats: 64 },
  { title: 'one token, 4,096 in the context', depth: 4096, rows: 1, repeats: 8 },
  { title: 'a step of 8 rows', depth: 32, rows: 8, repeats: 8 },
  { title: 'a prompt of 256', depth: 0, rows: 256, repeats: 2 },
];

const warmMs = 1500;

/** Markdown. */
export async function rooflineReport(
  path: string,
  threadCounts: readonly number[],
  cacheType: CacheType,
): Promise<string> {
  const before = await measureAll(threadCounts);
  const times = await timeInOwnProcess(path, cacheType);
  const steps: number[][] = [];
  for (const threads of threadCounts) steps.push(await wholeSteps(path, threads, cacheType));
  const ceilings = bestOf(before, await measureAll(threadCounts));
  const lines = [
    '| threads | streamed reads, GB/s | 8-bit products, G operations/s | float32, G operations/s |',
    '|---:|---:|---:|---:|',
    ...ceilings.map(
      ({ threads, readGigabytes, integerGigaops, dot, floatGigaops }) =>
        `| ${threads} | ${readGigabytes.toFixed(1)} | ${integerGigaops.toFixed(0)} (${dot} dot product) | ${floatGigaops.toFixed(0)} |`,
    ),
    '',
  ];
  const [single = await measureCeilings(1)] = ceilings.filter(({ threads }) => threads === 1);
  for (const phase of times) lines.push(...phaseTable(phase, single), '');
  lines.push("Whole steps, median of the host's clock:", '');
  lines.push('| step | threads | ms | GB/s | of the ceiling | G operations/s | of the ceiling |');
  lines.push('|---|---:|---:|---:|---:|---:|---:|');
  for (const [set, ceiling] of ceilings.entries()) {
    for (const [index, milliseconds] of (steps[set] ?? []).entries()) {
      const phase = times[index];
      if (phase) lines.push(stepLine(phase, milliseconds, ceiling));
    }
  }
  return lines.join('\n');
}

async function measureAll(threadCounts: readonly number[]): Promise<Ceilings[]> {
  const ceilings: Ceilings[] = [];
  for (const threads of threadCounts) ceilings.push(await measureCeilings(threads));
  return ceilings;
}

/** A ceiling is the most that was ever seen: before and after, since other programs only take from it. */
function bestOf(before: readonly Ceilings[], after: readonly Ceilings[]): Ceilings[] {
  return before.map((one, index) => {
    const other = after[index] ?? one;
    const faster = one.integerGigaops >= other.integerGigaops ? one : other;
    return {
      ...faster,
      readGigabytes: Math.max(one.readGigabytes, other.readGigabytes),
      floatGigaops: Math.max(one.floatGigaops, other.floatGigaops),
    };
  });
}

async function timeInOwnProcess(path: string, cacheType: CacheType): Promise<PhaseTimes[]> {
  const script = fileURLToPath(new URL('./roofline/timed-child.ts', import.meta.url));
  const parameters = [script, path, cacheType, JSON.stringify(phases)];
  const { stdout } = await promisify(execFile)(process.execPath, parameters, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout) as PhaseTimes[];
}

/** What bounds a class: the slower of its bytes and its operations at the machine's best. */
function boundOf({ className, streamedBytes, operations }: ClassTime, ceiling: Ceilings) {
  const gigaops = className === 'attention' ? ceiling.floatGigaops : ceiling.integerGigaops;
  const memoryMs = streamedBytes / ceiling.readGigabytes / 1e6;
  const arithmeticMs = operations / gigaops / 1e6;
  return memoryMs >= arithmeticMs
    ? { milliseconds: memoryMs, name: 'memory' }
    : { milliseconds: arithmeticMs, name: 'arithmetic' };
}

function phaseTable({ phase, classes, otherMs }: PhaseTimes, ceiling: Ceilings): string[] {
  const totalMs = otherMs + classes.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const sorted = [...classes].sort((a, b) => b.milliseconds - a.milliseconds);
  const lines = sorted.map((entry) => {
    const { className, entries, milliseconds, streamedBytes, activationBytes, operations } = entry;
    const bound = boundOf(entry, ceiling);
    const share =
      bound.milliseconds > 0 ? `${percent(bound.milliseconds, milliseconds)} of ${bound.name}` : '';
    return `| ${[
      className,
      entries.toFixed(0),
      milliseconds.toFixed(3),
      percent(milliseconds, totalMs),
      (streamedBytes / 1e6).toFixed(2),
      (activationBytes / 1e6).toFixed(2),
      ((streamedBytes + activationBytes) / milliseconds / 1e6).toFixed(1),
      (operations / milliseconds / 1e6).toFixed(1),
      share,
    ].join(' | ')} |`;
  });
  return [
    `**${phase.title}**, one thread, ${totalMs.toFixed(2)} ms in kernels:`,
    '',
    '| class | entries | ms | of the step | weights and cache, MB | activations, MB | GB/s | G operations/s | reached |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...lines,
    `| shared tables | | ${otherMs.toFixed(3)} | ${percent(otherMs, totalMs)} | | | | | |`,
  ];
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(0)} %`;

function stepLine({ phase, classes }: PhaseTimes, milliseconds: number, ceiling: Ceilings): string {
  const bytes = classes.reduce((sum, { streamedBytes }) => sum + streamedBytes, 0);
  const operations = classes.reduce((sum, { operations: count }) => sum + count, 0);
  const [gigabytes, gigaops] = [bytes / milliseconds / 1e6, operations / milliseconds / 1e6];
  return `| ${[
    phase.title,
    ceiling.threads,
    milliseconds.toFixed(2),
    gigabytes.toFixed(1),
    percent(gigabytes, ceiling.readGigabytes),
    gigaops.toFixed(0),
    percent(gigaops, ceiling.integerGigaops),
  ].join(' | ')} |`;
}

/** Milliseconds of each phase's step. */
async function wholeSteps(path: string, threads: number, cacheType: CacheType): Promise<number[]> {
  const contextLength = Math.max(...phases.map(({ depth, rows }) => depth + rows)) + 1;
  const model = await openModelBelowEngine(path, { threads, contextLength, cacheType });
  const sequence = model.cache.openSequence();
  const run = async (rows: number): Promise<number> => {
    const chain = model.nextRows(sequence, promptIds(rows, sequence.committed));
    const began = performance.now();
    const { cacheRows } = await model.executor.run({
      rows: chain,
      select: { kind: 'argmax', rows: [rows - 1] },
    });
    const milliseconds = performance.now() - began;
    await model.executor.move(sequence.commit(cacheRows));
    return milliseconds;
  };
  const medians: number[] = [];
  try {
    for (const { depth, rows, repeats } of phases) {
      if (sequence.committed < depth) await run(depth - sequence.committed);
      const again = (): Promise<number> => {
        sequence.forget(depth);
        return run(rows);
      };
      // Threads that slept may wake on one processor and are moved apart only after a while.
      for (let spentMs = 0; spentMs < warmMs; ) spentMs += await again();
      const values: number[] = [];
      for (let repeat = 0; repeat < repeats; repeat++) values.push(await again());
      medians.push(medianOf(values));
    }
  } finally {
    await model.close();
  }
  return medians;
}
