/** The child process of llama.ts: answers calls about one loaded model at a time with node-llama-cpp. */

export type OracleCall =
  | { name: 'start' }
  | { name: 'greedy'; modelPath: string; ids: number[]; count: number }
  | { name: 'logits'; modelPath: string; ids: number[]; positions: number[] }
  | { name: 'tokenize'; modelPath: string; text: string; special: boolean };

export type OracleReply = { id: number; value?: unknown; error?: string };

/** What is used of node-llama-cpp, whose own declarations are absent where it is not installed. */
type Generate = { logits: true | { filter: { includeTop: number } } };
type Result = { next: { logits?: Map<number, number> } } | undefined;
interface LlamaSequence {
  controlledEvaluate(input: (number | [number, { generateNext: Generate }])[]): Promise<Result[]>;
}
interface LlamaContext {
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}
interface LlamaModel {
  createContext(options: object): Promise<LlamaContext>;
  tokenize(text: string, specialTokens: boolean): number[];
  dispose(): Promise<void>;
}
interface Llama {
  loadModel(options: object): Promise<LlamaModel>;
}

type Options = { cache?: 'f16' | 'f32'; batchSize?: number; threads?: number };

class LlamaSession {
  readonly #options: Options;
  #llama: Llama | undefined;
  #model: LlamaModel | undefined;
  #modelPath = '';

  constructor(options: Options) {
    this.#options = options;
  }

  async start(): Promise<Llama> {
    const packageName: string = 'node-llama-cpp';
    const { getLlama } = await import(packageName);
    const quiet = { progressLogs: false, logLevel: 'error' };
    this.#llama ??= (await getLlama({ gpu: false, build: 'never', skipDownload: true, ...quiet })) as Llama;
    return this.#llama;
  }

  async #load(modelPath: string): Promise<LlamaModel> {
    if (this.#model && this.#modelPath === modelPath) return this.#model;
    await this.#model?.dispose();
    this.#model = undefined;
    const llama = await this.start();
    this.#model = await llama.loadModel({ modelPath, gpuLayers: 0, ignoreMemorySafetyChecks: true });
    this.#modelPath = modelPath;
    return this.#model;
  }

  /** Runs `work` on an empty sequence with room for `rows` rows. */
  async #withSequence<Value>(
    modelPath: string,
    rows: number,
    work: (sequence: LlamaSequence) => Promise<Value>,
  ) {
    const model = await this.#load(modelPath);
    const cacheType = this.#options.cache === 'f32' ? 'F32' : 'F16';
    const context = await model.createContext({
      contextSize: rows + 8,
      batchSize: Math.min(this.#options.batchSize ?? 512, rows + 8),
      threads: this.#options.threads ?? 2,
      flashAttention: false,
      swaFullCache: true,
      experimentalKvCacheKeyType: cacheType,
      experimentalKvCacheValueType: cacheType,
      ignoreMemorySafetyChecks: true,
    });
    try {
      return await work(context.getSequence());
    } finally {
      await context.dispose();
    }
  }

  greedy(modelPath: string, promptIds: number[], count: number): Promise<{ ids: number[]; gaps: number[] }> {
    const generateNext: Generate = { logits: { filter: { includeTop: 2 } } };
    return this.#withSequence(modelPath, promptIds.length + count, async (sequence) => {
      const ids: number[] = [];
      const gaps: number[] = [];
      let input = promptIds;
      while (ids.length < count) {
        const results = await sequence.controlledEvaluate(
          input.map((id, index) => (index === input.length - 1 ? [id, { generateNext }] : id)),
        );
        const [first, second] = [...(results.at(-1)?.next.logits ?? [])].sort((a, b) => b[1] - a[1]);
        if (!first || !second) throw new Error(`no logits after token ${promptIds.length + ids.length}`);
        ids.push(first[0]);
        gaps.push(first[1] - second[1]);
        input = [first[0]];
      }
      return { ids, gaps };
    });
  }

  logits(modelPath: string, ids: number[], positions: number[]): Promise<Float32Array[]> {
    const wanted = new Set(positions);
    return this.#withSequence(modelPath, ids.length, async (sequence) => {
      const results = await sequence.controlledEvaluate(
        ids.map((id, index) => (wanted.has(index) ? [id, { generateNext: { logits: true } }] : id)),
      );
      return positions.map((position) => {
        const logits = results[position]?.next.logits;
        if (!logits) throw new Error(`no logits after position ${position}`);
        const row = new Float32Array(logits.size);
        for (const [id, logit] of logits) row[id] = logit;
        return row;
      });
    });
  }

  async tokenize(modelPath: string, text: string, special: boolean): Promise<number[]> {
    return [...(await this.#load(modelPath)).tokenize(text, special)];
  }
}

function answer(session: LlamaSession, call: OracleCall): Promise<unknown> {
  switch (call.name) {
    case 'start':
      return session.start().then(() => true);
    case 'greedy':
      return session.greedy(call.modelPath, call.ids, call.count);
    case 'logits':
      return session.logits(call.modelPath, call.ids, call.positions);
    case 'tokenize':
      return session.tokenize(call.modelPath, call.text, call.special);
  }
}

if (process.send) {
  const session = new LlamaSession(JSON.parse(process.argv[2] ?? '{}') as Options);
  let last: Promise<unknown> = Promise.resolve();
  process.on('disconnect', () => process.exit());
  process.on('message', (message: OracleCall & { id: number }) => {
    last = last
      .then(() => answer(session, message))
      .then(
        (value) => process.send?.({ id: message.id, value } satisfies OracleReply),
        (error) =>
          process.send?.({ id: message.id, error: String(error?.message ?? error) } satisfies OracleReply),
      );
  });
}
