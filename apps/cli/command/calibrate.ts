/** `calibrate`: what a text tells about a model, for the quantizer. */
import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { openCheckpoint } from '../../../src/checkpoint.ts';
import { type BackendName, backendNames } from '../../../src/index.ts';
import { collectImportance, writeImatrix } from '../../../src/quantize.ts';
import { openTokenizer } from '../../../src/tokenizer.ts';
import type { Host } from '../host.ts';
import { byteCount, wholeNumber } from '../option-values.ts';
import { openProgressBar } from '../progress-bar.ts';
import { cutWindows } from '../text-windows.ts';
import { expectWritable, readTextFile } from '../whole-file.ts';

interface CalibrateFlags {
  readonly file: string;
  readonly imatrix: string;
  readonly context: number;
  readonly windows?: number;
  readonly backend: BackendName;
  readonly threads?: number;
  readonly memoryBudget?: number;
  readonly json?: boolean;
}

export function addCalibrateCommand(program: Command, host: Host): void {
  program
    .command('calibrate')
    .description("measures on a text which columns of a model's weights matter, for `quantize --imatrix`")
    .argument('<model>', 'path or URL of a GGUF file, best in f32, f16 or bf16')
    .requiredOption('-f, --file <path>', 'the text; some hundred windows of what the model is for')
    .requiredOption(
      '--imatrix <file>',
      "where to write the importance matrix, in the GGUF form of llama.cpp's",
    )
    .option('--context <tokens>', 'tokens in a window', wholeNumber({ least: 2 }), 512)
    .option('--windows <count>', 'stop after so many windows', wholeNumber({ least: 1 }))
    .addOption(new Option('--backend <name>', 'where to compute').choices(backendNames).default('wasm'))
    .option('--threads <count>', 'compute threads', wholeNumber({ least: 1, most: 256 }))
    .option('--memory-budget <bytes>', 'refuse to hold more: 2GiB, 800MB', byteCount)
    .option('--verbose', 'stacks of errors')
    .option('--json', 'the result as JSON on standard output')
    .addHelpText(
      'after',
      `
The model must fit in one memory (4 GiB as packed). --json: {out, tensors, windows, context}.`,
    )
    .action((model: string, flags: CalibrateFlags) => calibrate(model, flags, host));
}

async function calibrate(model: string, flags: CalibrateFlags, host: Host): Promise<void> {
  const { imatrix: out, context, backend, threads, memoryBudget } = flags;
  const { signal } = host;
  const text = (await readTextFile(flags.file)).replace(/\n$/, '');
  await expectWritable(out);
  const checkpoint = await openCheckpoint(model, { signal });
  const bar = openProgressBar();
  try {
    const tokenizer = openTokenizer(checkpoint.metadata);
    const cut = await cutWindows(
      (part, options) => tokenizer.encode(part, options),
      text,
      context,
      flags.file,
    );
    const windows = cut.slice(0, flags.windows);
    const importance = await collectImportance(checkpoint, {
      ...{ windows, backend, threads, memoryBudget, signal },
      dataset: basename(flags.file),
      onProgress: (done, total) => bar.update('calibrating', done, total, `${done} of ${total} windows`),
    });
    await writeImatrix(out, importance, signal);
    bar.clear();
    const tensors = importance.entries.size;
    const result = { out, tensors, windows: windows.length, context };
    const line = `${out}: ${tensors} tensors, ${windows.length} windows of ${context} tokens`;
    await host.write(`${flags.json ? JSON.stringify(result) : line}\n`);
  } finally {
    bar.clear();
    await checkpoint.close();
  }
}
