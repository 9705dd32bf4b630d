/** `run`: completes a prompt. */
import type { Command } from 'commander';
import { printBytes } from '../../../src/base/print-bytes.ts';
import type { Engine, Generation, GenerationResult, Session, TokenLogprob } from '../../../src/index.ts';
import { UsageError } from '../failure.ts';
import { addGenerationOptions, type GenerationFlags, generateOptionsOf } from '../generation-options.ts';
import type { Host } from '../host.ts';
import {
  addDecoderOptions,
  addModelOptions,
  type DecoderFlags,
  decoderOptionsOf,
  loadModel,
  type ModelFlags,
} from '../model-options.ts';
import { wholeNumber, wholeNumbers } from '../option-values.ts';
import { bundledModelPath } from '../package-files.ts';
import { peakResidentBytes } from '../process-memory.ts';
import { openProgressBar } from '../progress-bar.ts';
import { bundledPrompt, type PromptFlags, readPrompt } from '../prompt-source.ts';
import { openShownText } from '../shown-text.ts';
import { decoderReport, speculationLines, streamingLine } from '../speculation-report.ts';
import { expectWritable, readFileIfPresent, writeWholeFile } from '../whole-file.ts';

interface RunFlags extends ModelFlags, DecoderFlags, GenerationFlags, PromptFlags {
  readonly logprobs?: number;
  readonly promptCache?: string;
}

export function addRunCommand(program: Command, host: Host): void {
  const command = program
    .command('run')
    .description('complete a prompt, streaming')
    .argument(
      '[model]',
      'path or URL of a GGUF file, or of a folder that transformers saved (default: the small model of tales that comes with nearfield)',
    )
    .option('-p, --prompt <text>', `what to continue (default for the model of tales: "${bundledPrompt}")`)
    .option('-f, --file <path>', 'read the prompt from a file, or with - from standard input')
    .option(
      '--prompt-ids <ids>',
      'exactly these token ids, nothing added: 1,2,3',
      wholeNumbers({ most: 2 ** 31 - 1 }),
    )
    .option(
      '--logprobs <count>',
      'with --json: so many log-probabilities for each token',
      wholeNumber({ least: 1 }),
    )
    .option(
      '--prompt-cache <path>',
      'go on from the session saved there, and save it there at the end: what the prompt shares with it is not computed again',
    );
  addModelOptions(addDecoderOptions(addGenerationOptions(command, 256)));
  command.addHelpText(
    'after',
    `
The text goes to standard output; the prompt is shown before it on a terminal only. Sampling is random unless
--temp 0 or --seed is given. A text that is piped in is the prompt where none is given.

Examples:
  $ nearfield run
  $ nearfield run model.gguf -p "The sea is" -n 64 --temp 0
  $ nearfield run model.gguf -f question.txt --json | jq .timings`,
  );
  command.action((model: string | undefined, flags: RunFlags) => run(model, flags, host));
}

async function run(model: string | undefined, flags: RunFlags, host: Host): Promise<void> {
  if (flags.logprobs !== undefined && !flags.json)
    throw new UsageError('--logprobs belongs to --json: the text alone does not show them');
  const prompt = await readPrompt(flags, model === undefined ? bundledPrompt : undefined);
  await using loaded = await loadModel(model ?? bundledModelPath(), flags, host);
  const { engine } = loaded;
  await using session = await openSession(engine, flags.promptCache);
  const bar = openProgressBar();
  const generation = session.generate(prompt, {
    ...generateOptionsOf(flags),
    ...decoderOptionsOf(flags, host),
    signal: host.signal,
    ...(flags.logprobs === undefined ? {} : { logprobs: flags.logprobs }),
    onPrompt: ({ doneRows, totalRows }) => bar.update('reading', doneRows, totalRows, `${totalRows} tokens`),
  });
  const shown = typeof prompt === 'string' ? prompt : await engine.detokenize(prompt);
  const top = flags.json
    ? await collect(generation)
    : await stream(generation, host, () => bar.clear(), host.isOutputTerminal ? shown : '');
  bar.clear();
  host.signal.throwIfAborted();
  const result = await generation.result();
  if (result.finish === 'context')
    host.note(
      `nearfield: the context of ${engine.description.contextLength} tokens is full; --context makes it longer`,
    );
  if (flags.json) await host.write(`${JSON.stringify(await report(engine, result, shown, flags, top))}\n`);
  if (flags.promptCache !== undefined) await writeWholeFile(flags.promptCache, await session.save());
  if (flags.verbose) await noteStatistics(engine, result, host);
}

