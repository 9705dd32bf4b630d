/** `perplexity`: how surprised a model is by a text, and how far its predictions are from those of another file. */
import type { Command } from 'commander';
import { type Engine, NearfieldError } from '../../../src/index.ts';
import { type Divergence, DivergenceMeter, Prediction } from '../divergence.ts';
import type { Host } from '../host.ts';
import { addModelOptions, loadModel, type ModelFlags } from '../model-options.ts';
import { wholeNumber } from '../option-values.ts';
import { openProgressBar } from '../progress-bar.ts';
import { cutWindows } from '../text-windows.ts';
import { readTextFile } from '../whole-file.ts';

interface PerplexityFlags extends ModelFlags {
  readonly file: string;
  readonly windows?: number;
  readonly against?: string;
}

const defaultContext = 512;

export function addPerplexityCommand(program: Command, host: Host): void {
  const command = program
    .command('perplexity')
    .description("the model's perplexity on a text, as llama.cpp's tool takes it")
    .argument('<model>', 'path or URL of a GGUF file, or of a folder that transformers saved')
    .requiredOption('-f, --file <path>', 'the text')
    .option('--against <model>', 'another file of the same model, the truth that this one is compared with')
    .option('--windows <count>', 'stop after so many windows', wholeNumber({ least: 1 }));
  addModelOptions(command);
  command.addHelpText(
    'after',
    `
The text is cut into windows of --context tokens (here ${defaultContext} by default) that do not overlap. Each begins with BOS in place
of its first token, where the vocabulary has it added, and is scored on its second half. What does not fill a window is
left out. --json: {perplexity, tokens, context}; tokens counts those that were scored.

--against adds the mean over the scored rows of the Kullback-Leibler divergence from the other file's predictions to this
one's, in nats, with its standard error, and the share of rows in which both think the same token most likely:
{against: {perplexity, meanKl, meanKlError, topAgreement}}.`,
  );
  command.action((model: string, flags: PerplexityFlags) => perplexity(model, flags, host));
}

async function perplexity(model: string, flags: PerplexityFlags, host: Host): Promise<void> {
  const text = (await readTextFile(flags.file)).replace(/\n$/, '');
  const context = flags.context ?? defaultContext;
  if (context < 4)
    throw new NearfieldError(
      'bad-argument',
      `A window of ${context} tokens has nothing to score; take at least 4`,
    );
  await using loaded = await loadModel(model, { ...flags, context }, host);
  const { engine } = loaded;
  const cut = await cutWindows((part, options) => engine.tokenize(part, options), text, context, flags.file);
  const wanted = cut.slice(0, flags.windows);
  const result = flags.against
    ? await compare(engine, flags.against, wanted, { ...flags, context }, host)
    : await scoreAlone(engine, wanted, host);
  if (flags.json) await host.write(`${JSON.stringify({ ...result, context })}\n`);
  else await host.write(`${describe(result, wanted.length, context)}\n`);
}

interface Score {
  readonly perplexity: number;
  readonly tokens: number;
  readonly against?: Divergence & { readonly perplexity: number };
}

function describe({ perplexity, tokens, against }: Score, windows: number, context: number): string {
  const line = `perplexity ${perplexity.toFixed(4)} over ${tokens} tokens in ${windows} windows of ${context}`;
  if (!against) return line;
  return [
    line,
    `the other file's ${against.perplexity.toFixed(4)}`,
    `mean KL divergence ${against.meanKl.toFixed(6)} ± ${against.meanKlError.toFixed(6)}`,
    `same most likely token in ${(100 * against.topAgreement).toFixed(2)} %`,
  ].join('\n');
}

async function scoreAlone(
  engine: Engine,
  windows: readonly (readonly number[])[],
  host: Host,
): Promise<Score> {
  const { perplexity, tokens } = await scoreWindows(windows, [{ engine }], host);
  return { perplexity, tokens };
}

async function compare(
  engine: Engine,
  against: string,
  windows: readonly (readonly number[])[],
  flags: ModelFlags,
  host: Host,
): Promise<Score> {
  await using other = await loadModel(against, flags, host);
  const [own, others] = [engine, other.engine].map(({ description }) => description.vocabularySize);
  if (own !== others) {
    throw new NearfieldError(
      'bad-argument',
      `${against} has ${others} tokens, the model ${own}: give two files of one model`,
    );
  }
  const meter = new DivergenceMeter();
  const truth = { engine: other.engine, onLogits: (logits: Logits) => meter.keep(new Prediction(logits)) };
  const guess = { engine, onLogits: (logits: Logits) => meter.add(logits) };
  const { perplexity, tokens, first } = await scoreWindows(windows, [truth, guess], host, () =>
    meter.clear(),
  );
  return { perplexity, tokens, against: { perplexity: first, ...meter.result() } };
}

type Logits = Float32Array | Float64Array;

interface Scorer {
  readonly engine: Engine;
  readonly onLogits?: (logits: Logits) => void;
}

/** Each window by one scorer after the other. `perplexity` is of the last of them, `first` of the first. */
async function scoreWindows(
  windows: readonly (readonly number[])[],
  scorers: readonly Scorer[],
  host: Host,
  onWindow: () => void = () => {},
): Promise<Score & { readonly first: number }> {
  const sums = scorers.map(() => 0);
  const perplexityOf = (place: number): number => Math.exp((sums.at(place) ?? 0) / tokens);
  let tokens = 0;
  const bar = openProgressBar();
  for (const [index, ids] of windows.entries()) {
    const first = ids.length >> 1;
    onWindow();
    for (const [place, { engine, onLogits }] of scorers.entries()) {
      await using session = await engine.session();
      const options = onLogits ? { onLogits: (_: number, logits: Logits) => onLogits(logits) } : {};
      const scores = await session.score(ids, { first, signal: host.signal, ...options });
      sums[place] = scores.reduce((sum, logprob) => sum - logprob, sums[place] ?? 0);
      if (place === 0) tokens += scores.length;
    }
    bar.update('scoring', index + 1, windows.length, perplexityOf(-1).toFixed(4));
  }
  bar.clear();
  return { perplexity: perplexityOf(-1), first: perplexityOf(0), tokens };
}
