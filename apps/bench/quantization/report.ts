/** The table of docs/quantization.md. */
import { basename } from 'node:path';
import type { MachineDescription } from '../../cli/machine-description.ts';
import type { Quality, Truth } from './measure-quality.ts';

export interface QuantizationRow {
  readonly name: string;
  readonly bitsPerWeight: number;
  readonly encodeMs: number;
  readonly ours: Quality;
  readonly theirs: Quality | undefined;
}

export interface ReportConditions {
  readonly truth: Truth;
  readonly source: string;
  readonly machine: MachineDescription;
  readonly threads: number;
}

export function quantizationTable(rows: readonly QuantizationRow[], conditions: ReportConditions): string {
  const { truth, source, machine, threads } = conditions;
  const texts = truth.texts.map(({ name }) => `perplexity, ${name}`);
  const columns = ['bits a weight', 'KL', 'same top', ...texts, 'encoded in', 'decodes, tokens/s'];
  const theirs = [
    "llama.cpp's KL",
    'its same top',
    ...truth.texts.map(({ name }) => `its perplexity, ${name}`),
  ];
  const scored = truth.rows.reduce((sum, windows) => sum + windows.length, 0);
  const lines = [
    `| | ${[...columns, ...theirs].join(' | ')} |`,
    `|---|${[...columns, ...theirs].map(() => '---:').join('|')}|`,
    `| ${basename(source)} | 32.00 | 0 | 100 % | ${truth.perplexities.map(printPerplexity).join(' | ')} | | ${speed(truth)} | ${theirs.map(() => '').join(' | ')} |`,
    ...rows.map(rowLine),
    '',
    `${basename(source)}; ${scored} tokens of ${truth.texts.length} texts scored, each text's first windows of ${truth.context} tokens, their second halves; ${threads} threads.`,
    `${machine.processor}, ${machine.processorCount} processors, ${machine.system}, Node ${machine.node}, commit ${machine.commit ?? 'unknown'}; other programs took part of the machine (load before: ${machine.loadBefore.toFixed(1)}).`,
  ];
  return `${lines.join('\n')}\n`;
}

function rowLine({ name, bitsPerWeight, encodeMs, ours, theirs }: QuantizationRow): string {
  const cells = [
    name,
    bitsPerWeight.toFixed(2),
    ...divergenceCells(ours),
    ...ours.perplexities.map(printPerplexity),
    `${(encodeMs / 1000).toFixed(1)} s`,
    speed(ours),
    ...(theirs
      ? [...divergenceCells(theirs), ...theirs.perplexities.map(printPerplexity)]
      : ['', '', ...ours.perplexities.map(() => '')]),
  ];
  return `| ${cells.join(' | ')} |`;
}

function divergenceCells({ meanKl, meanKlError, topAgreement }: Quality): string[] {
  return [`${meanKl.toFixed(5)} ± ${meanKlError.toFixed(5)}`, `${(100 * topAgreement).toFixed(1)} %`];
}

const printPerplexity = (value: number): string => value.toFixed(2);

const speed = ({ decodeTokensPerSecond }: Pick<Quality, 'decodeTokensPerSecond'>): string =>
  decodeTokensPerSecond === undefined ? '' : decodeTokensPerSecond.toFixed(0);
