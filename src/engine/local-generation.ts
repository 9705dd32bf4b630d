/** One generation: the prompt's new rows, then the decoding loop, with times taken. */
import { NearfieldError } from '../base/error.ts';
import { decodeText, type Proposer } from '../decoder.ts';
import type { GeneratedToken, GenerateOptions, Generation, GenerationResult, Prompt } from '../engine.ts';
import type { Sequence } from '../kv-cache.ts';
import { checkGenerateOptions, checkPrompt, isIds } from './check-arguments.ts';
import { computeChain } from './compute-chain.ts';
import type { EngineParts } from './local-engine.ts';
import type { SessionExecutor } from './pausable-executor.ts';
import { ForeseenTokens, showForeseen, showItems } from './provisional.ts';

/** A sequence and the ids of its rows, with one more. */
export interface Timeline {
  readonly sequence: Sequence;
  readonly tokens: number[];
}

/** What a generation needs of its session. */
export interface SessionHold {
  /** Marks the session busy with this generation; returns what ends that. */
  begin(generation: LocalGeneration): () => void;
  /** The proposer that the options ask for. */
  openProposer(options: GenerateOptions): Proposer;
  readonly executor: SessionExecutor;
  /** Says of which ids the sequence's rows are from now on. */
  follow(tokens: readonly number[]): void;
}

const perSecond = (count: number, milliseconds: number): number =>
  milliseconds > 0 ? (count / milliseconds) * 1000 : 0;

