/**
 * How fast a model would run, without its weights: a few of its layers and a piece of its head are run on the machine with
 * made-up weights, and the times scaled to the whole.
 */
import type { Backend } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { type CacheType, type Graph, valuesRead, type WeightValue, weightShares } from '../graph.ts';
import { loadWeights, openBudget, type Weights } from '../weights.ts';
import { madeUpCheckpoint } from './made-up-weights.ts';
import { defaultCacheType } from './pass-bounds.ts';
import { openSpeedProbe, type SpeedProbe } from './speed-probe.ts';
import { layersOf, thinGraph } from './thin-graph.ts';

/** Packed bytes that decoding is measured with: more than any cache of the processor holds, or the whole model. */
const streamedBytes = 160 * 2 ** 20;
/** Held for that at most, or one layer: of experts many are held for few that are read. */
const layerBytes = 400 * 2 ** 20;
/** Packed bytes of the head at most. */
const headBytes = 32 * 2 ** 20;
/** Weights that meet a row, times rows: what prompt speed is measured with. */
const prefillProducts = 12e9;
const prefillRows = 512;
/** Beyond this many bytes the measurement would itself need the memory that may not be there. */
const mostBytes = 2 ** 30;
/** Rows before a step in the second measurement; costs between and beyond are on the line through both. */
const probeDepth = 512;

const decodeMeasuringMs = 400;
const promptMeasuringMs = 500;

export interface MeasuredSpeed {
  /** What packing weights left in the process beside the weights: buffers they passed through. */
  readonly loadingBytes: number;
  /** Milliseconds for one token after `depth` rows. */
  decodeMs(depth: number): number;
  /** Milliseconds for `rows` rows of a prompt after `depth` rows. */
  prefillMs(rows: number, depth: number): number;
}

export interface MeasureOptions {
  readonly backend: Backend;
  readonly cacheType: CacheType;
  /** Bytes the process holds now. */
  readonly residentBytes: () => number;
  readonly signal: AbortSignal | undefined;
}

/** `graph` is the whole model's. Undefined where the model cannot be measured in parts, or is too large for that. */
export async function measureSpeed(
  graph: Graph,
  { backend, cacheType, residentBytes, signal }: MeasureOptions,
): Promise<MeasuredSpeed | undefined> {
  const sizes = new LayerSizes(graph, backend);
  const most = Math.floor(layerBytes / sizes.largestHeldBytes);
  const streamed = sizes.spread(Math.min(most, Math.ceil(streamedBytes / sizes.largestBytes)));
  const products = Math.floor(prefillProducts / (prefillRows * sizes.largestCount));
  const forPrompt = sizes.spread(Math.min(most, products));
  const rows = Math.min(prefillRows, Math.max(64, Math.floor(prefillProducts / sizes.largestCount)));
  const vocabularyRows = sizes.headRows(headBytes);
  const limits = { maxSelected: 1, vocabularyRows };
  const decodeGraph = thinGraph(graph, streamed, { ...limits, maxRows: 1 });
  const promptGraph = thinGraph(graph, forPrompt, { ...limits, maxRows: rows });
  if (!decodeGraph || !promptGraph || sizes.bytesOf(decodeGraph.weights) > mostBytes) return undefined;

  const opened = new Cleanup();
  try {
    // Both have the same head, and every layer of the second may be one that the first does without.
    const wanted = [...decodeGraph.weights, ...promptGraph.weights];
    const heldBefore = residentBytes();
    const weights = opened.add(await madeUpWeights(wanted, backend, signal), (packed) => packed.close());
    const loadingBytes = Math.max(0, residentBytes() - heldBefore - weights.packedBytes);
    const open = (part: Graph, contextLength: number): SpeedProbe =>
      opened.add(
        openSpeedProbe({ backend, cacheType, graph: part, weights, contextLength, signal }),
        (probe) => probe.close(),
      );
    const decode = await measureDecode(open(decodeGraph, probeDepth + 1));
    const prompt = await measurePrompt(open(promptGraph, probeDepth + rows), rows);
    const bodyScale = sizes.bodyBytes / sizes.bytesOfLayers(streamed);
    const attentionScale = sizes.layers.length / streamed.length;
    const headScale = sizes.vocabularyRows / Math.min(sizes.vocabularyRows, vocabularyRows);
    const promptScale = sizes.bodyCount / sizes.countOfLayers(forPrompt);
    const promptAttentionScale = sizes.layers.length / forPrompt.length;
    return {
      loadingBytes,
      decodeMs: (depth) =>
        decode.bodyMs * bodyScale + decode.msPerDepth * depth * attentionScale + decode.headMs * headScale,
      prefillMs(count, depth) {
        // A row of a shorter or longer prompt sees fewer or more rows of it.
        const seen = depth + (count - rows) / 2;
        const perRow = prompt.msPerRow * promptScale + prompt.msPerRowAndDepth * seen * promptAttentionScale;
        return Math.max(perRow, prompt.msPerRow) * count;
      },
    };
  } finally {
    await opened.close();
  }
}

/** Milliseconds that a prompt of 256 tokens and 128 generated ones would take; undefined as for `measureSpeed`. */
export async function measureRequest(
  graph: Graph,
  backend: Backend,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const cacheType = defaultCacheType(backend.name);
  const speed = await measureSpeed(graph, { backend, cacheType, residentBytes: () => 0, signal });
  return speed && speed.prefillMs(256, 0) + 128 * speed.decodeMs(320);
}

