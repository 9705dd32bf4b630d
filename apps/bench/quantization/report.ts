/** The tables of docs/quantization.md. */
import type { MachineDescription } from '../../cli/machine-description.ts';
import type { QuantizationRow, SpeedRow } from './measure.ts';
import { type BenchText, comparePerplexities, perplexityOf, type TextScore } from './score-files.ts';

export interface QualityConditions {
  readonly texts: readonly BenchText[];
  readonly source: string;
  readonly machine: MachineDescription;
}

export interface SpeedConditions {
  readonly source: string;
  readonly machine: MachineDescription;
  readonly threads: number;
}

/** Bits, divergence and perplexity of what is made here. */
export function qualityTable(rows: readonly QuantizationRow[], conditions: QualityConditions): string {
  const { texts, source } = conditions;
  const columns = texts.flatMap(({ name }) => [`KL, ${name}`, 'same top', 'perplexity']);
  const truth = rows[0]?.truth ?? [];
  return table(
    ['', 'bits a weight', ...columns],
    [
      [source, '32.00', ...truth.flatMap((score) => ['0', '100 %', printPerplexity(score)])],
      ...rows.map(({ name, bitsPerWeight, ours }) => [
        name,
        bitsPerWeight.toFixed(2),
        ...ours.flatMap((score) => [
          printKl(score),
          `${(100 * score.topAgreement).toFixed(1)} %`,
          printPerplexity(score),
        ]),
      ]),
    ],
    `${conditionLine(conditions)}\n${machineLine(conditions.machine)}`,
  );
}

/** llama.cpp's divergences, and by how much ours, and perplexities, exceed others. */
export function comparisonTable(rows: readonly QuantizationRow[], conditions: QualityConditions): string {
  const columns = conditions.texts.flatMap(({ name }) => [
    `llama.cpp's KL, ${name}`,
    'ours beside it',
    'our perplexity beside its',
    'ours beside the source',
    'its beside the source',
  ]);
  const lines = rows.flatMap(({ name, truth, ours, theirs }) => {
    if (!theirs) return [];
    const cells = theirs.flatMap((its, text) => {
      const [mine, source] = [ours[text] ?? its, truth[text] ?? its];
      const more = its.meanKl > 0 ? percent(mine.meanKl / its.meanKl - 1) : '';
      return [printKl(its), more, excess(mine, its), excess(mine, source), excess(its, source)];
    });
    return [[name, ...cells]];
  });
  return table(['', ...columns], lines, conditionLine(conditions));
}

/** Rounding alone and with error feedback. */
export function feedbackTable(rows: readonly QuantizationRow[], conditions: QualityConditions): string {
  const columns = conditions.texts.flatMap(({ name }) => [
    `KL, ${name}`,
    'with feedback',
    'perplexity',
    'with feedback',
  ]);
  const lines = rows.flatMap(({ name, ours, feedback }) => {
    if (!feedback) return [];
    const cells = feedback.flatMap((fed, text) => {
      const plain = ours[text] ?? fed;
      return [printKl(plain), printKl(fed), printPerplexity(plain), printPerplexity(fed)];
    });
    return [[name, ...cells]];
  });
  return table(['', ...columns], lines, conditionLine(conditions));
}

export function speedTable(rows: readonly SpeedRow[], { source, machine, threads }: SpeedConditions): string {
  const lines = rows.map(({ name, encodeMs, decodeTokensPerSecond }) => [
    name,
    encodeMs === undefined ? '' : `${(encodeMs / 1000).toFixed(1)} s`,
    decodeTokensPerSecond.toFixed(0),
  ]);
  return table(
    ['', 'encoded in', 'decodes, tokens/s'],
    lines,
    `${source}; ${threads} threads; load before: ${machine.loadBefore.toFixed(1)}.\n${machineLine(machine)}`,
  );
}

function table(columns: readonly string[], rows: readonly (readonly string[])[], below: string): string {
  const lines = [
    `| ${columns.join(' | ')} |`,
    `|---|${columns
      .slice(1)
      .map(() => '---:')
      .join('|')}|`,
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
  ];
  return `${lines.join('\n')}\n\n${below}\n`;
}

function conditionLine({ texts, source }: QualityConditions): string {
  const scored = texts.map(({ name, context, windows }) => {
    return `${name}: ${windows.length * (context - (context >> 1))} tokens in ${windows.length} windows of ${context}`;
  });
  return `${source}; the second halves of windows are scored. ${scored.join('; ')}.`;
}

function machineLine({ processor, processorCount, system, node, commit }: MachineDescription): string {
  return `${processor}, ${processorCount} processors, ${system}, Node ${node}, commit ${commit ?? 'unknown'}.`;
}

const printPerplexity = (score: TextScore): string => perplexityOf(score).toFixed(2);

const printKl = ({ meanKl }: TextScore): string => meanKl.toFixed(5);

const percent = (share: number): string => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(1)} %`;

/** Of perplexities on the same windows. */
function excess(one: TextScore, other: TextScore): string {
  const { excess: share, error } = comparePerplexities(one, other);
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(2)} ± ${(100 * error).toFixed(2)} %`;
}
