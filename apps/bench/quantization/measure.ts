/** Quantizes a model by recipe after recipe into files that live for a moment, and measures them. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { openCheckpoint } from '../../../src/checkpoint.ts';
import { formatByName } from '../../../src/format.ts';
import { Engine } from '../../../src/index.ts';
import {
  type QuantizeOptions,
  type QuantizeReport,
  quantizeCheckpoint,
  readImatrix,
  recipeByName,
} from '../../../src/quantize.ts';
import { openTokenizer } from '../../../src/tokenizer.ts';
import { cutWindows } from '../../cli/text-windows.ts';
import { type BenchText, scoreFiles, type TextScore } from './score-files.ts';

export interface QuantizationRow {
  readonly name: string;
  readonly bitsPerWeight: number;
  /** Of each text: the source, what was made of it here, by llama.cpp, and here with error feedback. */
  readonly truth: readonly TextScore[];
  readonly ours: readonly TextScore[];
  readonly theirs?: readonly TextScore[] | undefined;
  readonly feedback?: readonly TextScore[] | undefined;
}

export interface SpeedRow {
  readonly name: string;
  /** Undefined for the source itself. */
  readonly encodeMs: number | undefined;
  readonly decodeTokensPerSecond: number;
}

export interface QuantizationBench extends AsyncDisposable {
  measureRows(names: readonly string[], texts: readonly BenchText[]): AsyncGenerator<QuantizationRow>;
  /** The source first. */
  measureSpeeds(names: readonly string[]): Promise<SpeedRow[]>;
}

export interface BenchOptions {
  readonly source: string;
  readonly threads: number;
  /** llama.cpp's files are at this path with a recipe's name and `.gguf` behind it. */
  readonly theirs: string | undefined;
  readonly imatrix: string | undefined;
  /** A calibration text. */
  readonly feedback: string | undefined;
}

/** Recipes whose files are scored at the same time, beside the source. */
const recipesAtOnce = 3;
const feedbackWindows = 32;
const feedbackContext = 512;
/** The fastest of so many runs counts: other programs only make one slower. */
const speedRounds = 5;

export async function openBench(options: BenchOptions): Promise<QuantizationBench> {
  const { source, threads, theirs } = options;
  const folder = await mkdtemp(join(tmpdir(), 'nearfield-quantization-'));
  const weighed = await imatrixOptions(options);
  const feedback = await feedbackOptions(options);
  const pathOf = (name: string): string => join(folder, `${name}.gguf`);

  async function quantize(
    name: string,
    out: string,
    more: Partial<QuantizeOptions> = {},
  ): Promise<QuantizeReport> {
    const checkpoint = await openCheckpoint(source);
    try {
      return await quantizeCheckpoint(checkpoint, out, {
        ...{ recipe: recipeByName(name), threads },
        ...weighed,
        ...more,
      });
    } finally {
      await checkpoint.close();
    }
  }

  return {
    async *measureRows(names, texts) {
      for (let first = 0; first < names.length; first += recipesAtOnce) {
        const models = [source];
        const place = (path: string): number => models.push(path) - 1;
        const planned: {
          name: string;
          bitsPerWeight: number;
          ours: number;
          theirs: number;
          feedback: number;
        }[] = [];
        for (const name of names.slice(first, first + recipesAtOnce)) {
          const { bitsPerWeight } = await quantize(name, pathOf(name));
          const fed = pathOf(`${name}-feedback`);
          const takesFeedback = feedback && formatByName(recipeByName(name).format).ladder !== undefined;
          if (takesFeedback) await quantize(name, fed, { feedback });
          const other = `${theirs}${name}.gguf`;
          planned.push({
            ...{ name, bitsPerWeight, ours: place(pathOf(name)) },
            theirs: theirs !== undefined && existsSync(other) ? place(other) : -1,
            feedback: takesFeedback ? place(fed) : -1,
          });
        }
        const scores = await scoreFiles(models, texts, threads);
        for (const { name, bitsPerWeight, ours, theirs, feedback } of planned) {
          yield {
            ...{ name, bitsPerWeight, truth: scores[0] ?? [], ours: scores[ours] ?? [] },
            ...{ theirs: scores[theirs], feedback: scores[feedback] },
          };
        }
        for (const path of models.slice(1)) if (path.startsWith(folder)) await rm(path);
      }
    },

    async measureSpeeds(names) {
      const rows: SpeedRow[] = [
        {
          name: basename(source),
          encodeMs: undefined,
          decodeTokensPerSecond: await decodeSpeed(source, threads),
        },
      ];
      for (const name of names) {
        const { elapsedMs: encodeMs } = await quantize(name, pathOf(name));
        rows.push({ name, encodeMs, decodeTokensPerSecond: await decodeSpeed(pathOf(name), threads) });
        await rm(pathOf(name));
      }
      return rows;
    },

    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function imatrixOptions({ imatrix: path }: BenchOptions): Promise<Pick<QuantizeOptions, 'imatrix'>> {
  return path === undefined ? {} : { imatrix: { name: basename(path), content: await readImatrix(path) } };
}

async function feedbackOptions({
  source,
  feedback: file,
  threads,
}: BenchOptions): Promise<QuantizeOptions['feedback']> {
  if (file === undefined) return undefined;
  const checkpoint = await openCheckpoint(source);
  try {
    const tokenizer = openTokenizer(checkpoint.metadata);
    const text = await readFile(file, 'utf8');
    const cut = await cutWindows(
      (part, options) => tokenizer.encode(part, options),
      text,
      feedbackContext,
      file,
    );
    return { windows: cut.slice(0, feedbackWindows), threads };
  } finally {
    await checkpoint.close();
  }
}

async function decodeSpeed(model: string, threads: number): Promise<number> {
  await using engine = await Engine.load(model, { contextLength: 256, threads });
  let fastest = 0;
  for (let round = 0; round < speedRounds; round++) {
    await using session = await engine.session();
    const generation = session.generate('Once upon a time', { maxTokens: 100, decoder: 'plain' });
    const { timings } = await generation.result();
    fastest = Math.max(fastest, timings.decodeTokensPerSecond);
  }
  return fastest;
}
