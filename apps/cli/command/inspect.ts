/** `inspect`: what a model file holds, whether it fits, and how fast it would run. */
import type { Command } from 'commander';
import { printBytes } from '../../../src/base/print-bytes.ts';
import {
  estimateModel,
  estimateSpeculation,
  inspectModel,
  type ModelEstimate,
  type ModelInspection,
  NearfieldError,
  type StreamingEstimate,
} from '../../../src/index.ts';
import type { Host } from '../host.ts';
import { addModelOptions, loadOptionsOf, type ModelFlags } from '../model-options.ts';
import { availableBytes, residentBytes } from '../process-memory.ts';
import { printSpeculation } from '../speculation-report.ts';
import { labelledLines, textTable } from '../text-table.ts';

interface InspectFlags extends ModelFlags {
  readonly plan?: boolean;
  readonly tensors?: boolean;
  readonly metadata?: boolean;
  /** False after `--no-estimate`. */
  readonly estimate: boolean;
  readonly draft?: string;
}

export function addInspectCommand(program: Command, host: Host): void {
  const command = program
    .command('inspect')
    .description('show what a model file holds, whether it fits and how fast it would run; loads no weights')
    .argument('<model>', 'path or URL of a GGUF file, or of a folder that transformers saved')
    .option('--tensors', 'list the tensors')
    .option('--metadata', 'list the metadata')
    .option('--plan', 'print the plan: segments, buffers, their sizes, what reuse saves')
    .option('--draft <model>', 'also estimate what decoding with this draft costs, and when it pays')
    .option('--no-estimate', 'the file alone: open no backend, measure nothing');
  addModelOptions(command);
  command.addHelpText(
    'after',
    `
The estimate takes about a second: a few layers of the model's shape and formats run with made-up weights. It tells the
memory of the process with the model loaded, and speeds for this machine as it is now.`,
  );
  command.action((model: string, flags: InspectFlags) => inspect(model, flags, host));
}

async function inspect(model: string, flags: InspectFlags, host: Host): Promise<void> {
  const { signal } = host;
  // Before the rest, so that the baseline is that of a process which has just begun.
  const estimate = flags.estimate ? await tryEstimate(model, flags, signal) : undefined;
  const inspection = await inspectModel(model, { signal, ...(flags.plan ? { plan: flags.backend } : {}) });
  const speculation =
    flags.draft !== undefined && flags.estimate && inspection.problems.length === 0
      ? await estimateSpeculation(model, flags.draft, { ...loadOptionsOf(flags), signal })
      : undefined;
  if (flags.json) await host.write(`${JSON.stringify({ ...inspection, estimate, speculation })}\n`);
  else {
    await host.write(printInspection(inspection, estimate, flags));
    if (speculation) await host.write(printSpeculation(speculation));
  }
  const [problem] = inspection.problems;
  if (problem !== undefined) throw new NearfieldError('unsupported', problem);
}

/** Undefined where the model cannot be loaded at all; the inspection then tells why. */
async function tryEstimate(
  model: string,
  flags: InspectFlags,
  signal: AbortSignal,
): Promise<ModelEstimate | undefined> {
  const machine = { residentBytes, availableBytes: availableBytes() };
  try {
    return await estimateModel(model, { ...loadOptionsOf(flags), ...machine, signal });
  } catch (error) {
    const isSupported = !(
      error instanceof NearfieldError && ['unsupported', 'bad-file'].includes(error.code)
    );
    if (isSupported) throw error;
    return undefined;
  }
}

function printInspection(
  inspection: ModelInspection,
  estimate: ModelEstimate | undefined,
  flags: InspectFlags,
): string {
  return [
    printHeader(inspection),
    estimate ? printEstimate(estimate) : '',
    flags.metadata
      ? section('metadata', inspection.metadata.map(({ key, value }) => `  ${key} = ${value}\n`).join(''))
      : '',
    flags.tensors ? section('tensors', tensorTable(inspection)) : '',
    inspection.plan === undefined ? '' : section('plan', `${inspection.plan}\n`),
  ].join('');
}

const section = (title: string, body: string): string => `\n${title}\n${body}`;

