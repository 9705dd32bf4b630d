/**
 * What the formats cost and give, on one model: `node apps/bench/quantization.ts SOURCE.gguf -f TEXT [-f TEXT …]`
 *
 *   -f TEXT                 scored whole; may be repeated
 *   --context 256           tokens in a window, whose second half is scored; may be repeated, one for each text
 *   --windows 50            at most so many of each text
 *   --recipes q4_0,q4_k_m   only these (default: all, and the formats that are no recipe)
 *   --theirs FOLDER/NAME-   llama.cpp's files of the same model, FOLDER/NAME-q4_0.gguf and so on
 *   --imatrix FILE          weights the errors
 *   --feedback TEXT         formats with even levels also with error feedback, calibrated on 32 windows of 512 of this text
 *   --threads 2
 *   --results FILE          keeps what was measured there, row by row; a later call goes on where this one ended
 *   --speeds                measures how fast each format is encoded and decodes instead; wants a quiet machine and no text
 *   --write                 puts the tables into docs/quantization.md
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { allRecipes } from '../../src/quantize.ts';
import { describeMachine } from '../cli/machine-description.ts';
import { writeMarkedSection } from './marked-section.ts';
import { openBench, type QuantizationBench, type QuantizationRow } from './quantization/measure.ts';
import { comparisonTable, feedbackTable, qualityTable, speedTable } from './quantization/report.ts';
import { readTexts } from './quantization/score-files.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    file: { type: 'string', short: 'f', multiple: true, default: [] },
    context: { type: 'string', multiple: true, default: ['256'] },
    windows: { type: 'string', default: 'Infinity' },
    recipes: { type: 'string' },
    theirs: { type: 'string' },
    imatrix: { type: 'string' },
    feedback: { type: 'string' },
    threads: { type: 'string', default: '2' },
    results: { type: 'string' },
    speeds: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const [source = ''] = positionals;
if (source === '' || (flags.file.length === 0 && !flags.speeds)) {
  throw new Error('give a model and, with -f, a text; or --speeds');
}
const document = fileURLToPath(new URL('../../docs/quantization.md', import.meta.url));
const order = allRecipes().map(({ name }) => name);
const names = flags.recipes?.split(',') ?? order;
const machine = describeMachine();
const threads = Number(flags.threads);
const { theirs, imatrix, feedback } = flags;

await using bench = await openBench({ source, threads, theirs, imatrix, feedback });
if (flags.speeds) {
  const rows = await bench.measureSpeeds(names);
  publish('quantization-speeds', speedTable(rows, { source: basename(source), machine, threads }));
} else await measureQuality(bench);

async function measureQuality({ measureRows }: QuantizationBench): Promise<void> {
  const contexts = flags.context.map(Number);
  const places = flags.file.map((file, index) => ({ file, context: contexts[index] ?? contexts[0] ?? 256 }));
  const texts = await readTexts(source, places, Number(flags.windows));
  const rows = readRows();
  const missing = names.filter((name) => !rows.some((row) => row.name === name));
  for await (const row of measureRows(missing, texts)) {
    rows.push(row);
    if (flags.results !== undefined) writeFileSync(flags.results, JSON.stringify(rows));
    process.stderr.write(`${row.name}: KL ${row.ours.map(({ meanKl }) => meanKl.toFixed(5)).join(' ')}\n`);
  }
  rows.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  const conditions = { texts, source: basename(source), machine };
  publish('quantization', qualityTable(rows, conditions));
  if (rows.some((row) => row.theirs)) publish('quantization-comparison', comparisonTable(rows, conditions));
  if (rows.some((row) => row.feedback)) publish('quantization-feedback', feedbackTable(rows, conditions));
}

function readRows(): QuantizationRow[] {
  const path = flags.results;
  return path !== undefined && existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as QuantizationRow[])
    : [];
}

function publish(section: string, table: string): void {
  if (flags.write) writeMarkedSection(document, section, table);
  else process.stdout.write(`${table}\n`);
}
