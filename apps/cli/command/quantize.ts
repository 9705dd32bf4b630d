/** `quantize`: a model file in smaller number formats. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { printBytes } from '../../../src/base/print-bytes.ts';
import { type Checkpoint, openCheckpoint } from '../../../src/checkpoint.ts';
import {
  allRecipes,
  type ChooseOptions,
  chooseFormats,
  type FormatChoice,
  type QuantizeOptions,
  type QuantizeReport,
  quantizeCheckpoint,
  readImatrix,
  recipeByName,
} from '../../../src/quantize.ts';
import { openTokenizer } from '../../../src/tokenizer.ts';
import { UsageError } from '../failure.ts';
import type { Host } from '../host.ts';
import { wholeNumber } from '../option-values.ts';
import { openProgressBar } from '../progress-bar.ts';
import { labelledLines, textTable } from '../text-table.ts';
import { cutWindows } from '../text-windows.ts';
import { readTextFile } from '../whole-file.ts';

interface QuantizeFlags {
  readonly to?: string;
  readonly imatrix?: string;
  readonly gptq?: boolean;
  readonly file?: string;
  readonly context: number;
  readonly windows: number;
  readonly pure?: boolean;
  readonly headType?: string;
  readonly embeddingType?: string;
  readonly tensorType?: NonNullable<ChooseOptions['overrides']>;
  readonly threads?: number;
  readonly dryRun?: boolean;
  readonly list?: boolean;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

export function addQuantizeCommand(program: Command, host: Host): void {
  program
    .command('quantize')
    .description('writes a model in smaller number formats')
    .argument('[in]', 'the model: path or URL of a GGUF file, best in f32, f16 or bf16')
    .argument('[out]', 'the GGUF file to write')
    .option('--to <format>', 'a recipe or format: q4_k_m, q8_0, f16 …')
    .option('--list', 'list what --to takes')
    .option('--imatrix <file>', "importance of the columns, from `calibrate` or llama.cpp's tool")
    .option(
      '--gptq',
      'round with error feedback on the text -f: slow, for formats with even levels (e0m4_32, q4_0 …)',
    )
    .option('-f, --file <path>', 'the calibration text of --gptq')
    .option('--context <tokens>', 'tokens in a window of it', wholeNumber({ least: 2 }), 512)
    .option('--windows <count>', 'take so many windows of it', wholeNumber({ least: 1 }), 128)
    .option('--pure', 'one format for all matrices')
    .option('--head-type <format>', 'format of the output head (also where it shares the embedding)')
    .option('--embedding-type <format>', 'format of the token embedding')
    .option(
      '--tensor-type <pattern=format>',
      'format of tensors whose name the regular expression finds; may be repeated, the first that fits counts',
      addTensorType,
    )
    .option('--dry-run', 'say what would be written')
    .option('--threads <count>', 'encoding threads', wholeNumber({ least: 1, most: 256 }))
    .option('--verbose', 'every tensor with its error; stacks of errors')
    .option('--json', 'the result as JSON on standard output')
    .addHelpText(
      'after',
      `
OUT appears when it is complete; it may replace a file, but not IN. Vectors stay f32. Where blocks do not fill the rows
of a tensor the recipe's next format is taken, with a remark. --json: {out, recipe, sourceBytes, targetBytes, weightCount,
bitsPerWeight, elapsedMs, remarks, tensors}; "relativeError" is the root mean square of a tensor's error over that of its values.`,
    )
    .action((source: string | undefined, out: string | undefined, flags: QuantizeFlags) =>
      flags.list ? listRecipes(flags, host) : quantize(source, out, flags, host),
    );
}

function addTensorType(
  text: string,
  before: ChooseOptions['overrides'] = [],
): NonNullable<ChooseOptions['overrides']> {
  const at = text.lastIndexOf('=');
  try {
    if (at < 1) throw new Error('no format');
    return [...before, { pattern: new RegExp(text.slice(0, at)), format: text.slice(at + 1) }];
  } catch {
    throw new InvalidArgumentError('It takes PATTERN=FORMAT, for example attn_v=q8_0.');
  }
}

async function listRecipes({ json }: QuantizeFlags, host: Host): Promise<void> {
  const recipes = allRecipes();
  if (json) return host.write(`${JSON.stringify({ recipes })}\n`);
  const labels = recipes.map(
    ({ name, aliases = [], about }) => [[name, ...aliases].join(', '), about] as const,
  );
  await host.write(labelledLines(labels));
}

async function quantize(
  source: string | undefined,
  out: string | undefined,
  flags: QuantizeFlags,
  host: Host,
): Promise<void> {
  const { to, dryRun = false, json, verbose } = flags;
  if (source === undefined || (out === undefined && !dryRun))
    throw new UsageError('give a model and a file to write');
  if (to === undefined)
    throw new UsageError('say with --to what the model shall be quantized to; --list names all');
  const recipe = recipeByName(to);
  const options = {
    ...(flags.pure ? { pure: true } : {}),
    headFormat: flags.headType,
    embeddingFormat: flags.embeddingType,
    overrides: flags.tensorType ?? [],
  };
  const { signal } = host;
  const imatrix = flags.imatrix === undefined ? undefined : await readImatrix(flags.imatrix, { signal });
  const checkpoint = await openCheckpoint(source, { signal });
  const bar = openProgressBar();
  try {
    if (dryRun || out === undefined) {
      const choice = chooseFormats(checkpoint, recipe, { ...options, hasImatrix: imatrix !== undefined });
      for (const remark of choice.remarks) host.note(`nearfield: warning: ${remark}`);
      return await host.write(`${json ? JSON.stringify(planOf(choice)) : describeChoice(choice)}\n`);
    }
    const report = await quantizeCheckpoint(checkpoint, out, {
      ...options,
      recipe,
      signal,
      threads: flags.threads,
      feedback: flags.gptq ? await feedbackOf(checkpoint, flags, host) : undefined,
      imatrix: imatrix && { name: basename(flags.imatrix ?? ''), content: imatrix },
      onProgress: (done, total, tensor) =>
        bar.update('quantizing', done, total, `${printBytes(done)} of ${printBytes(total)}, ${tensor}`),
    });
    bar.clear();
    for (const remark of report.remarks) host.note(`nearfield: warning: ${remark}`);
    if (verbose) host.note(tensorTable(report));
    const line = json
      ? JSON.stringify({ out, recipe: recipe.name, ...report })
      : describe(out, recipe.name, report);
    await host.write(`${line}\n`);
  } finally {
    bar.clear();
    await checkpoint.close();
  }
}

/** The calibration text as the model's tokens. */
async function feedbackOf(
  { metadata }: Checkpoint,
  { file, context, windows, threads }: QuantizeFlags,
  { signal }: Host,
): Promise<QuantizeOptions['feedback']> {
  if (file === undefined) throw new UsageError('--gptq wants a calibration text: -f FILE');
  const tokenizer = openTokenizer(metadata);
  const text = await readTextFile(file);
  const cut = await cutWindows((part, options) => tokenizer.encode(part, options), text, context, file);
  return { windows: cut.slice(0, windows), threads, signal };
}

