/**
 * What the formats cost and give, on one model: `node apps/bench/quantization.ts SOURCE.gguf -f TEXT [-f TEXT …]`
 *
 *   --recipes q4_0,q4_k_m   only these (default: all)
 *   --theirs FOLDER/NAME-   llama.cpp's files of the same model, FOLDER/NAME-q4_0.gguf and so on
 *   --imatrix FILE          weights the errors
 *   --windows 50            of each text
 *   --context 256           tokens in a window; the second half is scored
 *   --threads 2
 *   --results FILE          keeps what was measured there, row by row; a later call goes on where this one ended
 *   --write                 puts the table into docs/quantization.md
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { allRecipes, quantizeCheckpoint, readImatrix, recipeByName } from '../../src/quantize.ts';
import { describeMachine } from '../cli/machine-description.ts';
import { writeMarkedSection } from './marked-section.ts';
import { measureQuality, openTruth, type Quality } from './quantization/measure-quality.ts';
import { type QuantizationRow, quantizationTable } from './quantization/report.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    file: { type: 'string', short: 'f', multiple: true, default: [] },
    recipes: { type: 'string' },
    theirs: { type: 'string' },
    imatrix: { type: 'string' },
    windows: { type: 'string', default: '50' },
    context: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
    results: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const [source] = positionals;
if (source === undefined || flags.file.length === 0) throw new Error('give a model and, with -f, a text');
const folder = await mkdtemp(join(tmpdir(), 'nearfield-quantization-'));
const threads = Number(flags.threads);
const document = fileURLToPath(new URL('../../docs/quantization.md', import.meta.url));
const say = (line: string): void => void process.stderr.write(`${line}\n`);

try {
  const scale = { windows: Number(flags.windows), context: Number(flags.context), threads };
  const truth = await openTruth(source, flags.file, scale);
  const places = allRecipes().map(({ name }) => name);
  const names = flags.recipes?.split(',') ?? places;
  const content = flags.imatrix === undefined ? undefined : await readImatrix(flags.imatrix);
  const imatrix = content && { name: basename(flags.imatrix ?? ''), content };
  const rows = flags.results === undefined ? [] : readRows(flags.results);
  for (const name of names.filter((one) => !rows.some((row) => row.name === one))) {
    const path = join(folder, `${name}.gguf`);
    const checkpoint = await openCheckpoint(source);
    const { bitsPerWeight, elapsedMs } = await quantizeCheckpoint(checkpoint, path, {
      ...{ recipe: recipeByName(name), threads, imatrix },
    });
    await checkpoint.close();
    const ours = await measureQuality(truth, path, { measuresSpeed: true });
    await rm(path);
    const theirs = await measureTheirs(name);
    rows.push({ name, bitsPerWeight, encodeMs: elapsedMs, ours, theirs });
    if (flags.results !== undefined) writeFileSync(flags.results, JSON.stringify(rows));
    say(`${name}: KL ${ours.meanKl.toFixed(5)}${theirs ? `, llama.cpp's ${theirs.meanKl.toFixed(5)}` : ''}`);
  }
  rows.sort((a, b) => places.indexOf(a.name) - places.indexOf(b.name));
  const table = quantizationTable(rows, { truth, source, machine: describeMachine(), threads });
  if (flags.write) writeMarkedSection(document, 'quantization', table);
  else process.stdout.write(table);

  function readRows(path: string): QuantizationRow[] {
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as QuantizationRow[]) : [];
  }

  async function measureTheirs(name: string): Promise<Quality | undefined> {
    const path = `${flags.theirs}${name}.gguf`;
    if (flags.theirs === undefined || !existsSync(path)) return undefined;
    return measureQuality(truth, path, { measuresSpeed: false });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
