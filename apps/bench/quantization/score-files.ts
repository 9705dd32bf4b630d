/** What files of one model make of whole texts, beside the file they were made from: losses and divergences. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Engine } from '../../../src/index.ts';
import { type Divergence, DivergenceMeter, Prediction } from '../../cli/divergence.ts';
import { cutWindows } from '../../cli/text-windows.ts';

export interface BenchText {
  readonly name: string;
  readonly context: number;
  /** Each `context` ids. */
  readonly windows: readonly (readonly number[])[];
}

/** Of one file on one text. */
export interface TextScore extends Divergence {
  /** Mean negative log-probability, in nats, of the tokens in the second half of each window. */
  readonly losses: readonly number[];
}

export interface TextPlace {
  readonly file: string;
  readonly context: number;
}

/** As the tokenizer of `model` cuts them; of each at most `windowCount` windows. */
export async function readTexts(
  model: string,
  places: readonly TextPlace[],
  windowCount: number,
): Promise<BenchText[]> {
  await using engine = await Engine.load(model, { threads: 1 });
  const texts: BenchText[] = [];
  for (const { file, context } of places) {
    const text = await readFile(file, 'utf8');
    const windows = await cutWindows((part, options) => engine.tokenize(part, options), text, context, file);
    texts.push({ name: basename(file), context, windows: windows.slice(0, windowCount) });
  }
  return texts;
}

/**
 * Scores of each file of `models`, text by text; the first is the truth that the others are compared with. All are open at the
 * same time and take a window in turn, so that of the truth's logits one window's are kept.
 */
export async function scoreFiles(
  models: readonly string[],
  texts: readonly BenchText[],
  threads: number,
): Promise<TextScore[][]> {
  await using stack = new AsyncDisposableStack();
  const contextLength = Math.max(...texts.map(({ context }) => context));
  const engines: Engine[] = [];
  for (const model of models) engines.push(stack.use(await Engine.load(model, { contextLength, threads })));
  const scores: TextScore[][] = models.map(() => []);
  for (const { windows } of texts) {
    const files = engines.map((engine) => ({ engine, meter: new DivergenceMeter(), losses: [] as number[] }));
    for (const ids of windows) {
      const truth: Prediction[] = [];
      for (const [place, { engine, meter, losses }] of files.entries()) {
        meter.clear();
        for (const prediction of truth) meter.keep(prediction);
        await using session = await engine.session();
        const logprobs = await session.score(ids, {
          first: ids.length >> 1,
          onLogits(_, logits) {
            if (place === 0) truth.push(new Prediction(logits));
            else meter.add(logits);
          },
        });
        losses.push(-logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length);
      }
    }
    for (const [place, { meter, losses }] of files.entries())
      scores[place]?.push({ losses, ...meter.result() });
  }
  return scores;
}

export function perplexityOf({ losses }: Pick<TextScore, 'losses'>): number {
  return Math.exp(mean(losses));
}

/** By how much the perplexity of one file exceeds that of another on the same windows. */
export interface PerplexityRatio {
  /** The one over the other, less 1. */
  readonly excess: number;
  /** Its standard error, from the spread of the differences between windows. */
  readonly error: number;
}

export function comparePerplexities(one: TextScore, other: TextScore): PerplexityRatio {
  const differences = one.losses.map((loss, window) => loss - (other.losses[window] ?? Number.NaN));
  const center = mean(differences);
  const squares = differences.reduce((sum, difference) => sum + (difference - center) ** 2, 0);
  const count = differences.length;
  const ratio = Math.exp(center);
  return { excess: ratio - 1, error: ratio * Math.sqrt(squares / Math.max(1, count - 1) / count) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
