/** llama.cpp through node-llama-cpp, below its sequences: batches are given straight to `llama_decode`, nothing is sampled. */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Contender, type ContenderSpec, firstPromptTokens, promptIds } from './contender.ts';
import { peakResidentOf } from './resident-memory.ts';

const entry = fileURLToPath(
  new URL('../../../test/oracle/node_modules/node-llama-cpp/dist/index.js', import.meta.url),
);

/** What is used of node-llama-cpp, whose own declarations are absent where it is not installed. */
interface Batches {
  initBatch(rows: number): void;
  addToBatch(sequence: number, position: number, ids: Uint32Array, logits: Uint32Array): unknown;
  decodeBatch(): Promise<void>;
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
}
interface Llama {
  readonly llamaCppRelease: { readonly release: string };
  readonly systemInfo: string;
  loadModel(options: object): Promise<{
    createContext(options: object): Promise<{ _ctx: Batches; getSequence(): unknown }>;
  }>;
}

export interface NativeOptions {
  readonly modelPath: string;
  readonly threads: number;
  /** Rows its context must hold, and rows of a batch at most. */
  readonly contextRows: number;
  readonly batchRows: number;
  readonly flashAttention: boolean;
  /** Type of the keys. */
  readonly cache: 'f16' | 'q8_0';
}

/** Settings in words beside it. */
export async function openNativeTimeline(
  options: NativeOptions,
): Promise<{ readonly timeline: NativeTimeline; readonly about: string }> {
  const { modelPath, threads, contextRows, batchRows, flashAttention, cache } = options;
  const { getLlama } = await import(pathToFileURL(entry).href);
  const quiet = { progressLogs: false, logLevel: 'error' };
  const own = { gpu: false, build: 'never', skipDownload: true, maxThreads: threads };
  const llama: Llama = await getLlama({ ...own, ...quiet });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0, ignoreMemorySafetyChecks: true });
  const keyType = cache === 'q8_0' ? 'Q8_0' : 'F16';
  const context = await model.createContext({
    ...{ contextSize: contextRows, batchSize: batchRows, threads, flashAttention },
    experimentalKvCacheKeyType: keyType,
    experimentalKvCacheValueType: flashAttention ? keyType : 'F16',
    ignoreMemorySafetyChecks: true,
  });
  context.getSequence();
  const flags = [...llama.systemInfo.matchAll(/(\w+) = 1/g)].map((match) => match[1]).join(' ');
  const values = flashAttention && cache === 'q8_0' ? 'q8_0' : 'f16';
  return {
    timeline: new NativeTimeline(context._ctx, contextRows, batchRows),
    about: `llama.cpp ${llama.llamaCppRelease.release}, ${threads} threads, flash attention ${flashAttention ? 'on' : 'off'}, keys ${cache}, values ${values}, batch ${batchRows}, one libuv thread (${flags})`,
  };
}

export async function openNativeContender(spec: ContenderSpec): Promise<Contender> {
  const { modelPath, threads, contextRows, flashAttention = false, cache = 'f16' } = spec;
  const settings = { modelPath, threads, contextRows, flashAttention, cache, batchRows: 512 };
  const { timeline, about } = await openNativeTimeline(settings);
  await timeline.run(firstPromptTokens);
  return {
    about,
    firstTokenAtMs: performance.timeOrigin + performance.now(),
    fill: (depth) => timed(() => timeline.fill(depth)),
    async prompt(depth, tokens) {
      await timeline.fill(depth);
      return timed(() => timeline.run(tokens));
    },
    async decode(depth, tokens) {
      await timeline.fill(depth);
      return timed(async () => {
        for (let count = 0; count < tokens; count++) await timeline.run(1);
      });
    },
    async step(depth, rows) {
      await timeline.fill(depth);
      return timed(() => timeline.run(rows, true));
    },
    peakBytes: async () => peakResidentOf('self'),
    close: async () => {},
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Sequence 0 of a context; its tokens are those of the benchmark's prompt where no others are given. */
export class NativeTimeline {
  readonly #batches: Batches;
  readonly #batchRows: number;
  #ids: Uint32Array;
  #rows = 0;

  constructor(batches: Batches, contextRows: number, batchRows: number) {
    this.#batches = batches;
    this.#batchRows = batchRows;
    this.#ids = Uint32Array.from(promptIds(contextRows));
  }

  /** Begins anew, with other tokens. */
  async restart(ids: readonly number[]): Promise<void> {
    await this.fill(0);
    this.#ids = Uint32Array.from(ids);
  }

  async fill(depth: number): Promise<void> {
    if (this.#rows > depth) {
      if (!this.#batches.removeTokenCellsFromSequence(0, depth, -1))
        throw new Error('cells were not removed');
      this.#rows = depth;
    }
    while (this.#rows < depth) await this.run(Math.min(this.#batchRows, depth - this.#rows));
  }

  /** One batch of the next `count` rows, with the logits of the last or of all. */
  async run(count: number, allLogits = false): Promise<void> {
    this.#batches.initBatch(count);
    const wanted = allLogits
      ? Uint32Array.from({ length: count }, (_, row) => row)
      : Uint32Array.of(count - 1);
    this.#batches.addToBatch(0, this.#rows, this.#ids.slice(this.#rows, this.#rows + count), wanted);
    await this.#batches.decodeBatch();
    this.#rows += count;
  }
}
