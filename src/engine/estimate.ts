/** Whether a model fits and how fast it would run, from its header and a short measurement of the machine. */
import { type Model, openModel } from '../architecture.ts';
import { type Backend, type BackendName, openBackend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { NearfieldError } from '../base/error.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoint.ts';
import type { LoadOptions, ModelInput, StreamingDescription } from '../engine.ts';
import type { CacheType } from '../graph.ts';
import { addressablePages, makePlan, type Plan } from '../plan.ts';
import { dimBounds, evaluateDim } from '../tensor.ts';
import { openTokenizer } from '../tokenizer.ts';
import { openBudget } from '../weights.ts';
import type { LocalLoadOptions } from './load-local.ts';
import { measureReading } from './measure-reading.ts';
import { measureSpeed } from './measure-speed.ts';
import { type Machine, rowsWithRoom } from './open-machine.ts';
import { describeStream, planForBudget } from './open-weights.ts';
import {
  defaultBackend,
  defaultCacheType,
  defaultChunkRows,
  mannersOf,
  selectedRows,
} from './pass-bounds.ts';
import type { StreamPlan } from './plan-stream.ts';

export interface EstimateOptions
  extends Pick<
    LoadOptions,
    | 'backend'
    | 'threads'
    | 'contextLength'
    | 'cacheType'
    | 'memoryBudget'
    | 'chunkRows'
    | 'priority'
    | 'assets'
    | 'headers'
    | 'signal'
  > {
  /** Bytes the process holds now; asked once everything but the weights is open. Without it, and on a page, the baseline is 0. */
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

/** A model whose layers are streamed, because the budget does not hold it. */
export interface StreamingEstimate extends StreamingDescription {
  readonly slotBytes: number;
  /** As the model's file was read just now, from the disk or from the system's memory; undefined where not measured. */
  readonly readBytesPerSecond: number | undefined;
  /** What reading takes of a pass; a pass takes as long, or as long as computing it where that is longer. */
  readonly readMsPerPass: number | undefined;
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
  /** Undefined where all weights stay in memory. */
  readonly streaming: StreamingEstimate | undefined;
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
    const estimate = await estimateOn(backend, model, checkpoint, options);
    return { ...estimate, backend: name, threads: backend.threads };
  } finally {
    await opened.close();
  }
}

async function estimateOn(
  backend: Backend,
  model: Model,
  checkpoint: Checkpoint,
  options: EstimateOptions,
): Promise<Omit<ModelEstimate, 'backend' | 'threads'>> {
  const trained = model.description.contextLength;
  const contextLength = options.contextLength ?? trained;
  const { chunkRows, gaps } = mannersOf(options.priority);
  const maxRows = options.chunkRows ?? chunkRows;
  if (!(contextLength >= 1) || !(maxRows >= 1)) {
    throw new NearfieldError('bad-argument', 'The context and the rows of a pass are whole numbers above 0');
  }
  const graph = model.build({
    ...{ maxRows, maxSelected: Math.min(maxRows, selectedRows), contextLength },
  });
  const cacheType = options.cacheType ?? defaultCacheType(backend.name);
  const capability = backend.describe();
  const cacheRows = rowsWithRoom(options.contextLength, trained);
  const plan = makePlan(graph, capability, { cacheType, cacheRows });
  const isAddressable = addressablePages(plan, capability) >= 1;
  const stream = streamFor({ backend, plan: isAddressable ? plan : undefined }, model, cacheType, options);
  const { residentBytes = () => 0, signal } = options;
  const baselineBytes = residentBytes();
  const began = performance.now();
  const measures = options.speed !== false;
  const measured = measures
    ? await measureSpeed(graph, { backend, cacheType, residentBytes, signal })
    : undefined;
  const streaming = stream && (await estimateStreaming(stream, measures ? checkpoint : undefined, signal));
  const loadingBytes = measured?.loadingBytes ?? 0;
  const weightsBytes =
    stream?.residency.totalBytes ?? plan.weightBytes.reduce((sum, bytes) => sum + bytes, 0);
  const rows = stream?.contextLength ?? contextLength;
  const memory = estimateMemory(stream?.plan ?? plan, rows, { baselineBytes, loadingBytes, weightsBytes });
  const pages = stream ? Number.POSITIVE_INFINITY : addressablePages(plan, capability);
  const fit = judge(memory, rows, pages, options);
  const promptRows = Math.min(promptRowsWanted, rows);
  const depths = options.depths ?? depthsWanted;
  const gapShare = gaps ? gaps.gapMs / gaps.workMs : 0;
  const passMs = (computeMs = 0, passes = 1): number =>
    Math.max(computeMs * (1 + gapShare), passes * (streaming?.readMsPerPass ?? 0));
  const promptPasses = Math.ceil(promptRows / (stream?.maxRows ?? maxRows));
  const speeds = (measured ? depths : [])
    .filter((depth) => depth < rows)
    .map((depth) => ({
      depth,
      bytes: bytesAt(memory, Math.min(rows, depth + promptRows)),
      decodeTokensPerSecond: 1000 / passMs(measured?.decodeMs(depth)),
      prefillTokensPerSecond:
        (1000 * promptRows) / passMs(measured?.prefillMs(promptRows, depth), promptPasses),
    }));
  const memories = stream ? 1 : plan.weightBytes.length;
  const measuredMs = performance.now() - began;
  return { contextLength: rows, memories, memory, ...fit, streaming, promptRows, speeds, measuredMs };
}

/** Undefined where all is held, and where the budget is too small for anything. */
function streamFor(
  machine: Machine,
  model: Model,
  cacheType: CacheType,
  { contextLength, chunkRows, memoryBudget }: EstimateOptions,
): StreamPlan | undefined {
  try {
    return planForBudget(machine, {
      ...{ model, cacheType, mostRows: defaultChunkRows, budget: openBudget(memoryBudget), draft: undefined },
      ...(contextLength === undefined ? {} : { contextLength }),
      ...(chunkRows === undefined ? {} : { chunkRows }),
    });
  } catch (error) {
    if (error instanceof NearfieldError && error.code === 'out-of-budget') return undefined;
    throw error;
  }
}

/** With a checkpoint reading is measured, where that is not over a network. */
async function estimateStreaming(
  stream: StreamPlan,
  checkpoint: Checkpoint | undefined,
  signal: AbortSignal | undefined,
): Promise<StreamingEstimate> {
  const isLocal = checkpoint?.parts.every((part) => !part.isRemote) === true;
  const readBytesPerSecond = checkpoint && isLocal ? await measureReading(checkpoint, signal) : undefined;
  const description = describeStream(stream);
  return {
    ...description,
    ...{ slotBytes: stream.residency.slotBytes, readBytesPerSecond },
    readMsPerPass: readBytesPerSecond && (1000 * description.bytesPerPass) / readBytesPerSecond,
  };
}

function estimateMemory(
  plan: Plan,
  contextLength: number,
  {
    baselineBytes,
    loadingBytes,
    weightsBytes,
  }: Pick<MemoryEstimate, 'baselineBytes' | 'loadingBytes' | 'weightsBytes'>,
): MemoryEstimate {
  const { rows, selected } = plan.graph.symbols;
  // Each memory has an arena of its own.
  const arenaBytes =
    plan.weightBytes.length * evaluateDim(plan.arenaBytes, [dimBounds(rows).max, dimBounds(selected).max]);
  const { pageRows, pageBytes: kvCachePageBytes } = plan.cache;
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

function bytesAt({ startBytes, kvCachePageBytes, kvCachePageRows }: MemoryEstimate, rows: number): number {
  return startBytes + (Math.ceil(rows / kvCachePageRows) - 1) * kvCachePageBytes;
}

type Fit = Pick<ModelEstimate, 'availableBytes' | 'fits' | 'fitsFullContext' | 'largestContext'>;

/** A budget covers the model alone, the machine's memory the process as a whole; the backend can address so many pages. */
function judge(
  memory: MemoryEstimate,
  contextLength: number,
  mostPages: number,
  options: EstimateOptions,
): Fit {
  const { baselineBytes, loadingBytes, kvCachePageBytes, kvCachePageRows, startBytes, fullBytes } = memory;
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
    largestContext: Math.max(0, Math.min(contextLength, pages * kvCachePageRows)),
  };
}
