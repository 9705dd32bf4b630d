/**
 * A language model for tests of decoding: an executor that keeps its contract to the letter over the real KV cache, whose
 * rows hold nothing but a token and a position. The logits of a row are a function of exactly what the row sees through
 * its visible count and mask, in order, so a row that is moved wrongly, not moved, or seen where it should not be, changes
 * them.
 */
import type { Backend, Region } from '../../src/backend.ts';
import { openBudget } from '../../src/base/budget.ts';
import { NearfieldError } from '../../src/base/error.ts';
import { philox } from '../../src/base/random.ts';
import type { DecodeTarget } from '../../src/decoder.ts';
import type { DrawQueue, Executor, Step, StepResult, StepRow } from '../../src/executor.ts';
import {
  type CacheMoveRow,
  type CacheRow,
  type KvCache,
  openKvCache,
  type Sequence,
} from '../../src/kv-cache.ts';

const pageRows = 128;

export interface ToyOptions {
  readonly vocabularySize: number;
  readonly contextLength?: number;
  readonly maxSelected?: number;
  /** Changes the logits of a row; `position` is that of the token they are for. */
  readonly alter?: (logits: Float32Array, position: number) => void;
  /** Called when the rows of a decoding step are in the cache and nothing is computed yet. */
  readonly duringRun?: () => void | Promise<void>;
  readonly beforeMove?: () => void;
  /** Draws tokens itself. */
  readonly draws?: (executor: ToyExecutor, ...asked: Parameters<OpenDraws>) => DrawQueue | undefined;
}

type OpenDraws = NonNullable<Executor['openDraws']>;

interface SeenRow {
  readonly token: number;
  readonly position: number;
}

const rowWords = 2;

export class ToyExecutor implements Executor {
  readonly vocabularySize: number;
  readonly maxSelected: number;
  readonly contextLength: number;
  readonly cache: KvCache;
  /** Rows run, rows moved, and kinds of select asked for. */
  rowCount = 0;
  movedRows = 0;
  readonly kinds = new Set<string>();
  readonly #options: ToyOptions;
  /** The cache's memory by word address: token, position of each row. */
  readonly #words: number[] = [];
  #queue: Promise<void> = Promise.resolve();
  #lastLogits = new Float32Array(0);
  readonly draws: boolean;
  readonly openDraws?: OpenDraws;

  constructor(options: ToyOptions) {
    const { draws } = options;
    this.draws = draws !== undefined;
    if (draws) this.openDraws = (...asked) => draws(this, ...asked);
    this.#options = options;
    this.vocabularySize = options.vocabularySize;
    this.maxSelected = options.maxSelected ?? 64;
    this.contextLength = options.contextLength ?? 1 << 16;
    const pageBytes = pageRows * rowWords * 4;
    const layout = { pageRows, pageBytes, strideBytes: pageBytes, partBytes: [pageBytes] } as const;
    this.cache = openKvCache({
      backend: this.#memory(),
      layout,
      contextLength: this.contextLength,
      budget: openBudget(),
    });
  }

  /** In order of arrival; a caller has one turn of the event loop with its logits before the next run begins. */
  run(step: Step, options: { readonly signal?: AbortSignal } = {}): Promise<StepResult> {
    const result = this.#queue.then(() => this.#run(step, options));
    const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
    this.#queue = result.then(nextTurn, nextTurn);
    return result;
  }

