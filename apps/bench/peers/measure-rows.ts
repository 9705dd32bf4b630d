/** Measures all rows on a set of contenders, in turn: each repeat of a row goes round the contenders once. */
import { disturbingLoad, untilQuiet, watchForeignLoad } from '../foreign-load.ts';
import { ChildContender } from './child-contender.ts';
import type { ContenderSpec } from './contender.ts';
import { medianOf } from './median.ts';
import type { Row } from './rows.ts';

export interface Patience {
  /** Rounds of a row, and of cold starts. */
  readonly repeats: number;
  readonly starts: number;
  /** Milliseconds that one decoding run is sized for. */
  readonly runMs: number;
  /** After so many milliseconds a contender takes no further rounds of a row. */
  readonly rowMs: number;
  /** A context that would take longer to fill is left out. */
  readonly fillMs: number;
  /** How long each run waits for other programs to leave the machine. */
  readonly quietMs: number;
}

export interface Measurement {
  readonly row: string;
  readonly spec: ContenderSpec;
  /** In the row's unit, one per run in which other programs took less than a tenth of the machine, or per run where
   * there is no such run; empty where `note` says why. */
  readonly values: readonly number[];
  /** No run was left alone. */
  readonly disturbed?: boolean;
  readonly note?: string;
}

export interface ContenderReport {
  readonly spec: ContenderSpec;
  readonly about: string;
  readonly peakBytes: number;
}

export interface MeasuredSet {
  readonly measurements: readonly Measurement[];
  readonly contenders: readonly ContenderReport[];
  /** Share of all processors' time that programs outside the benchmark took, from the last cold start on. */
  readonly foreignLoad?: number | undefined;
}

/** Of a prompt: tokens to warm up with, and tokens for engines with which all of them would take minutes. */
const [warmTokens, slowPromptTokens] = [32, 128];

interface Runner {
  readonly contender: ChildContender;
  /** Tokens per second of a long prompt; decides what can be waited for. */
  promptRate: number;
  failure: string | undefined;
}

export async function measureRows(
  specs: readonly ContenderSpec[],
  rows: readonly Row[],
  patience: Patience,
  say: (line: string) => void,
): Promise<MeasuredSet> {
  const measurements: Measurement[] = [];
  const starting = rows.find(({ kind }) => kind === 'first-token');
  const runners = await startAll(specs, starting, patience, measurements, say);
  const foreignLoad = watchForeignLoad();
  try {
    for (const row of rows) {
      if (row.kind === 'first-token') continue;
      for (const measurement of await measureRow(row, runners, patience)) {
        measurements.push(measurement);
        const { values, note, disturbed = false } = measurement;
        say(
          `  ${row.name}, ${nameOf(measurement.spec)}: ${note ?? values.map((value) => value.toFixed(2)).join(' ')}${disturbed ? ' (disturbed)' : ''}`,
        );
      }
    }
    const contenders: ContenderReport[] = [];
    for (const { contender, failure } of runners) {
      const peakBytes = failure === undefined ? await contender.ask('peakBytes') : 0;
      contenders.push({ spec: contender.spec, about: contender.about, peakBytes });
    }
    return { measurements, contenders, foreignLoad: foreignLoad() };
  } finally {
    for (const { contender } of runners) await contender.close();
  }
}

export function nameOf({ kind, threads, flashAttention, cache }: ContenderSpec): string {
  const flash = kind === 'native' ? `, flash ${flashAttention ? 'on' : 'off'}` : '';
  return `${kind}, ${threads} threads${flash}${cache === undefined ? '' : `, ${cache}`}`;
}

/** Cold starts in turn; the last of each contender stays. */
async function startAll(
  specs: readonly ContenderSpec[],
  row: Row | undefined,
  { starts }: Patience,
  measurements: Measurement[],
  say: (line: string) => void,
): Promise<Runner[]> {
  const runners: Runner[] = [];
  const times = specs.map((): number[] => []);
  const failures = new Map<ContenderSpec, string>();
  const rounds = row ? starts : 1;
  for (let round = 0; round < rounds; round++) {
    for (const [index, spec] of specs.entries()) {
      if (failures.has(spec)) continue;
      try {
        const contender = await ChildContender.open(spec);
        times[index]?.push(contender.firstTokenMs);
        if (round < rounds - 1) await contender.close();
        else runners.push({ contender, promptRate: 0, failure: undefined });
      } catch (error) {
        failures.set(spec, (error as Error).message.split('\n')[0] ?? 'failed');
      }
    }
  }
  for (const [index, spec] of specs.entries()) {
    const note = failures.get(spec);
    const values = times[index] ?? [];
    if (row) measurements.push({ row: row.name, spec, values, ...(note === undefined ? {} : { note }) });
    say(`  start, ${nameOf(spec)}: ${note ?? values.map((value) => value.toFixed(0)).join(' ')}`);
  }
  return runners;
}

