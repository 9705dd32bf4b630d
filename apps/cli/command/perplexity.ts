/** `perplexity`: how surprised a model is by a text. */
import type { Command } from 'commander';
import { type Engine, NearfieldError } from '../../../src/index.ts';
import type { Host } from '../host.ts';
import { addModelOptions, loadModel, type ModelFlags } from '../model-options.ts';
import { wholeNumber } from '../option-values.ts';
import { openProgressBar } from '../progress-bar.ts';
import { readTextFile } from '../whole-file.ts';

interface PerplexityFlags extends ModelFlags {
  readonly file: string;
  readonly windows?: number;
}

const defaultContext = 512;

export function addPerplexityCommand(program: Command, host: Host): void {
  const command = program
    .command('perplexity')
    .description("the model's perplexity on a text, as llama.cpp's tool takes it")
    .argument('<model>', 'path or URL of a GGUF file, or of a folder that transformers saved')
    .requiredOption('-f, --file <path>', 'the text')
    .option('--windows <count>', 'stop after so many windows', wholeNumber({ least: 1 }));
  addModelOptions(command);
  command.addHelpText(
    'after',
    `
The text is cut into windows of --context tokens (here ${defaultContext} by default) that do not overlap. Each begins with BOS in place
of its first token, where the vocabulary has it added, and is scored on its second half. What does not fill a window is
left out. --json: {perplexity, tokens, context}; tokens counts those that were scored.`,
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
  const windows = await cutWindows(loaded.engine, text, context, flags.file);
  const wanted = windows.slice(0, flags.windows);
  await using session = await loaded.engine.session();
  const first = context >> 1;
  const bar = openProgressBar();
  let sum = 0;
  let tokens = 0;
  for (const [index, ids] of wanted.entries()) {
    for (const logprob of await session.score(ids, { first, signal: host.signal })) {
      sum -= logprob;
      tokens++;
    }
    bar.update('scoring', index + 1, wanted.length, `${Math.exp(sum / tokens).toFixed(4)}`);
  }
  bar.clear();
  const result = { perplexity: Math.exp(sum / tokens), tokens, context };
  if (flags.json) await host.write(`${JSON.stringify(result)}\n`);
  else
    await host.write(
      `perplexity ${result.perplexity.toFixed(4)} over ${tokens} tokens in ${wanted.length} windows of ${context}\n`,
    );
}

/** Whole windows of the text's tokens; the vocabulary's BOS stands at the beginning of each. */
async function cutWindows(engine: Engine, text: string, context: number, file: string): Promise<number[][]> {
  const ids = await engine.tokenize(text, { addSpecial: true });
  const [begin] = await engine.tokenize('', { addSpecial: true });
  const windows: number[][] = [];
  for (let start = 0; start + context <= ids.length; start += context) {
    const window = ids.slice(start, start + context);
    if (begin !== undefined && ids[0] === begin) window[0] = begin;
    windows.push(window);
  }
  if (windows.length === 0) {
    throw new NearfieldError(
      'bad-argument',
      `${file} has ${ids.length} tokens, fewer than a window of ${context}; give a longer text or a smaller --context`,
    );
  }
  return windows;
}
