/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The engine: a loaded model, and sessions on it. In Node, and in a browser's worker, it runs where it is loaded; on a
 * page it runs in a worker of its own and this is a thin client with the same interface.
 */
import type { BackendName, DeviceWork } from './backend.ts';
import type { CheckpointInput } from './checkpoint.ts';
import type {
  DecodeFinish,
  FallbackName,
  ProposerName,
  SamplingOptions,
  SpeculationStats,
  TokenLogprob,
} from './decoder.ts';
import type { ChatMessage } from './engine/chat.ts';
import type { Priority } from './engine/pass-bounds.ts';
import type { TraceEvent } from './executor.ts';
import type { CacheType } from './graph.ts';
import type { TokenCost } from './plan.ts';

export type { ChatMessage } from './engine/chat.ts';
export {
  clearCache,
  deleteKeptModel,
  type KeepOptions,
  type KeepProgress,
  type KeptModel,
  type KeptOptions,
  keepModel,
  listKeptModels,
  openKeptModel,
  type StoreUsage,
  storeUsage,
} from './engine/keep.ts';
export { loadEngine } from './engine/load.ts';
export {
  type EstimateOptions,
  estimateModel,
  estimateSpeculation,
  type InspectOptions,
  inspectModel,
  type ModelEstimate,
  type ModelInspection,
  type SpeculationEstimate,
  type StreamingEstimate,
} from './engine/look.ts';
export { type Priority, priorityNames } from './engine/pass-bounds.ts';