function printHeader(inspection: ModelInspection): string {
  const { model, tokenizer, formats, chatTemplate } = inspection;
  const shares = formats.map(({ format, tensorCount, byteLength }) => {
    return `${format} ${printBytes(byteLength)} in ${tensorCount} tensors`;
  });
  const { activeParameterCount = inspection.parameterCount } = model ?? {};
  const hasIdle = activeParameterCount < inspection.parameterCount;
  const active = hasIdle ? ` (${printCount(activeParameterCount)} for a token)` : '';
  const lines: [string, string][] = [
    ['file', `${inspection.source} (${inspection.container}, ${printBytes(inspection.fileBytes)})`],
    [
      'model',
      `${model ? `${model.name || 'unnamed'}, ${model.architecture}` : 'not supported'}, ${printCount(inspection.parameterCount)} parameters${active}, ${inspection.bitsPerWeight.toFixed(2)} bits each`,
    ],
  ];
  if (model) {
    const { layerCount, hiddenSize, vocabularySize, contextLength } = model;
    lines.push([
      'shape',
      `${layerCount} layers, hidden ${hiddenSize}, vocabulary ${vocabularySize}, context ${contextLength}`,
    ]);
  }
  lines.push(['formats', shares.join('; ')]);
  if (tokenizer) {
    const { kind, bos, eos, addBos, addEos, endIds } = tokenizer;
    const added =
      [addBos ? 'BOS' : '', addEos ? 'EOS' : ''].filter((name) => name !== '').join(' and ') || 'nothing';
    lines.push([
      'tokenizer',
      `${kind}, ${tokenizer.vocabularySize} pieces, BOS ${bos ?? 'none'}, EOS ${eos ?? 'none'}, adds ${added}, ends at ${endIds.join(', ') || 'nothing'}`,
    ]);
  }
  lines.push([
    'template',
    chatTemplate === undefined ? 'none' : `${chatTemplate.length} characters of Jinja`,
  ]);
  for (const warning of inspection.warnings) lines.push(['warning', warning]);
  return labelledLines(lines);
}

function printEstimate(estimate: ModelEstimate): string {
  const { memory, availableBytes: available, speeds, contextLength } = estimate;
  const rows = [['context', 'memory', 'decode', `prompt of ${estimate.promptRows}`]];
  for (const { depth, bytes, decodeTokensPerSecond, prefillTokensPerSecond } of speeds) {
    rows.push([
      `${depth}`,
      printBytes(bytes),
      printSpeed(decodeTokensPerSecond),
      printSpeed(prefillTokensPerSecond),
    ]);
  }
  const parts = [
    `weights ${printBytes(memory.weightsBytes)}`,
    `activations ${printBytes(memory.arenaBytes)}`,
    `cache ${printBytes(memory.kvCachePageBytes)} for each ${memory.kvCachePageRows} tokens, ${printBytes(memory.kvCacheFullBytes)} for ${contextLength}`,
    `loading ${printBytes(memory.loadingBytes)}`,
    `process ${printBytes(memory.baselineBytes)}`,
  ];
  const verdict =
    available === undefined
      ? 'unknown'
      : estimate.fitsFullContext
        ? `yes, with a context of ${contextLength}`
        : estimate.fits
          ? `yes, but with a context of ${estimate.largestContext} at most`
          : 'no';
  const measured =
    speeds.length > 0 ? `measured in ${(estimate.measuredMs / 1000).toFixed(1)} s` : 'not measured';
  const lines = labelledLines([
    ['memory', parts.join(', ')],
    [
      'at most',
      `${printBytes(memory.startBytes)} at first, ${printBytes(memory.fullBytes)} with the context full`,
    ],
    ['fits', `${verdict}${available === undefined ? '' : `; ${printBytes(available)} available`}`],
    ...(estimate.streaming ? [['streams', printStreaming(estimate.streaming)] as [string, string]] : []),
  ]);
  const spread = estimate.memories > 1 ? `, spread over ${estimate.memories} memories` : '';
  const title = `estimate on ${estimate.backend} with ${estimate.threads} threads${spread} (${measured})`;
  return section(title, `${lines}${speeds.length > 0 ? textTable(rows) : ''}`);
}

function printStreaming(streaming: StreamingEstimate): string {
  const { residentLayers, streamedLayers, slots, slotBytes, bytesPerPass } = streaming;
  const { readBytesPerSecond, readMsPerPass } = streaming;
  const time =
    readBytesPerSecond === undefined || readMsPerPass === undefined
      ? ''
      : `; read in ${Number((readMsPerPass / 1000).toPrecision(2))} s at ${printBytes(readBytesPerSecond)}/s`;
  return (
    `${residentLayers} of ${residentLayers + streamedLayers} layers stay in memory, the others come from disk ` +
    `through ${slots} slots of ${printBytes(slotBytes)}: ${printBytes(bytesPerPass)} a pass${time}`
  );
}

function tensorTable({ tensors }: ModelInspection): string {
  const rows = tensors.map(({ name, format, shape, byteLength }) => [
    name,
    format,
    shape.join(' × '),
    printBytes(byteLength),
  ]);
  return textTable([['tensor', 'format', 'shape', 'size'], ...rows], '  ');
}

/** Three digits are more than it is good for. */
const printSpeed = (perSecond: number): string => `${Number(perSecond.toPrecision(3))} tokens/s`;

function printCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)} G`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} M`;
  return String(count);
}