interface DecodeTimes {
  readonly bodyMs: number;
  readonly headMs: number;
  readonly msPerDepth: number;
}

async function measureDecode(probe: SpeedProbe): Promise<DecodeTimes> {
  const body = { rows: 1, depth: 0, wanted: 'nothing' } as const;
  const steps = [body, { ...body, wanted: 'argmax' }, { ...body, depth: probeDepth }] as const;
  const [bodyMs, wholeMs, deepMs] = await probe.measure(steps, decodeMeasuringMs);
  return {
    bodyMs,
    headMs: Math.max(0, wholeMs - bodyMs),
    msPerDepth: Math.max(0, deepMs - bodyMs) / probeDepth,
  };
}

interface PromptTimes {
  readonly msPerRow: number;
  readonly msPerRowAndDepth: number;
}

async function measurePrompt(probe: SpeedProbe, rows: number): Promise<PromptTimes> {
  const chunk = { rows, depth: 0, wanted: 'nothing' } as const;
  const [first, deep] = await probe.measure(
    [chunk, { ...chunk, depth: probeDepth }] as const,
    promptMeasuringMs,
  );
  return { msPerRow: first / rows, msPerRowAndDepth: Math.max(0, deep - first) / rows / probeDepth };
}

function madeUpWeights(
  weights: readonly WeightValue[],
  backend: Backend,
  signal: AbortSignal | undefined,
): Promise<Weights> {
  const checkpoint = madeUpCheckpoint(weights);
  return loadWeights({ weights, checkpoint, backend, budget: openBudget(), ...(signal ? { signal } : {}) });
}

/** Packed bytes and numbers of the weights that a row reads, by layer and in all. */
class LayerSizes {
  readonly layers: readonly number[];
  /** Of all layers. */
  readonly bodyBytes: number;
  readonly bodyCount: number;
  /** Of the largest layer. */
  readonly largestBytes: number;
  readonly largestCount: number;
  /** With what a row does not read. */
  readonly largestHeldBytes: number;
  readonly vocabularyRows: number;
  readonly #backend: Backend;
  readonly #graph: Graph;
  readonly #shares: ReadonlyMap<string, number>;
  readonly #bytes = new Map<number, number>();
  readonly #count = new Map<number, number>();

  constructor(graph: Graph, backend: Backend) {
    this.#backend = backend;
    this.#graph = graph;
    this.#shares = weightShares(graph);
    this.layers = layersOf(graph);
    let largestHeldBytes = 1;
    for (const layer of this.layers) {
      const weights = this.#weightsOf(layer);
      largestHeldBytes = Math.max(largestHeldBytes, this.bytesOf(weights));
      this.#bytes.set(layer, this.#bytesRead(weights));
      this.#count.set(layer, valuesRead(weights, this.#shares));
    }
    this.largestHeldBytes = largestHeldBytes;
    this.bodyBytes = this.bytesOfLayers(this.layers);
    this.bodyCount = this.countOfLayers(this.layers);
    this.largestBytes = Math.max(1, ...this.#bytes.values());
    this.largestCount = Math.max(1, ...this.#count.values());
    this.vocabularyRows = Number(graph.logits.type.shape[1]);
  }

  bytesOf(weights: readonly WeightValue[]): number {
    const { packedBytes } = this.#backend.describe();
    return weights.reduce((sum, weight) => sum + packedBytes(weight.type), 0);
  }

  #bytesRead(weights: readonly WeightValue[]): number {
    const { packedBytes } = this.#backend.describe();
    return weights.reduce(
      (sum, { name, type }) => sum + packedBytes(type) * (this.#shares.get(name) ?? 1),
      0,
    );
  }

  bytesOfLayers(layers: readonly number[]): number {
    return layers.reduce((sum, layer) => sum + (this.#bytes.get(layer) ?? 0), 0);
  }

  countOfLayers(layers: readonly number[]): number {
    return layers.reduce((sum, layer) => sum + (this.#count.get(layer) ?? 0), 0);
  }

  /** So many layers (at least one, at most all), spread evenly: formats and windows differ from layer to layer. */
  spread(wanted: number): number[] {
    const count = Math.min(this.layers.length, Math.max(1, wanted));
    return this.layers.filter(
      (_, index) =>
        Math.floor(((index + 1) * count) / this.layers.length) >
        Math.floor((index * count) / this.layers.length),
    );
  }

  /** Rows of the vocabulary whose head takes so many bytes; at least 1024. */
  headRows(bytes: number): number {
    const head = this.#graph.nodes.filter(({ stage }) => stage === 'head');
    const inputs = head.flatMap((node) => node.inputs);
    const weights = inputs.filter((input): input is WeightValue => input.kind === 'weight');
    const share = bytes / Math.max(1, this.bytesOf(weights));
    return Math.max(1024, Math.floor(this.vocabularyRows * Math.min(1, share)));
  }

  #weightsOf(layer: number): WeightValue[] {
    const nodes = this.#graph.nodes.filter((node) => node.layer === layer && node.stage === 'body');
    const inputs = nodes.flatMap((node) => node.inputs);
    return [...new Set(inputs)].filter((input): input is WeightValue => input.kind === 'weight');
  }
}
