/** A session on this thread: one sequence of the cache and the ids that belong to it. */
import { NearfieldError } from '../base/error.ts';
import { type DraftModel, openProposer, type Proposer } from '../decoder.ts';
import type { GenerateOptions, Generation, Prompt, ScoreOptions, Session } from '../engine.ts';
import type { Sequence } from '../kv-cache.ts';
import { checkOptions } from './check-arguments.ts';
import type { EngineParts } from './local-engine.ts';
import { LocalGeneration } from './local-generation.ts';
import { PausableExecutor } from './pausable-executor.ts';
import { scoreTokens } from './score.ts';
import { encodeSnapshot } from './snapshot.ts';
import { SurvivingExecutor } from './surviving-executor.ts';

export class LocalSession implements Session {
  /** The engine keeps account of its sessions. */
  onFork: ((fork: LocalSession) => LocalSession) | undefined;
  onClose: (() => void) | undefined;
  readonly #parts: EngineParts;
  readonly #sequence: Sequence;
  readonly #executor: PausableExecutor;
  /** Between that and the engine's where the machine may be lost. */
  readonly #surviving: SurvivingExecutor | undefined;
  /** Ids of all committed rows and one more (none while the session is empty). */
  readonly #tokens: number[];
  readonly #closing = new AbortController();
  #work: Promise<unknown> | undefined;
  #generation: LocalGeneration | undefined;
  readonly #draftExecutor: PausableExecutor | undefined;
  /** The one used last; it keeps what it has learnt from one generation to the next. */
  #proposer: { readonly key: string; readonly proposer: Proposer } | undefined;

  constructor(parts: EngineParts, sequence: Sequence, tokens: number[]) {
    this.#parts = parts;
    this.#sequence = sequence;
    const { executor, recovery } = parts;
    this.#surviving = recovery && new SurvivingExecutor(executor, sequence, tokens, recovery);
    this.#executor = new PausableExecutor(this.#surviving ?? executor);
    this.#draftExecutor = parts.draft && new PausableExecutor(parts.draft.executor);
    this.#tokens = tokens;
  }

  async tokens(): Promise<readonly number[]> {
    return [...this.#tokens];
  }

  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    const timeline = { sequence: this.#sequence, tokens: this.#tokens };
    const hold = {
      begin: (generation: LocalGeneration) => this.#begin(generation),
      openProposer: (given: GenerateOptions) => this.#openProposer(given),
      executor: this.#executor,
      follow: (ids: readonly number[]) => this.#surviving?.follow(ids),
    };
    return new LocalGeneration(this.#parts, timeline, prompt, this.#withClosing(options), hold);
  }

  async score(ids: readonly number[], options: ScoreOptions = {}): Promise<Float64Array> {
    const end = this.#begin();
    try {
      this.#forgetAll();
      this.#surviving?.follow(ids);
      return await scoreTokens(this.#executor, this.#sequence, ids, this.#withClosing(options));
    } finally {
      this.#forgetAll();
      this.#surviving?.follow(this.#tokens);
      end();
    }
  }

  async fork(): Promise<LocalSession> {
    const end = this.#begin();
    try {
      await this.#surviving?.renew();
      const { sequence, moves } = this.#parts.cache.share(this.#sequence, this.#sequence.committed);
      await this.#parts.executor.move(moves);
      const fork = new LocalSession(this.#parts, sequence, [...this.#tokens]);
      return this.onFork?.(fork) ?? fork;
    } finally {
      end();
    }
  }

  async truncate(length: number): Promise<void> {
    const end = this.#begin();
    try {
      if (!Number.isInteger(length) || length < 0) {
        throw new NearfieldError(
          'bad-argument',
          `A session is cut to a whole number of tokens, not ${length}`,
        );
      }
      this.#tokens.length = Math.min(length, this.#tokens.length);
      this.#sequence.forget(Math.max(0, this.#tokens.length - 1));
    } finally {
      end();
    }
  }

  async save(): Promise<Uint8Array<ArrayBuffer>> {
    const end = this.#begin();
    try {
      const pages: Uint8Array[] = [];
      await this.#surviving?.renew();
      await this.#parts.cache.save(this.#sequence, async (page) => void pages.push(page.slice()));
      return encodeSnapshot({ key: await this.#parts.snapshotKey(), tokens: this.#tokens }, pages);
    } finally {
      end();
    }
  }

  async pause(): Promise<void> {
    this.#expectOpen();
    await Promise.all([this.#executor.pause(), this.#draftExecutor?.pause()]);
  }

  async resume(): Promise<void> {
    this.#expectOpen();
    this.#executor.resume();
    this.#draftExecutor?.resume();
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    // A consumer that paused may never ask again; ask in its place.
    await this.#generation?.leave().catch(() => {});
    await this.#work;
    this.#proposer?.proposer.close?.();
    this.#executor.close();
    this.#sequence.close();
    this.onClose?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Begins to close; use `await using` to wait for it. */
  [Symbol.dispose](): void {
    void this.close();
  }

  #openProposer(options: GenerateOptions): Proposer {
    const { draft } = this.#parts;
    const executor = this.#draftExecutor;
    const decoder = options.decoder ?? this.#parts.decoder ?? 'auto';
    const fallback = options.fallback ?? this.#parts.fallback;
    const key = `${decoder} ${fallback}`;
    if (this.#proposer?.key === key) return this.#proposer.proposer;
    const model: DraftModel | undefined = draft &&
      executor && {
        executor,
        contextLength: draft.contextLength,
        openSequence: () => draft.cache.openSequence(),
        trim: () => draft.cache.trim(),
        loss: this.#parts.recovery,
      };
    const proposer = openProposer(decoder, { draft: model, fallback });
    this.#proposer?.proposer.close?.();
    this.#proposer = { key, proposer };
    return proposer;
  }

  #forgetAll(): void {
    this.#tokens.length = 0;
    this.#sequence.forget(0);
  }

  #expectOpen(): void {
    if (this.#closing.signal.aborted) throw new NearfieldError('bad-argument', 'The session is closed');
  }

  /** Marks the session busy; returns what ends that. */
  #begin(generation?: LocalGeneration): () => void {
    this.#expectOpen();
    if (this.#work)
      throw new NearfieldError(
        'bad-argument',
        'The session is busy; end its generation first, or fork it before',
      );
    this.#generation = generation;
    let end = (): void => {};
    this.#work = new Promise<void>((resolve) => {
      end = resolve;
    });
    return () => {
      this.#work = undefined;
      this.#generation = undefined;
      end();
    };
  }

  /** Closing the session ends what it does. */
  #withClosing<Options extends { readonly signal?: AbortSignal }>(options: Options): Options {
    checkOptions(options);
    const signals = [this.#closing.signal, ...(options.signal ? [options.signal] : [])];
    return { ...options, signal: AbortSignal.any(signals) };
  }
}
