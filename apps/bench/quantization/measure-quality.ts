/** Perplexity, divergence and speed of a model file beside the file it was made from. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Engine } from '../../../src/index.ts';
import { type Divergence, DivergenceMeter } from '../../cli/divergence.ts';
import { cutWindows } from '../../cli/text-windows.ts';

export interface Quality extends Divergence {
  /** Of each text. */
  readonly perplexities: readonly number[];
  /** Undefined where it was not measured. */
  readonly decodeTokensPerSecond: number | undefined;
}

export interface Truth {
  readonly texts: readonly { readonly name: string; readonly windows: readonly (readonly number[])[] }[];
  readonly perplexities: readonly number[];
  readonly decodeTokensPerSecond: number | undefined;
  readonly context: number;
  readonly threads: number;
  /** Logits of the scored rows, window after window. */
  readonly rows: readonly (readonly Float32Array[])[];
}

export interface Scale {
  readonly windows: number;
  readonly context: number;
  readonly threads: number;
}

/** Scores the texts with the file that others are compared with; keeps its logits in memory. */
export async function openTruth(model: string, files: readonly string[], scale: Scale): Promise<Truth> {
  const { context, threads } = scale;
  await using engine = await Engine.load(model, { contextLength: context, threads });
  const texts: Truth['texts'][number][] = [];
  for (const file of files) {
    const text = await readFile(file, 'utf8');
    const windows = await cutWindows((part, options) => engine.tokenize(part, options), text, context, file);
    texts.push({ name: basename(file), windows: windows.slice(0, scale.windows) });
  }
  const rows: Float32Array[][] = [];
  const perplexities = await scoreTexts(engine, texts, {
    begin: () => rows.push([]),
    take: (logits) => rows.at(-1)?.push(Float32Array.from(logits)),
  });
  const decodeTokensPerSecond = await decodeSpeed(engine);
  return { texts, perplexities, decodeTokensPerSecond, context, threads, rows };
}

export async function measureQuality(
  truth: Truth,
  model: string,
  { measuresSpeed }: { readonly measuresSpeed: boolean },
): Promise<Quality> {
  const { context, threads, texts, rows } = truth;
  await using engine = await Engine.load(model, { contextLength: context, threads });
  const meter = new DivergenceMeter();
  let window = 0;
  const perplexities = await scoreTexts(engine, texts, {
    begin() {
      meter.clear();
      for (const logits of rows[window++] ?? []) meter.keep(logits);
    },
    take: (logits) => meter.add(logits),
  });
  const decodeTokensPerSecond = measuresSpeed ? await decodeSpeed(engine) : undefined;
  return { perplexities, decodeTokensPerSecond, ...meter.result() };
}

interface WindowListener {
  begin(): void;
  take(logits: Float32Array | Float64Array): void;
}

async function scoreTexts(
  engine: Engine,
  texts: Truth['texts'],
  { begin, take }: WindowListener,
): Promise<number[]> {
  const perplexities: number[] = [];
  for (const { windows } of texts) {
    let [sum, tokens] = [0, 0];
    for (const ids of windows) {
      begin();
      await using session = await engine.session();
      const scores = await session.score(ids, {
        first: ids.length >> 1,
        onLogits: (_, logits) => take(logits),
      });
      tokens += scores.length;
      sum = scores.reduce((total, logprob) => total - logprob, sum);
    }
    perplexities.push(Math.exp(sum / tokens));
  }
  return perplexities;
}

/** The fastest of several runs: other programs only make it slower. */
async function decodeSpeed(engine: Engine): Promise<number> {
  let fastest = 0;
  for (let round = 0; round < 5; round++) {
    await using session = await engine.session();
    const generation = session.generate('Once upon a time', { maxTokens: 100, decoder: 'plain' });
    const { timings } = await generation.result();
    fastest = Math.max(fastest, timings.decodeTokensPerSecond);
  }
  return fastest;
}
