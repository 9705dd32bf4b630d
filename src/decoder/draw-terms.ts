/** Sampling options in the form that machines which draw tokens take them. */
import {
  type AdjustedLogit,
  type DrawRule,
  type DrawShape,
  drawnTemperatures,
  mostAdjusted,
} from '../backend.ts';
import type { Sampling } from './sampling-options.ts';

const noEntries: readonly AdjustedLogit[] = [];

export class DrawTerms {
  readonly rule: DrawRule;
  readonly shape: DrawShape;
  readonly #sampling: Sampling;
  readonly #hasPenalties: boolean;

  /** Undefined for a temperature that a machine cannot express. */
  static of(sampling: Sampling, vocabularySize: number): DrawTerms | undefined {
    const { temperature, topK, topP } = sampling;
    const isGreedy = temperature === 0 || topK === 1 || topP === 0;
    const { least, most } = drawnTemperatures;
    if (!isGreedy && (temperature < least || temperature > most)) return undefined;
    return new DrawTerms(sampling, isGreedy, vocabularySize);
  }

  private constructor(sampling: Sampling, isGreedy: boolean, vocabularySize: number) {
    const { repetitionPenalty, frequencyPenalty, presencePenalty, penaltyWindow, logitBias } = sampling;
    this.#sampling = sampling;
    this.#hasPenalties =
      penaltyWindow !== 0 && (repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0);
    this.rule = sampling;
    this.shape = {
      isGreedy,
      isAdjusted: this.#hasPenalties || logitBias.size > 0,
      hasTopK: !isGreedy && sampling.topK > 0 && sampling.topK < vocabularySize,
      hasTopP: !isGreedy && sampling.topP < 1,
    };
  }

  /** How many of the latest tokens the penalties look at, where so many are not known. */
  seenOf(unreadCount: number): number {
    const { penaltyWindow } = this.#sampling;
    if (!this.#hasPenalties) return 0;
    return penaltyWindow < 0 ? unreadCount : Math.min(unreadCount, penaltyWindow);
  }

  /**
   * Ids whose logits change for the token that follows `tokens` and so many that are not known; ascending. Undefined where
   * they are more than a machine takes.
   */
  entries(tokens: readonly number[], unreadCount: number): readonly AdjustedLogit[] | undefined {
    if (!this.shape.isAdjusted) return noEntries;
    const { logitBias, penaltyWindow } = this.#sampling;
    const counts = new Map<number, number>();
    if (this.#hasPenalties) {
      const known = penaltyWindow < 0 ? tokens.length : Math.max(0, penaltyWindow - unreadCount);
      for (let index = Math.max(0, tokens.length - known); index < tokens.length; index++) {
        const id = tokens[index] as number;
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
    }
    for (const id of logitBias.keys()) if (!counts.has(id)) counts.set(id, 0);
    if (counts.size > mostAdjusted) return undefined;
    const entries = Array.from(counts, ([id, count]) => ({ id, count, bias: logitBias.get(id) ?? 0 }));
    return entries.sort((a, b) => a.id - b.id);
  }
}
