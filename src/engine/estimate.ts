/** Whether a model fits and how fast it would run, from its header and a short measurement of the machine. */
import { type Model, openModel } from '../architecture.ts';
import { type Backend, type BackendName, openBackend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { NearfieldError } from '../base/error.ts';
import { openCheckpoint } from '../checkpoint.ts';
import type { LoadOptions, ModelInput } from '../engine.ts';
import { addressablePages, makePlan, type Plan, pageRows } from '../plan.ts';
import { dimBounds, evaluateDim } from '../tensor.ts';
import { openTokenizer } from '../tokenizer.ts';
import type { LocalLoadOptions } from './load-local.ts';
import { measureSpeed } from './measure-speed.ts';
import { rowsWithRoom } from './open-machine.ts';
import { defaultBackend, defaultCacheType, defaultChunkRows, selectedRows } from './pass-bounds.ts';

export interface EstimateOptions
  extends Pick<
    LoadOptions,
    | 'backend'
    | 'threads'
    | 'contextLength'
    | 'cacheType'
    | 'memoryBudget'
    | 'chunkRows'
    | 'assets'
    | 'headers'
    | 'signal'
  > {
  /** Bytes the process holds now; asked once everything but the weights is open. Without it the baseline counts as 0. */
  readonly residentBytes?: () => number;
  /** Bytes of memory the process may come to hold in all. */
  readonly availableBytes?: number;
  /** Rows in the context for which speed is given; default 0, 512 and 4096 as far as the context goes. */
  readonly depths?: readonly number[];
  /** False: no measurement, no speed. */
  readonly speed?: boolean;
}

export interface MemoryEstimate {
  /** What the process holds without the model. */
  readonly baselineBytes: number;
  readonly weightsBytes: number;
  /** Activations and the step's tables. */
  readonly arenaBytes: number;
  /** Buffers that weights pass through while loading; part of the measurement, 0 without it. */
  readonly loadingBytes: number;
  /** The cache grows page by page. */
  readonly kvCachePageBytes: number;
  readonly kvCachePageRows: number;
  readonly kvCacheFullBytes: number;
  /** All of it with one page of the cache, and with the context full. */
  readonly startBytes: number;
  readonly fullBytes: number;
}

export interface SpeedEstimate {
  /** Rows in the context before. */
  readonly depth: number;
  /** Of the process, with a prompt of `promptRows` after them. */
  readonly bytes: number;
  readonly decodeTokensPerSecond: number;
  /** For a prompt of `promptRows`. */
  readonly prefillTokensPerSecond: number;
}

export interface ModelEstimate {
  readonly backend: BackendName;
  readonly threads: number;
  /** Memories of the backend that the layers are spread over: one but for large models. */
  readonly memories: number;
  readonly contextLength: number;
  readonly memory: MemoryEstimate;
  /** What there is: the smaller of the machine's memory and the budget with the baseline; undefined where neither is known. */
  readonly availableBytes: number | undefined;
  /** Whether the model can be loaded, and with its context full; undefined where nothing is known to compare with. */
  readonly fits: boolean | undefined;
  readonly fitsFullContext: boolean | undefined;
  /** Rows of context that fit. */
  readonly largestContext: number | undefined;
  readonly promptRows: number;
  /** Empty where it was not asked for, or where the model cannot be measured in parts. */
  readonly speeds: readonly SpeedEstimate[];
  /** Spent on the measurement. */
  readonly measuredMs: number;
}

/** Prompt rows that prefill speed is given for, context permitting. */
const promptRowsWanted = 512;
const depthsWanted: readonly number[] = [0, 512, 4096];

/** Reads the header and measures for about a second; rejects as `loadEngine` does, but for memory. */
export async function estimateModel(
  input: ModelInput,
  options: EstimateOptions & Pick<LocalLoadOptions, 'memoryBytes'> = {},
): Promise<ModelEstimate> {
  const { signal, headers } = options;
  const opened = new Cleanup();
  try {
    const checkpoint = opened.add(await openCheckpoint(input, { signal, headers }), (file) => file.close());
    const model = await openModel(checkpoint, signal);
    // Held to the end, as an engine would hold it, so that the measured baseline has it.
    opened.add(openTokenizer(checkpoint.metadata), () => {});
    const name =
      options.backend === undefined || options.backend === 'auto' ? defaultBackend : options.backend;
    const { threads, memoryBytes, assets } = options;
    const open = openBackend(name, {
      ...(threads === undefined ? {} : { threads }),
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(assets ? { assets } : {}),
    });
    const backend = opened.add(await open, (machine) => machine.close());
    const estimate = await estimateOn(backend, model, options);
    return { ...estimate, backend: name, threads: backend.threads };
  } finally {
    await opened.close();
  }
}

async function estimateOn(
  backend: Backend,
  model: Model,
  options: EstimateOptions,
): Promise<Omit<ModelEstimate, 'backend' | 'threads'>> {
  const trained = model.description.contextLength;
  const contextLength = options.contextLength ?? trained;
  const maxRows = options.chunkRows ?? defaultChunkRows;
  if (!(contextLength >= 1) || !(maxRows >= 1)) {
    throw new NearfieldError('bad-argument', 'The context and the rows of a pass are whole numbers above 0');
  }
  const graph = model.build({ maxRows, maxSelected: Math.min(maxRows, selectedRows) });
  const cacheType = options.cacheType ?? defaultCacheType(backend.name);
  const capability = backend.describe();
  const cacheRows = rowsWithRoom(options.contextLength, trained);
  const plan = makePlan(graph, capability, { cacheType, cacheRows });
  const { residentBytes = () => 0, signal } = options;
  const baselineBytes = residentBytes();
  const began = performance.now();
  const measured =
    options.speed === false
      ? undefined
      : await measureSpeed(graph, { backend, cacheType, residentBytes, signal });
  const loadingBytes = measured?.loadingBytes ?? 0;
  const memory = estimateMemory(plan, contextLength, { baselineBytes, loadingBytes });
  const fit = judge(memory, contextLength, addressablePages(plan, capability), options);
  const promptRows = Math.min(promptRowsWanted, contextLength);
  const depths = options.depths ?? depthsWanted;
  const speeds = (measured ? depths : [])
    .filter((depth) => depth < contextLength)
    .map((depth) => ({
      depth,
      bytes: bytesAt(memory, Math.min(contextLength, depth + promptRows)),
      decodeTokensPerSecond: 1000 / (measured?.decodeMs(depth) ?? 0),
      prefillTokensPerSecond: (1000 * promptRows) / (measured?.prefillMs(promptRows, depth) ?? 0),
    }));
  const memories = plan.weightBytes.length;
  const measuredMs = performance.now() - began;
  return { contextLength, memories, memory, ...fit, promptRows, speeds, measuredMs };
}

function estimateMemory(
  plan: Plan,
  contextLength: number,
  { baselineBytes, loadingBytes }: Pick<MemoryEstimate, 'baselineBytes' | 'loadingBytes'>,
): MemoryEstimate {
  const { rows, selected } = plan.graph.symbols;
  const weightsBytes = plan.weightBytes.reduce((sum, bytes) => sum + bytes, 0);
  // Each memory has an arena of its own.
  const arenaBytes =
    plan.weightBytes.length * evaluateDim(plan.arenaBytes, [dimBounds(rows).max, dimBounds(selected).max]);
  const kvCachePageBytes = plan.cache.pageBytes;
  const kvCacheFullBytes = Math.ceil(contextLength / pageRows) * kvCachePageBytes;
  const fixedBytes = baselineBytes + loadingBytes + weightsBytes + arenaBytes;
  return {
    baselineBytes,
    weightsBytes,
    arenaBytes,
    loadingBytes,
    kvCachePageBytes,
    kvCachePageRows: pageRows,
    kvCacheFullBytes,
    startBytes: fixedBytes + kvCachePageBytes,
    fullBytes: fixedBytes + kvCacheFullBytes,
  };
}

function bytesAt({ startBytes, kvCachePageBytes }: MemoryEstimate, rows: number): number {
  return startBytes + (Math.ceil(rows / pageRows) - 1) * kvCachePageBytes;
}

type Fit = Pick<ModelEstimate, 'availableBytes' | 'fits' | 'fitsFullContext' | 'largestContext'>;

/** A budget covers the model alone, the machine's memory the process as a whole; the backend can address so many pages. */
function judge(
  memory: MemoryEstimate,
  contextLength: number,
  mostPages: number,
  options: EstimateOptions,
): Fit {
  const { baselineBytes, loadingBytes, kvCachePageBytes, startBytes, fullBytes } = memory;
  const besideEngine = baselineBytes + loadingBytes;
  const ofBudget = (options.memoryBudget ?? Number.POSITIVE_INFINITY) + besideEngine;
  const known = Math.min(options.availableBytes ?? Number.POSITIVE_INFINITY, ofBudget);
  const availableBytes = Math.min(known, startBytes + (mostPages - 1) * kvCachePageBytes);
  // What the backend can address says no, where it does; a yes takes the host's memory as well.
  if (known === Number.POSITIVE_INFINITY && fullBytes <= availableBytes) {
    return {
      availableBytes: undefined,
      fits: undefined,
      fitsFullContext: undefined,
      largestContext: undefined,
    };
  }
  const pages = Math.floor((availableBytes - (startBytes - kvCachePageBytes)) / kvCachePageBytes);
  return {
    availableBytes,
    fits: startBytes <= availableBytes,
    fitsFullContext: fullBytes <= availableBytes,
    largestContext: Math.max(0, Math.min(contextLength, pages * pageRows)),
  };
}
