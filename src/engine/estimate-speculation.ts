/**
 * What a draft would cost and when it would pay, before either model is loaded. How often the model agrees with it is not
 * among what can be measured without the weights, so it is the answer instead: the acceptance from which on it pays.
 *
 *   pass(rows)  = max(compute(1) + (rows − 1) · row, streamed bytes / reading rate)
 *   a chain of k tokens yields  1 + a + a² + … + a^k  tokens where each is accepted with probability a after the one before
 *   it pays from the a where that equals  (k · draft + pass(k + 1)) / pass(1)
 */
import { openModel } from '../architecture.ts';
import { openBackend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { known, NearfieldError } from '../base/error.ts';
import { openCheckpoint } from '../checkpoint.ts';
import type { ModelInput } from '../engine.ts';
import { workspaceBytes } from '../executor.ts';
import { fullCacheBytes } from '../kv-cache.ts';
import { makePlan, type Plan } from '../plan.ts';
import { openTokenizer } from '../tokenizer.ts';
import { openBudget } from '../weights.ts';
import type { EstimateOptions } from './estimate.ts';
import { measureReading } from './measure-reading.ts';
import { type MeasuredSpeed, measureSpeed } from './measure-speed.ts';
import { planForBudget } from './open-weights.ts';
import { defaultBackend, defaultCacheType, defaultChunkRows, selectedRows } from './pass-bounds.ts';
import { expectSharedVocabulary } from './shared-vocabulary.ts';

export interface SpeculationEstimate {
  readonly draft: {
    readonly source: string;
    /** Weights and activations, and a context of as many rows as the model's. */
    readonly bytes: number;
    readonly passMs: number;
  };
  readonly model: {
    /** Of one row, and what each further row adds. */
    readonly computeMs: number;
    readonly rowMs: number;
    /** Of one row, reading included. */
    readonly passMs: number;
    /** Read in each pass; 0 where all of it stays in memory. */
    readonly bytesPerPass: number;
    readonly readMs: number;
  };
  /** As the file was read just now, from the disk or from the system's memory; undefined where nothing is streamed. */
  readonly readBytesPerSecond: number | undefined;
  /** The chain that pays from the least acceptance on; undefined where none of up to 16 tokens ever does. */
  readonly breakEven: { readonly chain: number; readonly acceptance: number } | undefined;
}

const longestChain = 16;
const rowsMeasured = 512;

/** Reads headers and a part of the model's file, and measures for some seconds; rejects as `loadEngine` does. */
export async function estimateSpeculation(
  input: ModelInput,
  draft: ModelInput,
  options: EstimateOptions = {},
): Promise<SpeculationEstimate> {
  const { signal, threads, assets, memoryBudget, contextLength } = options;
  const opened = new Cleanup();
  try {
    const name =
      options.backend === undefined || options.backend === 'auto' ? defaultBackend : options.backend;
    const cacheType = options.cacheType ?? defaultCacheType(name);
    const target = await openSide(input, options, opened);
    const small = await openSide(draft, options, opened);
    expectSharedVocabulary(target, small);
    const open = openBackend(name, {
      ...(threads === undefined ? {} : { threads }),
      ...(assets ? { assets } : {}),
    });
    const backend = opened.add(await open, (machine) => machine.close());
    const planned = { cacheType, ...(contextLength === undefined ? {} : { contextRows: contextLength }) };
    const [plan, draftPlan] = [target, small].map(({ graph }) =>
      makePlan(graph, backend.describe(), planned),
    );
    const rows = contextLength ?? target.model.description.contextLength;
    const draftRows = Math.min(rows, small.model.description.contextLength);
    const held = heldBytes(known(draftPlan, 'plan of the draft'), draftRows);
    const budget = openBudget(memoryBudget);
    budget.reserve(held.atOnce, 'draft');
    const stream = planForBudget(
      { backend, plan: known(plan, 'plan of the model') },
      {
        ...{ model: target.model, cacheType, budget, mostRows: defaultChunkRows },
        ...(contextLength === undefined ? {} : { contextLength }),
        ...(options.chunkRows === undefined ? {} : { chunkRows: options.chunkRows }),
        draft: { cache: known(draftPlan, 'plan of the draft').cache },
      },
    );
    const bytesPerPass = stream?.residency.streamedBytes ?? 0;
    const readRate = stream ? await measureReading(target.checkpoint, signal) : undefined;
    const machine = { backend, cacheType, residentBytes: () => 0, signal };
    const model = passTimes(await measureSpeed(target.graph, machine));
    const readMs = readRate ? (1000 * bytesPerPass) / readRate : 0;
    const draftMs = passTimes(await measureSpeed(small.graph, machine)).computeMs;
    const passMs = (count: number): number => Math.max(model.computeMs + (count - 1) * model.rowMs, readMs);
    return {
      draft: { source: small.checkpoint.name, bytes: held.inAll, passMs: draftMs },
      model: { ...model, passMs: passMs(1), bytesPerPass, readMs },
      readBytesPerSecond: readRate,
      breakEven: breakEvenOf(draftMs, passMs),
    };
  } finally {
    await opened.close();
  }
}

async function openSide(
  input: ModelInput,
  { signal, headers, chunkRows = defaultChunkRows }: EstimateOptions,
  opened: Cleanup,
) {
  const checkpoint = opened.add(await openCheckpoint(input, { signal, headers }), (file) => file.close());
  const { metadata } = checkpoint;
  const model = await openModel(checkpoint, signal);
  const graph = model.build({ maxRows: chunkRows, maxSelected: Math.min(chunkRows, selectedRows) });
  return { checkpoint, metadata, model, graph, tokenizer: openTokenizer(metadata) };
}

function heldBytes(plan: Plan, contextRows: number): { readonly atOnce: number; readonly inAll: number } {
  const weights = plan.weightBytes.reduce((sum, bytes) => sum + bytes, 0);
  const atOnce = weights + workspaceBytes(plan, contextRows);
  return { atOnce, inAll: atOnce + fullCacheBytes(plan.cache, contextRows) };
}

function passTimes(measured: MeasuredSpeed | undefined): { computeMs: number; rowMs: number } {
  if (measured) {
    return { computeMs: measured.decodeMs(0), rowMs: measured.prefillMs(rowsMeasured, 0) / rowsMeasured };
  }
  throw new NearfieldError('unsupported', 'The speed of this model cannot be measured in parts');
}

/** The least acceptance at which some chain is as fast as none. */
export function breakEvenOf(
  draftMs: number,
  passMs: (rows: number) => number,
): SpeculationEstimate['breakEven'] {
  let best: SpeculationEstimate['breakEven'];
  for (let chain = 1; chain <= longestChain; chain++) {
    const needed = (chain * draftMs + passMs(chain + 1)) / passMs(1);
    if (needed >= chain + 1) continue;
    let [low, high] = [0, 1];
    for (let step = 0; step < 40; step++) {
      const middle = (low + high) / 2;
      if (chainTokens(middle, chain) < needed) low = middle;
      else high = middle;
    }
    if (best === undefined || high < best.acceptance) best = { chain, acceptance: high };
  }
  return best;
}

function chainTokens(acceptance: number, chain: number): number {
  let [tokens, reached] = [1, 1];
  for (let depth = 0; depth < chain; depth++) {
    reached *= acceptance;
    tokens += reached;
  }
  return tokens;
}