function describe(out: string, recipe: string, report: QuantizeReport): string {
  const { sourceBytes, targetBytes, bitsPerWeight, elapsedMs } = report;
  return `${out}: ${recipe}, ${printBytes(targetBytes)} of ${printBytes(sourceBytes)}, ${bitsPerWeight.toFixed(2)} bits a weight, ${(elapsedMs / 1000).toFixed(1)} s`;
}

function tensorTable({ tensors }: QuantizeReport): string {
  return textTable(
    tensors.map(({ name, shape, from, to, relativeError }) => [
      name,
      shape.join(' x '),
      from === to ? to : `${from} -> ${to}`,
      relativeError === 0 ? 'exact' : relativeError.toPrecision(3),
    ]),
  );
}

function planOf({ tensors, remarks }: FormatChoice): object {
  const rows = tensors.map(({ entry: { name, shape, format: from }, format, byteLength }) => {
    return { name, shape, from: from.name, to: format.name, byteLength };
  });
  return { targetBytes: targetBytesOf(tensors), remarks, tensors: rows };
}

function describeChoice({ tensors }: FormatChoice): string {
  const rows = tensors.map(({ entry, format, byteLength }) => [
    entry.name,
    entry.shape.join(' x '),
    entry.format === format ? format.name : `${entry.format.name} -> ${format.name}`,
    printBytes(byteLength),
  ]);
  return `${textTable(rows)}\n${printBytes(targetBytesOf(tensors))} in all`;
}

const targetBytesOf = (tensors: FormatChoice['tensors']): number =>
  tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
