/** What speculation came to, for `--json` and `--verbose`. */
import { printBytes } from '../../src/base/print-bytes.ts';
import type { GenerationResult, SpeculationEstimate, StreamingReport } from '../../src/index.ts';
import { labelledLines } from './text-table.ts';

const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

/** The result's figures on decoding, and what follows from them. */
export function decoderReport({ decoder, tokens }: GenerationResult): object {
  const { speculation, ...counts } = decoder;
  const passesPerToken = share(counts.steps, tokens.length);
  if (!speculation) return { ...counts, passesPerToken };
  return {
    ...counts,
    passesPerToken,
    speculation: {
      ...speculation,
      acceptedPerVerification: share(counts.accepted, speculation.verifications),
      treeSize: share(counts.proposed, speculation.verifications),
    },
  };
}

/** None where nothing was proposed. */
export function speculationLines({ decoder, tokens }: GenerationResult): string[] {
  const { speculation, accepted, proposed, steps } = decoder;
  if (!speculation || speculation.verifications === 0) return [];
  const { verifications, fallback, alpha, draftPasses, draftMs, draftEnd } = speculation;
  const { provisionalKept, provisionalDropped } = speculation;
  const perVerification = share(accepted, verifications).toFixed(2);
  const lines = [
    `speculation (${fallback}): ${perVerification} tokens accepted per verification, trees of ${share(proposed, verifications).toFixed(1)}, ${share(steps, tokens.length).toFixed(2)} passes per token`,
  ];
  if (draftPasses > 0) {
    const end = draftEnd === undefined ? '' : `, given up: ${draftEnd}`;
    lines.push(`draft: ${draftPasses} passes in ${draftMs.toFixed(0)} ms${end}`);
  }
  if (provisionalKept + provisionalDropped > 0) {
    lines.push(`provisional tokens: ${provisionalKept} kept, ${provisionalDropped} dropped`);
  }
  if (alpha.length > 0) {
    const shown = alpha.slice(-12).map((value) => Number(value.toPrecision(2)));
    lines.push(`α of late: ${shown.join(' ')}`);
  }
  return lines;
}

/** Since the model was loaded: the prompt's passes are in it. */
export function streamingLine({
  passes,
  bytesRead,
  hiddenReadShare,
  hiddenComputeShare,
}: StreamingReport): string {
  const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
  return `streamed ${printBytes(bytesRead)} in ${passes} passes; of reading ${percent(hiddenReadShare)} while computing, of computing ${percent(hiddenComputeShare)} while reading`;
}

export function printSpeculation({
  draft,
  model,
  readBytesPerSecond,
  breakEven,
}: SpeculationEstimate): string {
  const ms = (value: number): string => `${Number(value.toPrecision(3))} ms`;
  const reads =
    readBytesPerSecond === undefined
      ? ''
      : `, reads ${printBytes(model.bytesPerPass)} in ${ms(model.readMs)} at ${printBytes(readBytesPerSecond)}/s`;
  const pays = breakEven
    ? `from ${(100 * breakEven.acceptance).toFixed(0)} % accepted on, with ${breakEven.chain} tokens at a time`
    : 'never';
  const lines = labelledLines([
    ['draft', `a pass in ${ms(draft.passMs)}, ${printBytes(draft.bytes)} with its cache`],
    [
      'model',
      `a pass in ${ms(model.passMs)}: computes ${ms(model.computeMs)} and ${ms(model.rowMs)} for each further row${reads}`,
    ],
    ['pays', pays],
  ]);
  return `\nspeculation with ${draft.source}\n${lines}`;
}
