/**
 * `npm run bench:peers`: this engine beside native llama.cpp and wllama, on the same random models, in turn.
 *
 *   --model 134m,1.1b     models
 *   --threads 1,2         compute threads; native's best over fewer threads counts too
 *   --contender NAMES     nearfield-node, nearfield-chromium, native, wllama-2, wllama-latest
 *   --row WORDS           only rows whose name contains one of these
 *   --native SETTINGS     of off-f16, off-q8_0, on-f16, on-q8_0: flash attention and type of the keys
 *   --cache TYPES         of this engine's cache: f16, q8_0
 *   --quick               fewer and shorter runs, short contexts only
 *   --repeats N, --starts N, --row-seconds N, --fill-seconds N
 *                         rounds of a row (5), cold starts (3), seconds after which an engine takes no further rounds of a
 *                         row (15), and the longest time to fill a context that is waited for (120)
 *   --quiet-seconds N     how long each run waits for other programs to leave the machine (4)
 *   --results FILE        keep what was measured there, beside rows that the file has of earlier calls
 *   --report              measure nothing, report what --results has
 *   --write               put tables and plots into docs/
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printBytes } from '../../src/base/print-bytes.ts';
import { describeMachine, type MachineDescription } from '../cli/machine-description.ts';
import { integerInstructions } from './machine-instructions.ts';
import { writeMarkedSection } from './marked-section.ts';
import type { ContenderSpec, Kind } from './peers/contender.ts';
import { install } from './peers/install.ts';
import { measureRows, type Patience } from './peers/measure-rows.ts';
import { mergeSet } from './peers/merge-sets.ts';
import { barPlot } from './peers/plot.ts';
import {
  kindTitles,
  type ModelSet,
  nativeReport,
  plotGroups,
  setReport,
  shortfalls,
} from './peers/report.ts';
import { contextRows, rows } from './peers/rows.ts';
import { shapeFile } from './shape-file.ts';

const models = { '134m': '134m', '1.1b': 'tinyllama-1.1b' } as const;
const titles = { '134m': '134 M', '1.1b': '1.1 B' } as const;
type ModelName = keyof typeof models;

const kinds = Object.keys(kindTitles) as Kind[];
const docs = fileURLToPath(new URL('../../docs/', import.meta.url));
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: '134m,1.1b' },
    threads: { type: 'string', default: '1,2' },
    contender: { type: 'string', default: kinds.join(',') },
    row: { type: 'string', default: '' },
    cache: { type: 'string', default: 'f16,q8_0' },
    quick: { type: 'boolean', default: false },
    native: { type: 'string', default: 'off-f16,off-q8_0,on-f16,on-q8_0' },
    repeats: { type: 'string' },
    starts: { type: 'string' },
    'row-seconds': { type: 'string' },
    'fill-seconds': { type: 'string' },
    'quiet-seconds': { type: 'string' },
    results: { type: 'string' },
    report: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

function chosen<Name extends string>(text: string, known: readonly Name[]): Name[] {
  return text.split(',').map((part) => {
    const name = known.find((candidate) => candidate === part.trim());
    if (name === undefined) throw new Error(`there is no '${part}'; choose from ${known.join(', ')}`);
    return name;
  });
}

const standard = flags.quick
  ? { repeats: 2, starts: 1, rowSeconds: 4, fillSeconds: 15, quietSeconds: 0.5 }
  : { repeats: 5, starts: 3, rowSeconds: 15, fillSeconds: 120, quietSeconds: 4 };
const patience: Patience = {
  repeats: Number(flags.repeats ?? standard.repeats),
  starts: Number(flags.starts ?? standard.starts),
  runMs: flags.quick ? 300 : 800,
  rowMs: 1000 * Number(flags['row-seconds'] ?? standard.rowSeconds),
  fillMs: 1000 * Number(flags['fill-seconds'] ?? standard.fillSeconds),
  quietMs: 1000 * Number(flags['quiet-seconds'] ?? standard.quietSeconds),
};

function specsOf(modelPath: string, threads: number, wanted: readonly Kind[]): ContenderSpec[] {
  return wanted.flatMap((kind): ContenderSpec[] => {
    const spec = { kind, modelPath, threads, contextRows };
    if (kind.startsWith('nearfield')) {
      return chosen(flags.cache, ['f16', 'q8_0'] as const).map((cache) => ({ ...spec, cache }));
    }
    if (kind !== 'native') return [spec];
    return flags.native.split(',').map((settings) => {
      const [flash, cache] = settings.trim().split('-');
      return { ...spec, flashAttention: flash === 'on', cache: cache === 'q8_0' ? 'q8_0' : 'f16' };
    });
  });
}

function machineText(machine: MachineDescription): string {
  const { processor, processorCount, memoryBytes, system, node, v8 } = machine;
  const memory = printBytes(memoryBytes);
  return `${processor}, ${processorCount} processors (${integerInstructions()}), ${memory}, ${system}. Node ${node} (V8 ${v8}).`;
}

function conditionsText({ commit }: MachineDescription, foreignLoad: number | undefined): string {
  const when = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const { repeats, starts, rowMs } = patience;
  const rounds = `up to ${repeats} rounds and ${rowMs / 1000} s an engine and row, ${starts} cold starts`;
  const others =
    foreignLoad === undefined
      ? ''
      : `; other programs took ${(100 * foreignLoad).toFixed(0)} % of the processors meanwhile`;
  return `Commit ${commit ?? 'unknown'}, ${when} UTC, ${rounds}${others}.`;
}

const words = flags.row === '' ? [] : flags.row.split(',');
const chosenRows = rows.filter(
  ({ name, depth }) =>
    (words.length === 0 || words.some((word) => name.includes(word))) && !(flags.quick && depth > 512),
);
const wanted = chosen(flags.contender, kinds).filter((kind) => {
  if (kind === 'native') return install('native', say);
  return kind.startsWith('wllama') ? install('wllama', say) : true;
});
const machine = describeMachine();
say(machineText(machine));
const sets: ModelSet[] =
  flags.results !== undefined && existsSync(flags.results)
    ? (JSON.parse(readFileSync(flags.results, 'utf8')) as ModelSet[])
    : [];
for (const name of flags.report ? [] : chosen(flags.model, Object.keys(models) as ModelName[])) {
  const modelPath = await shapeFile(models[name], 'q4_0', { onMake: (path) => say(`making ${path}`) });
  for (const threads of flags.threads.split(',').map(Number)) {
    say(`${titles[name]}, ${threads} threads`);
    const specs = specsOf(modelPath, threads, wanted);
    const measured = await measureRows(specs, chosenRows, patience, say);
    const conditions = [conditionsText(machine, measured.foreignLoad)];
    const set = { model: titles[name], threads, conditions, ...measured };
    sets.splice(0, sets.length, ...mergeSet(sets, set));
    if (flags.results !== undefined) writeFileSync(flags.results, JSON.stringify(sets));
  }
}

const most = Math.max(...sets.map(({ threads }) => threads));
const sections = sets.flatMap((set) => [
  setReport(sets, set),
  nativeReport(set),
  ...(set.threads === most ? [`Short of issue 3's goals:\n\n${shortfalls(sets, set)}`] : []),
]);
const legend =
  'Medians, in parentheses the least and the most. Ratios say how many times as fast; of the step of 8 rows, where less is better, they are plain quotients. Runs in which other programs took more than a tenth of the machine are left out; where all were disturbed so, the cell has a star.';
const report = `${machineText(machine)}\n\n${legend}\n\n${sections.join('\n')}`;
process.stdout.write(`${report}\n`);
if (flags.write) {
  mkdirSync(docs, { recursive: true });
  const pictures = sets
    .filter(({ threads }) => threads === most)
    .map((set) => {
      const file = `peers-${set.model.replaceAll(/[ .]/g, '').toLowerCase()}.svg`;
      const title = `${set.model}, Q4_0, ${set.threads} threads, relative to native llama.cpp`;
      writeFileSync(
        `${docs}${file}`,
        barPlot(title, `${machine.processor}, ${set.conditions.at(-1)}`, plotGroups(sets, set)),
      );
      return `![${title}](${file})`;
    });
  writeMarkedSection(`${docs}benchmarks.md`, 'peers', `${pictures.join('\n')}\n\n${report}`);
}