export class LocalGeneration implements Generation {
  readonly #parts: EngineParts;
  readonly #timeline: Timeline;
  readonly #prompt: Prompt;
  readonly #options: GenerateOptions;
  readonly #hold: SessionHold;
  #iterator: AsyncGenerator<GeneratedToken, void, void> | undefined;
  readonly #outcome: Promise<GenerationResult>;
  #begun = false;
  #resolve: (result: GenerationResult) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(
    parts: EngineParts,
    timeline: Timeline,
    prompt: Prompt,
    options: GenerateOptions,
    hold: SessionHold,
  ) {
    this.#parts = parts;
    this.#timeline = timeline;
    this.#prompt = prompt;
    this.#options = options;
    this.#hold = hold;
    this.#outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Nobody has to ask for the result.
    this.#outcome.catch(() => {});
  }

  [Symbol.asyncIterator](): AsyncGenerator<GeneratedToken, void, void> {
    if (this.#iterator) throw new NearfieldError('bad-argument', 'A generation is iterated once');
    const iterator = this.#run();
    this.#iterator = iterator;
    // A generator that is left before its first step runs none of its code, so the outcome is settled here.
    const leave = iterator.return.bind(iterator);
    iterator.return = (value) => {
      if (!this.#begun)
        this.#reject(new NearfieldError('aborted', 'The generation was left before it began'));
      return leave(value);
    };
    return iterator;
  }

  async result(): Promise<GenerationResult> {
    if (!this.#iterator) for await (const _ of this);
    return this.#outcome;
  }

  /** Ends a generation whose consumer may never come back. */
  async leave(): Promise<void> {
    await this.#iterator?.return();
  }

  async *#run(): AsyncGenerator<GeneratedToken, void, void> {
    this.#begun = true;
    const end = this.#hold.begin(this);
    try {
      yield* this.#generate();
    } catch (error) {
      this.#reject(error);
      throw error;
    } finally {
      end();
    }
  }

  async *#generate(): AsyncGenerator<GeneratedToken, void, void> {
    const { tokenizer, contextLength } = this.#parts;
    const { executor } = this.#hold;
    const { sequence, tokens } = this.#timeline;
    const options = this.#options;
    const began = performance.now();
    checkGenerateOptions(options);
    const promptTokens = this.#promptTokens();
    const cachedRows = await this.#prefill(promptTokens);
    const prefillMs = performance.now() - began;
    const { maxTokens = Number.POSITIVE_INFINITY, ignoreEnd, onPrompt: _, provisional, ...rest } = options;
    const { stop, logprobs, signal, decoder: _d, fallback: _f, idleDrafting = true, ...sampling } = rest;
    const proposer = this.#hold.openProposer(options);
    const foreseen = provisional ? new ForeseenTokens() : undefined;
    const leaving = new AbortController();
    const ending = foreseen ? AbortSignal.any([leaving.signal, ...(signal ? [signal] : [])]) : signal;
    const waitedMs = idleDrafting ? () => this.#waitedMs() : () => 0;
    // After nothing but BOS the text begins here.
    const continues = tokenizer.decode(promptTokens) !== '';
    const decoding = decodeText(
      { executor, sequence, contextLength, tokens, waitedMs },
      proposer,
      tokenizer.stream({ continues }),
      {
        maxTokens,
        sampling,
        endIds: ignoreEnd ? new Set() : tokenizer.endIds,
        ...(stop ? { stop } : {}),
        ...(logprobs === undefined ? {} : { logprobs }),
        ...(ending ? { signal: ending } : {}),
        ...(foreseen ? { onProvisional: foreseen.update } : {}),
      },
    );
    const decodeBegan = performance.now();
    const generated: number[] = [];
    let text = '';
    let guesses = tokenizer.stream({ continues: true });
    const elapsed = () => ({ elapsedMs: performance.now() - began });
    const steps = foreseen ? showForeseen(decoding, foreseen, () => leaving.abort()) : showItems(decoding);
    try {
      for await (const step of steps) {
        if (step.kind === 'guesses') {
          for (const id of step.ids) yield { id, text: guesses.push(id), provisional: true, ...elapsed() };
        } else if (step.kind === 'retracted') {
          guesses = tokenizer.stream({ continues: true });
          yield { id: undefined, text: '', retracted: step.count, ...elapsed() };
        } else {
          const { token, text: piece } = step.item;
          text += piece;
          if (token) generated.push(token.id);
          const { id, ...probabilities } = token ?? { id: undefined };
          yield { id, text: piece, ...probabilities, ...elapsed() };
        }
      }
    } finally {
      const decodeMs = performance.now() - decodeBegan;
      const prefillRows = promptTokens.length - 1 - cachedRows;
      const { stats } = decoding;
      const isLeft = leaving.signal.aborted;
      if (isLeft) this.#forgetBeyond(promptTokens.length + generated.length);
      this.#resolve({
        text,
        promptTokens,
        tokens: generated,
        finish: isLeft ? 'stop' : (stats.finish ?? 'stop'),
        timings: {
          prefillRows,
          cachedRows,
          prefillMs,
          prefillTokensPerSecond: perSecond(prefillRows, prefillMs),
          decodeMs,
          decodeTokensPerSecond: perSecond(generated.length, decodeMs),
        },
        threads: this.#parts.threads(),
        decoder: {
          name: stats.proposer,
          seed: stats.seed,
          steps: stats.steps,
          proposed: stats.proposed,
          accepted: stats.accepted,
          speculation: stats.speculation,
        },
      });
    }
  }

  /** Milliseconds in which weights were read and nothing was computed. */
  #waitedMs(): number {
    const traffic = this.#parts.weights().traffic();
    return traffic ? traffic.readMs - traffic.bothMs : 0;
  }

  /** Tokens that came when the consumer had left. */
  #forgetBeyond(length: number): void {
    const { sequence, tokens } = this.#timeline;
    tokens.length = Math.min(tokens.length, length);
    if (sequence.committed >= tokens.length) sequence.forget(Math.max(0, tokens.length - 1));
  }

  #promptTokens(): number[] {
    const { tokenizer, chat, contextLength, description } = this.#parts;
    const prompt = this.#prompt;
    checkPrompt(prompt);
    const ids =
      typeof prompt === 'string'
        ? tokenizer.encode(prompt, { addSpecial: true })
        : isIds(prompt)
          ? [...prompt]
          : chat.encode(prompt);
    if (ids.length === 0)
      throw new NearfieldError('bad-argument', 'The prompt is empty; give a text or at least one token');
    if (ids.length > contextLength) {
      throw new NearfieldError(
        'context-full',
        `The prompt has ${ids.length} tokens, the context ${contextLength}; shorten it or load with a longer context`,
      );
    }
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= description.vocabularySize);
    if (wrong !== undefined) {
      throw new NearfieldError(
        'bad-argument',
        `Token id ${wrong} is out of range; the vocabulary has ${description.vocabularySize}`,
      );
    }
    return ids;
  }

  /**
   * Computes the prompt's rows but the last, which the first step of decoding takes. Returns how many were there already.
   * An abort or a failure keeps the passes that were done.
   */
  async #prefill(promptTokens: readonly number[]): Promise<number> {
    const { sequence, tokens } = this.#timeline;
    const { signal, onPrompt } = this.#options;
    const common = commonLength(tokens, promptTokens, Math.min(sequence.committed, promptTokens.length - 1));
    sequence.forget(common);
    const fresh = promptTokens.slice(common, -1);
    const totalRows = fresh.length;
    let length = 0;
    this.#hold.follow(promptTokens);
    try {
      if (totalRows > 0) onPrompt?.({ doneRows: 0, totalRows });
      const compute = () =>
        computeChain(this.#hold.executor, sequence, fresh, {
          ...(signal ? { signal } : {}),
          ...(onPrompt ? { onProgress: (doneRows) => onPrompt({ doneRows, totalRows }) } : {}),
        });
      await compute().catch((error: unknown) => {
        // Nothing is computed then; the draft's memory may be enough.
        const lacksMemory = error instanceof NearfieldError && error.code === 'out-of-budget';
        if (!lacksMemory || !this.#hold.openProposer(this.#options).relinquish?.()) throw error;
        return compute();
      });
      length = promptTokens.length;
    } catch (error) {
      // One token always stays beyond the committed rows; without one the session is empty.
      length = sequence.committed;
      sequence.forget(Math.max(0, length - 1));
      throw error;
    } finally {
      tokens.length = common;
      for (const token of promptTokens.slice(common, length)) tokens.push(token);
      this.#hold.follow(tokens);
    }
    return common;
  }
}

function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