export interface LoadProgress {
  /** `download`: a remote model is copied, to be streamed from the copy. */
  readonly stage: 'open' | 'draft' | 'download' | 'weights' | 'ready';
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/** Where a bundler or a server has moved what the engine loads besides itself. Absolute, or relative to the page. */
export interface AssetPaths {
  readonly engineWorker?: string | URL;
  readonly computeWorker?: string | URL;
  /** Reads layers that are streamed. */
  readonly readerWorker?: string | URL;
  /** Folder of the `kernels-….wasm` files, with a slash at its end. */
  readonly kernels?: string | URL;
}

export interface LoadOptions {
  /**
   * `auto` (default): `wasm`, or `webgpu` where there is a GPU that a short measurement with this model shows to be faster.
   */
  readonly backend?: BackendName | 'auto';
  /**
   * Compute threads. By default as many as the host has processors, at most 16; while text is generated fewer are tried now
   * and then, and the fastest number stays (`GenerationResult.threads`). Prompts take all.
   */
  readonly threads?: number;
  /** Rows a session can hold; by default what the model was trained for. */
  readonly contextLength?: number;
  /**
   * How the cache keeps keys and values: `f16` (default; `f32` on the reference backend), `f32`, or `q8_0`, which takes
   * half of `f16`, is the fastest in long contexts, and needs heads of a multiple of 32 values.
   */
  readonly cacheType?: CacheType;
  /**
   * A small model of the same vocabulary, or this one in a smaller format, that drafts what this one verifies: faster where
   * the two often agree, the same text always. Held in memory as a whole.
   */
  readonly draft?: ModelInput;
  /** For generations that state none: see `GenerateOptions`. */
  readonly decoder?: ProposerName;
  readonly fallback?: FallbackName;
  /**
   * Bytes for weights, cache and activations together, a draft's included. A model that needs more is run with some of its
   * layers streamed from disk, pass after pass; where not even one layer at a time fits, loading is refused. No more is held
   * than it says until `Engine.changeMemoryBudget`.
   */
  readonly memoryBudget?: number;
  /**
   * Where layers that are streamed are kept in packed form, and copies of remote models: in Node a folder (by default what
   * NEARFIELD_CACHE names, else `nearfield` in the user's folder for caches), in a browser the name of one in the origin's
   * private file system.
   */
  readonly cacheFolder?: string;
  /** Prompt rows computed in one pass; default 512, with priority `interactive` 64. */
  readonly chunkRows?: number;
  /**
   * `throughput` (default) computes without a break. `interactive` cuts the work in pieces, with gaps between them in which
   * all its threads sleep, so that a page and other programs stay quick: about a fifth of the time.
   */
  readonly priority?: Priority;
  readonly assets?: AssetPaths;
  /** Headers for HTTP sources, an authorization say. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Told of each program that ran, for traces. Not on a page: there the engine is in a worker. */
  readonly onTrace?: (event: TraceEvent) => void;
}

/** The draft's included. */
export interface MemoryReport {
  readonly weightsBytes: number;
  /** Of all sessions. */
  readonly kvCacheBytes: number;
  readonly arenaBytes: number;
}

/** What computes at present. */
export interface MachineReport {
  readonly backend: BackendName;
  /** What is to be told of it, a line each: kernels that the GPU's driver computes wrongly, a backend that took over. */
  readonly remarks: readonly string[];
}

export interface DraftDescription {
  /** File name or URL. */
  readonly source: string;
  readonly name: string;
  readonly parameterCount: number;
  readonly contextLength: number;
}

/** How a model runs that the memory budget does not hold. */
export interface StreamingDescription {
  readonly residentLayers: number;
  readonly streamedLayers: number;
  /** Of the streamed layers, how many are in memory at a time. */
  readonly slots: number;
  /** Read from disk in each pass through the model. */
  readonly bytesPerPass: number;
}

/** What streaming has come to since the engine was opened. */
export interface StreamingReport {
  readonly passes: number;
  readonly bytesRead: number;
  /** Milliseconds in which anything was read, and in which anything was computed. */
  readonly readMs: number;
  readonly computeMs: number;
  /** The share of `readMs` in which something was computed, too, and of `computeMs` in which something was read. */
  readonly hiddenReadShare: number;
  readonly hiddenComputeShare: number;
  /** Blocks on disk that were damaged and put right from the model's file. */
  readonly repairedBlocks: number;
}

export interface EngineDescription {
  /** File name or URL. */
  readonly source: string;
  /** What the file calls the model; may be empty. */
  readonly name: string;
  readonly architecture: string;
  readonly parameterCount: number;
  readonly vocabularySize: number;
  readonly layerCount: number;
  readonly contextLength: number;
  readonly fileBytes: number;
  readonly cacheType: CacheType;
  readonly backend: BackendName;
  /** Why `auto` took it, or did not take another. */
  readonly backendReason?: string | undefined;
  /** What one token asks of the machine: launches of kernels, and bytes of packed weights that it reads. */
  readonly perToken?: TokenCost;
  readonly threads: number;
  /** Milliseconds from the call of `load` to the engine. */
  readonly loadMs: number;
  readonly hasChatTemplate: boolean;
  /** Undefined where all weights are in memory. */
  readonly streaming?: StreamingDescription | undefined;
  readonly draft: DraftDescription | undefined;
  /** What is doubtful about the file, one line each. */
  readonly warnings: readonly string[];
}

/** A text (BOS added as the vocabulary asks), exact ids, or messages for the model's chat template. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

export interface GenerateOptions extends SamplingOptions {
  /** Tokens at most; default: until the text ends or the context is full. */
  readonly maxTokens?: number;
  /** The text ends before the first of these; none of it is part of the text. */
  readonly stop?: readonly string[];
  /** How many log-probabilities per token; default none. */
  readonly logprobs?: number;
  /** How tokens are suggested to the model; changes the speed, never the text. Default `auto`, or what `load` was told. */
  readonly decoder?: ProposerName;
  /** When a draft stops and the model verifies: by measured times (`cost`, default), or by confidence alone. */
  readonly fallback?: FallbackName;
  /** Whether the draft goes on while the model's weights are read from disk in the middle of a pass. Default: yes. */
  readonly idleDrafting?: boolean;
  /**
   * Also shows what will probably follow while the model still verifies it: items marked `provisional`, taken back by an
   * item with `retracted` before the model's own tokens come. Default: no.
   */
  readonly provisional?: boolean;
  /** Go on beyond ids that end a text. */
  readonly ignoreEnd?: boolean;
  /** Its abort ends a text that has begun where it is: the iteration is over, and the result's `finish` is `aborted`. */
  readonly signal?: AbortSignal;
  /** Prompt rows that are computed, of those that have to be. */
  readonly onPrompt?: (progress: { readonly doneRows: number; readonly totalRows: number }) => void;
}

/** Text as it becomes certain. The last item of a generation may carry text that was held back, and no token. */
export interface GeneratedToken {
  readonly id: number | undefined;
  /** A guess, shown where it was asked for; no part of the text. */
  readonly provisional?: true;
  /** So many provisional items, all that still stand, are taken back; nothing else comes with it. */
  readonly retracted?: number;
  /** Empty while a character is incomplete or a stop string may have begun. */
  readonly text: string;
  readonly logprob?: number;
  readonly top?: readonly TokenLogprob[];
  /** Milliseconds since the generation began. */
  readonly elapsedMs: number;
}

