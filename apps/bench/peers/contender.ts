/** What every engine in `bench:peers` is asked to do, and how the parent talks to the child process it lives in. */

export type Kind = 'nearfield-node' | 'nearfield-chromium' | 'native' | 'wllama-2' | 'wllama-latest';

/** One engine with one set of settings; what a child process is started with. */
export interface ContenderSpec {
  readonly kind: Kind;
  readonly modelPath: string;
  readonly threads: number;
  /** Rows its context must hold. */
  readonly contextRows: number;
  /** Native only. */
  readonly flashAttention?: boolean;
  /** Nearfield: type of the cache. Native: type of the keys; the values are the same with flash attention, f16 without. */
  readonly cache?: 'f16' | 'q8_0';
}

/** A context of `depth` rows is there before each; times are wall clock milliseconds. */
export interface Contender {
  /** Version and settings in words. */
  readonly about: string;
  /** Milliseconds since the epoch when the first token was there. */
  readonly firstTokenAtMs: number;
  /** Where the clock of the first token starts if not with the process: a page is opened in a browser that runs. */
  readonly startedAtMs?: number;
  fill(depth: number): Promise<number>;
  /** Computes `tokens` rows and the logits of the last. */
  prompt(depth: number, tokens: number): Promise<number>;
  /** `tokens` steps of one row each. */
  decode(depth: number, tokens: number): Promise<number>;
  /** One step of `rows` rows with the logits of all of them; undefined where the engine has no way to ask for that. */
  step?(depth: number, rows: number): Promise<number>;
  /** Resident bytes at most; of a browser, its renderer's. */
  peakBytes(): Promise<number>;
  close(): Promise<void>;
}

export type Operation = 'fill' | 'prompt' | 'decode' | 'step' | 'peakBytes';

export interface Call {
  readonly id: number;
  readonly operation: Operation | 'close';
  readonly parameters: readonly number[];
}

export interface Opened {
  readonly about: string;
  readonly firstTokenAtMs: number;
  readonly startedAtMs: number;
  readonly canStep: boolean;
}

/** The first reply, with id 0, is the opened contender. */
export interface Reply {
  readonly id: number;
  readonly value?: Opened | number;
  readonly error?: string;
}

/** Length of the prompt before the first token. */
export const firstPromptTokens = 16;

/** Ids that are words in any vocabulary of 32,000; the same for all engines. */
export function promptIds(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, index) => 300 + (((from + index) * 7919) % 30_000));
}