/** A new session, or the one that an earlier run saved. */
async function openSession(engine: Engine, promptCache: string | undefined): Promise<Session> {
  if (promptCache === undefined) return engine.session();
  await expectWritable(promptCache);
  const saved = await readFileIfPresent(promptCache);
  return saved ? engine.restore(saved) : engine.session();
}

/** Log-probabilities of each token, where they were asked for. */
async function collect(generation: Generation): Promise<(readonly TokenLogprob[])[]> {
  const all: (readonly TokenLogprob[])[] = [];
  for await (const { id, top } of generation) if (id !== undefined && top) all.push(top);
  return all;
}

/** Writes the text as it comes, and a newline after it. */
async function stream(
  generation: Generation,
  host: Host,
  beforeText: () => void,
  prompt: string,
): Promise<readonly (readonly TokenLogprob[])[]> {
  const shown = openShownText(host);
  if (prompt !== '') await shown.add(prompt, { isDim: host.isOutputStyled });
  await shown.addAll(generation, beforeText);
  if (!shown.endsLine) await host.write('\n');
  return [];
}

async function report(
  engine: Engine,
  result: GenerationResult,
  prompt: string,
  flags: RunFlags,
  logprobs: readonly (readonly TokenLogprob[])[],
): Promise<object> {
  const { description } = engine;
  const { prefillMs, prefillTokensPerSecond, decodeMs, decodeTokensPerSecond } = result.timings;
  const { text, promptTokens, tokens, finish } = result;
  const streaming = await engine.streaming();
  const { backend, remarks } = await engine.machine();
  return {
    prompt,
    text,
    promptTokens,
    tokens,
    timings: {
      loadMs: description.loadMs,
      prefillMs,
      prefillTokensPerSecond,
      decodeMs,
      decodeTokensPerSecond,
    },
    memory: { ...(await engine.memory()), peakRssBytes: peakResidentBytes() },
    ...(streaming ? { streaming } : {}),
    backend,
    ...(remarks.length > 0 ? { remarks } : {}),
    threads: description.threads,
    decoder: { ...decoderReport(result), finish },
    ...(flags.logprobs === undefined ? {} : { logprobs }),
  };
}

async function noteStatistics(engine: Engine, result: GenerationResult, host: Host): Promise<void> {
  const { description } = engine;
  const { timings, decoder, tokens, promptTokens, finish } = result;
  const { weightsBytes, kvCacheBytes, arenaBytes } = await engine.memory();
  const streaming = await engine.streaming();
  const { remarks } = await engine.machine();
  const fewer =
    result.threads < description.threads ? ` (${result.threads} for a token: measured to be faster)` : '';
  const milliseconds = (ms: number): string => `${ms.toFixed(0)} ms`;
  const speed = (perSecond: number): string => `${perSecond.toFixed(1)} tokens/s`;
  host.note(
    [
      `${description.backend}, ${description.threads} threads${fewer}, loaded in ${milliseconds(description.loadMs)}`,
      ...(description.backendReason ? [`${description.backend} because: ${description.backendReason}`] : []),
      ...remarks,
      `prompt ${promptTokens.length} tokens (${timings.cachedRows} at hand) in ${milliseconds(timings.prefillMs)}, ${speed(timings.prefillTokensPerSecond)}`,
      `text ${tokens.length} tokens in ${milliseconds(timings.decodeMs)}, ${speed(timings.decodeTokensPerSecond)}, ended by ${finish}`,
      `decoder ${decoder.name}: ${decoder.steps} steps, ${decoder.accepted} of ${decoder.proposed} proposed tokens accepted, seed ${decoder.seed}`,
      ...speculationLines(result),
      ...(streaming ? [streamingLine(streaming)] : []),
      `memory: weights ${printBytes(weightsBytes)}, cache ${printBytes(kvCacheBytes)}, activations ${printBytes(arenaBytes)}, process at most ${printBytes(peakResidentBytes())}`,
    ].join('\n'),
  );
}
