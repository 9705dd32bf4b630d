/** Prompt and decode speed of one loaded model, at any depth of its context. */
import type { DeviceWork, Engine, Session } from '../../src/index.ts';

export interface SpeedPlan {
  /** Tokens of the prompt that is timed, and tokens generated; 0: not timed. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Tokens in the context before, one measurement each. */
  readonly depths: readonly number[];
  /** Timed runs, after one that is not. */
  readonly repeats: number;
  readonly signal?: AbortSignal;
  /** After each run, while the session still holds its rows. */
  readonly onRun?: (done: number, total: number) => void | Promise<void>;
}

export interface SpeedResult {
  readonly kind: 'prompt' | 'decode';
  readonly tokens: number;
  readonly depth: number;
  /** Tokens per second of each run, in order. */
  readonly runs: readonly number[];
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** What a token of the timed runs asked of a device. */
  readonly work: DeviceWork | undefined;
}

/** Rows of context that the plan needs. */
export function rowsNeeded({ promptTokens, generatedTokens, depths }: SpeedPlan): number {
  return Math.max(0, ...depths) + Math.max(promptTokens, generatedTokens) + 1;
}

/** Text does not matter to speed: ids are drawn, ends of the text ignored, and every token is decoded by itself. */
export async function measureModel(engine: Engine, plan: SpeedPlan): Promise<SpeedResult[]> {
  const { promptTokens, generatedTokens, depths, repeats, onRun } = plan;
  const ids = drawnIds(rowsNeeded(plan), engine.description.vocabularySize);
  const session = await engine.session();
  const run = new TimedRun(session, ids, plan.signal);
  const kinds = (
    [
      ['prompt', promptTokens],
      ['decode', generatedTokens],
    ] as const
  ).filter(([, tokens]) => tokens > 0);
  const total = depths.length * kinds.length * (repeats + 1);
  const results: SpeedResult[] = [];
  let done = 0;
  try {
    for (const depth of depths) {
      await run.fill(depth);
      for (const [kind, tokens] of kinds) {
        const runs: number[] = [];
        let before: DeviceWork | undefined;
        for (let repeat = 0; repeat <= repeats; repeat++) {
          const speed = await run[kind](depth, tokens);
          if (repeat > 0) runs.push(speed);
          else before = await engine.deviceWork();
          await onRun?.(++done, total);
        }
        const work = before && perToken(before, await engine.deviceWork(), tokens * repeats);
        results.push({ kind, tokens, depth, runs, ...spread(runs), work });
      }
    }
  } finally {
    await session.close();
  }
  return results;
}

/** Runs from a context of a given depth, which is there again after each. */
class TimedRun {
  readonly #session: Session;
  readonly #ids: readonly number[];
  readonly #signal: AbortSignal | undefined;

  constructor(session: Session, ids: readonly number[], signal: AbortSignal | undefined) {
    this.#session = session;
    this.#ids = ids;
    this.#signal = signal;
  }

  async fill(depth: number): Promise<void> {
    await this.#generate(depth + 1, 0);
  }

  /** A session's last token has no row yet, so `depth` rows are `depth + 1` tokens. */
  async prompt(depth: number, tokens: number): Promise<number> {
    await this.#session.truncate(depth + 1);
    const { timings } = await this.#generate(depth + tokens + 1, 0);
    return timings.prefillTokensPerSecond;
  }

  async decode(depth: number, tokens: number): Promise<number> {
    await this.#session.truncate(depth + 1);
    const { timings } = await this.#generate(depth + 1, tokens);
    return timings.decodeTokensPerSecond;
  }

  async #generate(promptLength: number, maxTokens: number) {
    const options = { maxTokens, ignoreEnd: true, decoder: 'plain', temperature: 0 } as const;
    const signal = this.#signal ? { signal: this.#signal } : {};
    const result = await this.#session
      .generate(this.#ids.slice(0, promptLength), { ...options, ...signal })
      .result();
    this.#signal?.throwIfAborted();
    return result;
  }
}

/** A walk over the vocabulary that repeats late; the same each time. */
function drawnIds(count: number, vocabularySize: number): number[] {
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabularySize);
  });
}

function perToken(before: DeviceWork, after: DeviceWork | undefined, tokens: number): DeviceWork | undefined {
  if (!after || tokens === 0) return undefined;
  const share = (kind: keyof DeviceWork): number => (after[kind] - before[kind]) / tokens;
  return {
    ...{ submits: share('submits'), dispatches: share('dispatches') },
    ...{ bytesWritten: share('bytesWritten'), bytesRead: share('bytesRead') },
  };
}

function spread(runs: readonly number[]): { median: number; least: number; most: number } {
  const sorted = [...runs].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return { median: (low + high) / 2, least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 };
}