async function measureRow(row: Row, runners: readonly Runner[], patience: Patience): Promise<Measurement[]> {
  const states = [];
  for (const runner of runners) states.push(await prepare(row, runner, patience));
  for (let round = 0; round < patience.repeats; round++) {
    for (const state of states) {
      if (state.note !== undefined || state.spentMs > patience.rowMs) continue;
      await untilQuiet(patience.quietMs);
      const began = performance.now();
      const foreignLoad = watchForeignLoad();
      try {
        const value = await state.run();
        state.runs.push({ value, load: foreignLoad() ?? 0 });
      } catch (error) {
        state.runner.failure = (error as Error).message;
        state.note = state.runner.failure;
      }
      state.spentMs += performance.now() - began;
    }
  }
  return states.map(({ runner, runs, note }) => {
    const calm = runs.filter(({ load }) => load <= disturbingLoad);
    const values = (calm.length > 0 ? calm : runs).map(({ value }) => value);
    const disturbed = runs.length > 0 && calm.length === 0;
    if (row.kind === 'prompt' && row.depth === 0) runner.promptRate = Math.max(0, ...values);
    const remark = note === undefined ? {} : { note };
    return { row: row.name, spec: runner.contender.spec, values, disturbed, ...remark };
  });
}

interface RowState {
  readonly runner: Runner;
  readonly runs: { readonly value: number; readonly load: number }[];
  readonly run: () => Promise<number>;
  note: string | undefined;
  spentMs: number;
}

/**
 * Fills the context and warms up; a note where the row is left out. Each run begins with one that is not timed: threads
 * that slept while others had their turn wake on one processor and are moved apart only after a while.
 */
async function prepare(row: Row, runner: Runner, patience: Patience): Promise<RowState> {
  const { contender } = runner;
  const state = (run: () => Promise<number>, note?: string): RowState => ({
    ...{ runner, run, note, runs: [], spentMs: 0 },
  });
  const out = (note: string): RowState => state(async () => 0, note);
  if (runner.failure !== undefined) return out(runner.failure);
  if (row.kind === 'step' && !contender.canStep) return out('no way to ask for it');
  // Rows late in a context cost more than early ones.
  const fillMs = runner.promptRate > 0 ? (1500 * row.depth) / runner.promptRate : 0;
  if (fillMs > patience.fillMs) return out(`filling the context would take ${(fillMs / 1000).toFixed(0)} s`);
  try {
    if (row.kind === 'prompt') {
      const warmMs = await contender.ask('prompt', row.depth, warmTokens);
      const isSlow = (row.tokens / warmTokens) * warmMs > patience.fillMs / 4;
      const tokens = isSlow ? slowPromptTokens : row.tokens;
      return state(async () => {
        await contender.ask('prompt', row.depth, warmTokens);
        return (tokens / (await contender.ask('prompt', row.depth, tokens))) * 1000;
      });
    }
    if (row.kind === 'step') {
      await contender.ask('step', row.depth, row.tokens);
      return state(() => stepRatio(contender, row));
    }
    const milliseconds = await contender.ask('decode', row.depth, 4);
    const tokens = Math.round(Math.min(64, Math.max(4, (4 * patience.runMs) / milliseconds)));
    return state(async () => {
      await contender.ask('decode', row.depth, tokens);
      return (tokens / (await contender.ask('decode', row.depth, tokens))) * 1000;
    });
  } catch (error) {
    runner.failure = (error as Error).message;
    return out(runner.failure);
  }
}

/** Medians of alternating steps, so that both see the same disturbances. */
async function stepRatio(contender: ChildContender, { depth, tokens }: Row): Promise<number> {
  const [large, one]: [number[], number[]] = [[], []];
  await contender.ask('decode', depth, 64);
  for (let repeat = 0; repeat < 7; repeat++) {
    one.push(await contender.ask('step', depth, 1));
    large.push(await contender.ask('step', depth, tokens));
  }
  return medianOf(large) / medianOf(one);
}