  async #run(step: Step, options: { readonly signal?: AbortSignal }): Promise<StepResult> {
    // What a caller kept of the last run is no longer valid.
    this.#lastLogits.fill(Number.NaN);
    const places: { row: CacheRow; committed: number }[] = [];
    for (const row of step.rows) {
      const parent =
        typeof row.parent === 'number' ? row.parent : (places[row.parent.row]?.row.cacheRow ?? -9);
      await this.move(row.sequence.prepareToAppend());
      const place = { row: row.sequence.append(parent), committed: row.sequence.committed };
      const address = this.#address(row.sequence, place.row.cacheRow);
      this.#words[address] = row.token;
      this.#words[address + 1] = row.position;
      places.push(place);
    }
    if (step.select.kind !== 'nothing') await this.#options.duringRun?.();
    if (options.signal?.aborted) throw new NearfieldError('aborted', 'The toy run was aborted');
    const rows = step.select.kind === 'nothing' ? [] : step.select.rows;
    if (rows.length > this.maxSelected) throw new NearfieldError('bad-argument', 'Too many rows selected');
    const logits = new Float32Array(rows.length * this.vocabularySize);
    const argmax = rows.map((index, at) => {
      const view = logits.subarray(at * this.vocabularySize, (at + 1) * this.vocabularySize);
      const [row, place] = [step.rows[index], places[index]];
      if (row && place) this.#compute(row, place.row, place.committed, view);
      return view.indexOf(Math.max(...view));
    });
    this.rowCount += step.rows.length;
    this.kinds.add(step.select.kind);
    this.#lastLogits = logits;
    return {
      cacheRows: places.map(({ row }) => row.cacheRow),
      argmax: step.select.kind === 'argmax' ? argmax : [],
      logits: step.select.kind === 'logits' ? logits : new Float32Array(0),
    };
  }

  async move(moves: readonly CacheMoveRow[]): Promise<void> {
    if (moves.length > 0) this.#options.beforeMove?.();
    for (const { fromPage, fromRow, toPage, toRow } of moves) {
      for (let word = 0; word < rowWords; word++) {
        const value = this.#words[fromPage + fromRow * rowWords + word] ?? 0;
        this.#words[toPage + toRow * rowWords + word] = value;
      }
    }
    this.movedRows += moves.length;
  }

  close(): void {
    this.cache.close();
  }

  /** The tokens of a sequence's committed rows. */
  committedTokens(sequence: Sequence): number[] {
    return Array.from({ length: sequence.committed }, (_, row) => this.#seen(sequence, row).token);
  }

  #compute(row: StepRow, place: CacheRow, committed: number, logits: Float32Array): void {
    const seen = Array.from({ length: place.visible }, (_, index) => this.#seen(row.sequence, index));
    for (let bit = 0; bit < 64; bit++) {
      const mask = bit < 32 ? place.maskLow : place.maskHigh;
      if ((mask >>> (bit & 31)) & 1) seen.push(this.#seen(row.sequence, committed + bit));
    }
    toyLogits(seen, logits);
    this.#options.alter?.(logits, row.position + 1);
  }

  #seen(sequence: Sequence, row: number): SeenRow {
    const address = this.#address(sequence, row);
    return { token: this.#words[address] ?? -1, position: this.#words[address + 1] ?? -1 };
  }

  #address(sequence: Sequence, row: number): number {
    return (sequence.pageAddresses[Math.floor(row / pageRows)] ?? 0) + (row % pageRows) * rowWords;
  }

  #memory(): Backend {
    let nextWord = 1;
    const memory: Pick<Backend, 'allocate' | 'release' | 'write'> = {
      allocate: (byteLength) => {
        const region: Region = { addressWords: nextWord, byteLength };
        nextWord += byteLength / 4;
        return region;
      },
      release: () => {},
      write: ({ addressWords }, offsetBytes, bytes) => {
        const first = addressWords + offsetBytes / 4;
        this.#words.fill(0, first, first + bytes.length / 4);
      },
    };
    return memory as Backend;
  }
}

/**
 * Mostly what the last two tokens suggest, so that text repeats itself and lookups succeed, and a little of all that is
 * seen, so that every row matters.
 */
function toyLogits(seen: readonly SeenRow[], logits: Float32Array): void {
  let whole = 0x9e3779b9;
  for (const { token, position } of seen) {
    whole = Math.imul(whole ^ (token * 8191 + position), 0x85ebca6b);
    whole = (whole ^ (whole >>> 13)) >>> 0;
  }
  const [before, last] = [seen.at(-2)?.token ?? 0, seen.at(-1)?.token ?? 0];
  for (let id = 0; id < logits.length; id += 4) {
    const suggested = philox([id, last, before, 1], 7, 7);
    const noise = philox([id, whole, 0, 2], 7, 7);
    for (let lane = 0; lane < 4 && id + lane < logits.length; lane++) {
      const share = (suggested[lane] ?? 0) / 2 ** 32;
      logits[id + lane] = 12 * share ** 4 - 6 + (0.5 * (noise[lane] ?? 0)) / 2 ** 32;
    }
  }
}

export interface ToyTarget extends DecodeTarget {
  readonly executor: ToyExecutor;
}

/** A target whose prompt is evaluated but for its last token. */
export async function openToyTarget(options: ToyOptions, prompt: readonly number[]): Promise<ToyTarget> {
  const executor = new ToyExecutor(options);
  const sequence = executor.cache.openSequence();
  const rows = prompt.slice(0, -1).map((token, position) => {
    const parent = position === 0 ? -1 : { row: position - 1 };
    return { sequence, token, position, parent };
  });
  const { cacheRows } = await executor.run({ rows, select: { kind: 'nothing' } });
  await executor.move(sequence.commit(cacheRows));
  executor.rowCount = 0;
  return { executor, sequence, contextLength: executor.contextLength, tokens: [...prompt] };
}