export interface GenerationTimings {
  /** Rows computed for the prompt, and rows of it that were still in the cache. */
  readonly prefillRows: number;
  readonly cachedRows: number;
  readonly prefillMs: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeMs: number;
  readonly decodeTokensPerSecond: number;
}

export interface GenerationResult {
  readonly text: string;
  readonly promptTokens: readonly number[];
  readonly tokens: readonly number[];
  readonly finish: DecodeFinish;
  readonly timings: GenerationTimings;
  /** Threads that computed its last tokens. */
  readonly threads: number;
  readonly decoder: {
    readonly name: string;
    readonly seed: number | undefined;
    /** Passes through the model. */
    readonly steps: number;
    readonly proposed: number;
    readonly accepted: number;
    /** Undefined for `plain`. */
    readonly speculation: SpeculationStats | undefined;
  };
}

/** Tokens as they are decided. Leaving the iteration stops the generation. Nothing happens before it is iterated. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** Settles when the iteration has ended; runs the generation by itself where nobody iterates. */
  result(): Promise<GenerationResult>;
}

export interface ScoreOptions {
  /** The first row that is scored (0). */
  readonly first?: number;
  readonly signal?: AbortSignal;
  /** Takes the logits of each scored row, in order: an index into `ids`, and one number for each token; valid until it returns. */
  readonly onLogits?: (row: number, logits: Float32Array | Float64Array) => void;
}

/** One timeline of tokens on an engine. Rows that a new prompt shares with it are not computed again. */
export interface Session extends AsyncDisposable, Disposable {
  /** Ids so far: the prompt's and the generated ones. */
  tokens(): Promise<readonly number[]>;
  /**
   * Continues `prompt`, which is the whole text, not an addition: the session keeps what its beginning has in common
   * with the tokens so far. One generation at a time.
   */
  generate(prompt: Prompt, options?: GenerateOptions): Generation;
  /**
   * Log-probabilities the model gives to each id after the ids before it: entry i is of `ids[first + i + 1]`.
   */
  score(ids: readonly number[], options?: ScoreOptions): Promise<Float64Array>;
  /** Another session with the same tokens; whole pages of the cache are shared. */
  fork(): Promise<Session>;
  /** Forgets tokens from `length` on. */
  truncate(length: number): Promise<void>;
  /**
   * Stops computing: steps wait until `resume`, and iterations with them. Resolves when nothing of this session is computed
   * any more, within about 100 ms; other sessions go on. Times of a generation include its pauses.
   */
  pause(): Promise<void>;
  /** Goes on after `pause`; the tokens are those of a session that was not paused. */
  resume(): Promise<void>;
  /** The session as bytes, for `Engine.restore` on the same model, backend and version. */
  save(): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

export interface Engine extends AsyncDisposable, Disposable {
  readonly description: EngineDescription;
  session(): Promise<Session>;
  /** A session from what `Session.save` gave; throws `bad-file` where the bytes are of another model or layout. */
  restore(bytes: Uint8Array): Promise<Session>;
  tokenize(
    text: string,
    options?: { readonly special?: boolean; readonly addSpecial?: boolean },
  ): Promise<number[]>;
  detokenize(ids: readonly number[], options?: { readonly special?: boolean }): Promise<string>;
  /** Messages through the model's chat template, or a plain one where it has none. */
  render(messages: readonly ChatMessage[]): Promise<string>;
  memory(): Promise<MemoryReport>;
  /**
   * Another `memoryBudget`, generations under way or not. Layers that were resident stay so. Rejects with `out-of-budget`
   * where more is held than it allows, and leaves the one before; a generation that finds no room for its cache later gives
   * up its draft, and else ends with that error.
   */
  changeMemoryBudget(bytes: number): Promise<void>;
  /** Undefined where all weights are in memory. */
  streaming(): Promise<StreamingReport | undefined>;
  /** What the device was asked for since it was opened; undefined where the host's processors compute. */
  deviceWork(): Promise<DeviceWork | undefined>;
  /** May change while the engine is open. */
  machine(): Promise<MachineReport>;
  close(): Promise<void>;
}

export type ModelInput = CheckpointInput;
