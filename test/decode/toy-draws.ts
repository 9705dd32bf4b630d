/** A toy model that draws tokens itself: rows are computed when they are queued, by the step that the host would run. */
import type { AdjustedLogit, DrawRule, DrawShape } from '../../src/backend.ts';
import { NearfieldError } from '../../src/base/error.ts';
import { Candidates } from '../../src/decoder/candidates.ts';
import { greatestId } from '../../src/decoder/logits.ts';
import type { DrawnToken, DrawQueue, DrawStep } from '../../src/executor.ts';
import type { Sequence } from '../../src/kv-cache.ts';
import type { ToyExecutor } from './toy-executor.ts';

export interface ToyDrawOptions {
  /** Of the token at a position: whether the machine is not sure of it, and whether it fails. */
  readonly isUnsure?: (position: number) => boolean;
  readonly fails?: (position: number) => boolean;
}

/** What the queues of a test came to. */
export interface ToyDrawTally {
  taken: number;
  /** Rows under way when one was taken, at most. */
  mostAhead: number;
}

export class ToyDraws implements DrawQueue {
  readonly #executor: ToyExecutor;
  readonly #sequence: Sequence;
  readonly #rule: DrawRule;
  readonly #shape: DrawShape;
  readonly #options: ToyDrawOptions;
  readonly #tally: ToyDrawTally;
  readonly #queued: { readonly cacheRow: number; readonly position: number; readonly id: number }[] = [];
  readonly #drawn: number[] = [];
  #isClosed = false;

  constructor(
    executor: ToyExecutor,
    sequence: Sequence,
    rule: DrawRule,
    shape: DrawShape,
    options: ToyDrawOptions,
    tally: ToyDrawTally,
  ) {
    this.#executor = executor;
    this.#sequence = sequence;
    this.#rule = rule;
    this.#shape = shape;
    this.#options = options;
    this.#tally = tally;
  }

  get length(): number {
    return this.#queued.length;
  }

  get cacheRows(): readonly number[] {
    return this.#queued.map(({ cacheRow }) => cacheRow);
  }

  async push({ token, position, uniform, adjusted, seenUnread }: DrawStep): Promise<boolean> {
    if (this.#isClosed) return false;
    const sequence = this.#sequence;
    const row = {
      ...{ sequence, position, parent: sequence.committed + sequence.pending - 1 },
      token: token ?? this.#drawn.at(-1) ?? -1,
    };
    const { cacheRows, logits } = await this.#executor.run({
      rows: [row],
      select: { kind: 'logits', rows: [0] },
    });
    const unread = seenUnread === 0 ? [] : this.#drawn.slice(-seenUnread);
    const id = this.#draw(Float64Array.from(logits), adjusted, unread, uniform);
    this.#drawn.push(id);
    this.#queued.push({ cacheRow: cacheRows[0] ?? -1, position: position + 1, id });
    return true;
  }

  async take(): Promise<DrawnToken> {
    this.#tally.mostAhead = Math.max(this.#tally.mostAhead, this.#queued.length);
    const next = this.#queued.shift();
    if (!next || this.#isClosed) throw new NearfieldError('aborted', 'The toy draws no more');
    if (this.#options.fails?.(next.position)) throw new NearfieldError('backend', 'The toy is lost');
    this.#tally.taken++;
    return { id: next.id, isSure: !this.#options.isUnsure?.(next.position) };
  }

  async settled(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #draw(
    logits: Float64Array,
    adjusted: readonly AdjustedLogit[],
    unread: readonly number[],
    uniform: number,
  ): number {
    const { repetitionPenalty, frequencyPenalty, presencePenalty, topK, topP, minP, temperature } =
      this.#rule;
    const entries = new Map(adjusted.map(({ id, count, bias }) => [id, { count, bias }]));
    for (const id of unread) {
      const { count, bias } = entries.get(id) ?? { count: 0, bias: 0 };
      entries.set(id, { count: count + 1, bias });
    }
    for (const [id, { count, bias }] of entries) {
      const logit = (logits[id] ?? 0) + bias;
      const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      logits[id] = count === 0 ? logit : repeated - count * frequencyPenalty - presencePenalty;
    }
    if (this.#shape.isGreedy) return greatestId(logits);
    const candidates = new Candidates(logits.length, topK);
    candidates.take(logits);
    candidates.keepTopP(topP);
    candidates.keepMinP(minP);
    return candidates.draw(temperature, uniform);
  }
}

/** For `ToyOptions.draws`, and what it came to. */
export function toyDraws(options: ToyDrawOptions = {}) {
  const tally: ToyDrawTally = { taken: 0, mostAhead: 0 };
  const draws = (executor: ToyExecutor, sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue =>
    new ToyDraws(executor, sequence, rule, shape, options, tally);
  return { draws, tally };
}
