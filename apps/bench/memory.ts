/**
 * `npm run bench:memory`: models larger than memory (Linux, where memory cgroups may be made). A target 2.5 times the
 * budget for its weights is run in a cgroup by llama.cpp and by this engine: plain, and with a draft in one way after the
 * other; then both models in memory. Cached pages of all files are dropped before each.
 *
 *   --pair 1.1b           or 134m, for trying
 *   --threads 2
 *   --set streamed,resident,quoting
 *   --way NAMES           only these, of `memory/ways.ts`, and `native`
 *   --tokens N, --plain-tokens N, --native-tokens N
 *                         per text, of ways with a draft, of plain streaming, of llama.cpp
 *   --rounds N            how often each has its turn (1)
 *   --results FILE        keep what was measured there
 *   --report              measure nothing, report what --results has
 *   --write               put tables into docs/speculation.md and docs/benchmarks.md
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from '../cli/machine-description.ts';
import { packageFolder } from '../cli/package-files.ts';
import { writeMarkedSection } from './marked-section.ts';
import { Measurer } from './memory/measure.ts';
import { modelPair, pairRecipes } from './memory/pair.ts';
import { ablationTable, memoryReport } from './memory/report.ts';
import type { MeasuredMemory } from './memory/results.ts';

const { values: flags } = parseArgs({
  options: {
    pair: { type: 'string', default: '1.1b' },
    threads: { type: 'string', default: '2' },
    set: { type: 'string', default: 'streamed,resident,quoting' },
    way: { type: 'string', default: '' },
    tokens: { type: 'string', default: '96' },
    'plain-tokens': { type: 'string', default: '20' },
    'native-tokens': { type: 'string', default: '10' },
    rounds: { type: 'string', default: '1' },
    results: { type: 'string' },
    report: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function measure(): Promise<MeasuredMemory> {
  const recipe = pairRecipes[flags.pair as keyof typeof pairRecipes];
  if (!recipe)
    throw new Error(`there is no pair '${flags.pair}'; choose from ${Object.keys(pairRecipes).join(', ')}`);
  const pair = await modelPair(recipe, (path) => say(`making ${path}`));
  const cacheFolder = join(tmpdir(), 'nearfield-bench', 'packed');
  await mkdir(cacheFolder, { recursive: true });
  const measurer = new Measurer({
    ...{ recipe, pair, cacheFolder, say },
    threads: Number(flags.threads),
    wanted: flags.way === '' ? [] : flags.way.split(','),
    tokens: Number(flags.tokens),
    plainTokens: Number(flags['plain-tokens']),
    nativeTokens: Number(flags['native-tokens']),
  });
  const sets = flags.set.split(',');
  try {
    for (let round = 0; round < Number(flags.rounds); round++) {
      if (sets.includes('streamed')) await measurer.streamed();
      if (sets.includes('resident')) await measurer.resident();
      if (sets.includes('quoting')) await measurer.quoting();
    }
    return {
      ...(await measurer.results()),
      machine: describeMachine(),
      measuredAt: new Date().toISOString(),
    };
  } finally {
    measurer.close();
  }
}

if (flags.report && flags.results === undefined) throw new Error('--report wants --results FILE');
const measured: MeasuredMemory =
  flags.report && flags.results !== undefined
    ? (JSON.parse(readFileSync(flags.results, 'utf8')) as MeasuredMemory)
    : await measure();
if (!flags.report && flags.results !== undefined) writeFileSync(flags.results, JSON.stringify(measured));
const [ablation, report] = [ablationTable(measured), memoryReport(measured)];
process.stdout.write(`${ablation}\n${report}\n`);
if (flags.write) {
  const docs = join(packageFolder(), 'docs');
  writeMarkedSection(join(docs, 'speculation.md'), 'ablation', ablation);
  writeMarkedSection(join(docs, 'benchmarks.md'), 'memory', report);
}
