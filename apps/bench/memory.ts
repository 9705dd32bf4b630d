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
 *   --tries N             how often each is measured at most, until nothing else is in its way (3)
 *   --results FILE        keep what was measured there, beside what the file has of earlier calls
 *   --report              measure nothing, report what --results has
 *   --write               put tables into docs/speculation.md and docs/benchmarks.md
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
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
    tries: { type: 'string', default: '3' },
    results: { type: 'string' },
    report: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stderr.write(`${line}\n`);

type Findings = Pick<MeasuredMemory, 'agreement'> & ReturnType<Measurer['results']>;

function keep(findings: Findings): MeasuredMemory {
  const all = withEarlier({ ...findings, machine: describeMachine(), measuredAt: new Date().toISOString() });
  if (flags.results !== undefined) writeFileSync(flags.results, JSON.stringify(all));
  return all;
}

/** What the file has of earlier calls, those of the same pair, comes first. */
function withEarlier(now: MeasuredMemory): MeasuredMemory {
  if (earlier?.recipe.shape !== now.recipe.shape) return now;
  return {
    ...now,
    agreement: now.agreement ?? earlier.agreement,
    shares: now.shares ?? earlier.shares,
    measured: [...earlier.measured, ...now.measured],
    rates: [...earlier.rates, ...now.rates],
    remarks: [...new Set([...earlier.remarks, ...now.remarks])],
  };
}

async function measure(): Promise<MeasuredMemory> {
  const names = Object.keys(pairRecipes) as (keyof typeof pairRecipes)[];
  const name = names.find((known) => known === flags.pair);
  if (name === undefined)
    throw new Error(`there is no pair '${flags.pair}'; choose from ${names.join(', ')}`);
  const recipe = pairRecipes[name];
  const pair = await modelPair(recipe, (path) => say(`making ${path}`));
  const cacheFolder = join(tmpdir(), 'nearfield-bench', 'packed');
  await mkdir(cacheFolder, { recursive: true });
  const measurer: Measurer = new Measurer({
    ...{ recipe, pair, cacheFolder, say },
    threads: Number(flags.threads),
    wanted: flags.way === '' ? [] : flags.way.split(','),
    tokens: Number(flags.tokens),
    plainTokens: Number(flags['plain-tokens']),
    nativeTokens: Number(flags['native-tokens']),
    tries: Number(flags.tries),
    onMeasured: () => void keep({ ...measurer.results(), agreement: undefined }),
  });
  const sets = flags.set.split(',');
  try {
    if (sets.includes('streamed')) await measurer.streamed();
    if (sets.includes('resident')) await measurer.resident();
    if (sets.includes('quoting')) await measurer.quoting();
    return keep({ ...measurer.results(), agreement: await measurer.agreement() });
  } finally {
    measurer.close();
  }
}

if (flags.report && flags.results === undefined) throw new Error('--report wants --results FILE');
const earlier =
  flags.results !== undefined && existsSync(flags.results)
    ? (JSON.parse(readFileSync(flags.results, 'utf8')) as MeasuredMemory)
    : undefined;
if (flags.report && !earlier) throw new Error(`there is nothing in ${flags.results}`);
const measured: MeasuredMemory = flags.report && earlier ? earlier : await measure();
const [ablation, report] = [ablationTable(measured), memoryReport(measured)];
process.stdout.write(`${ablation}\n${report}\n`);
if (flags.write) {
  const docs = join(packageFolder(), 'docs');
  writeMarkedSection(join(docs, 'speculation.md'), 'ablation', ablation);
  writeMarkedSection(join(docs, 'benchmarks.md'), 'memory', report);
}
