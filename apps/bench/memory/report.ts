/** Tables of what `bench:memory` has measured, and how they stand to what is wanted. */
import { printBytes } from '../../../src/base/print-bytes.ts';
import { disturbingLoad } from '../foreign-load.ts';
import { integerInstructions } from '../machine-instructions.ts';
import { modelShapes } from '../model-shapes.ts';
import type { Measured, MeasuredMemory, MemoryShares } from './results.ts';
import { nativeNames, quotingWays, residentWays, streamedWays } from './ways.ts';

type SetName = Measured['set'];

const rateOf = ({ tally }: Measured): number => (1000 * tally.tokens) / tally.ms;
const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
const quotient = (one: Measured | undefined, other: Measured | undefined): string =>
  one && other ? `${(rateOf(one) / rateOf(other)).toFixed(2)}x` : '';

/** Of each contender the run that others disturbed least, in the order of the first ones. */
function calmest({ measured }: MeasuredMemory, set: SetName): Measured[] {
  const best = new Map<string, Measured>();
  for (const run of measured) {
    if (run.set !== set) continue;
    const before = best.get(run.name);
    if (!before || run.foreignLoad < before.foreignLoad) best.set(run.name, run);
  }
  return [...best.values()];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heads, ['---', ...heads.slice(1).map(() => '---:')], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const nameOf = ({ name, foreignLoad }: Measured): string =>
  foreignLoad > disturbingLoad ? `${name} *` : name;

const star =
  '\\* Other programs took more than a tenth of the processors in every run of it; the least disturbed is shown.';

const starOf = (runs: readonly Measured[]): string =>
  runs.some(({ foreignLoad }) => foreignLoad > disturbingLoad) ? `\n\n${star}` : '';

/** For docs/speculation.md. */
export function ablationTable(all: MeasuredMemory): string {
  const ways = Object.values(streamedWays).map(({ name }): string => name);
  const runs = calmest(all, 'streamed').filter(({ name }) => ways.includes(name));
  const plain = runs.find(({ name }) => name === streamedWays.plain.name);
  const rows = runs.map((run): string[] => {
    const { tally } = run;
    const provisional = tally.provisionalKept + tally.provisionalDropped;
    return [
      nameOf(run),
      rateOf(run).toFixed(2),
      quotient(run, plain),
      (tally.tokens / tally.passes).toFixed(2),
      share(tally.proposed, tally.verifications).toFixed(1),
      megabytes(tally.bytesRead / tally.tokens),
      (tally.ms / tally.passes).toFixed(0),
      (tally.draftMs / tally.passes).toFixed(0),
      provisional > 0 ? `${tally.provisionalKept} of ${provisional}` : '',
    ];
  });
  const heads = [
    ...[
      'decoding',
      'tokens/s',
      'of plain',
      'tokens per verification',
      'candidates in a tree',
      'MB per token',
    ],
    ...['ms per verification', 'of them drafting', 'provisional tokens kept'],
  ];
  return `${pairText(all)}\n\n${table(heads, rows)}${starOf(runs)}`;
}

function pairText({ recipe, agreement }: MeasuredMemory): string {
  const { shape, format, firstLayers, laterGain, headGain } = recipe;
  const { layers } = modelShapes[shape];
  const agreed =
    agreement === undefined ? '' : ` It is the target's next token in ${percent(agreement)} of places.`;
  return `Target: random weights in the shape of ${shape}, ${format.toUpperCase()}, ${layers} layers. What all but the first ${firstLayers} add is scaled by ${laterGain}, the head by ${headGain}. Draft: the first ${firstLayers === 1 ? 'layer' : `${firstLayers} layers`} with the same embedding and head.${agreed}`;
}

/** For docs/benchmarks.md. */
export function memoryReport(all: MeasuredMemory): string {
  const parts = [
    `${machineText(all)}\n\n${pairText(all)}`,
    streamedPart(all),
    speedPart(all, 'resident', 'Both models in memory', residentWays.plain.name),
    speedPart(all, 'quoting', 'Texts that quote themselves, in memory', quotingWays.plain.name),
    ...all.remarks.map((remark) => `Left out: ${remark}.`),
    `Against what was wanted:\n\n${verdicts(all)}`,
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function machineText({ machine, measuredAt, threads }: MeasuredMemory): string {
  const { processor, processorCount, memoryBytes, system, node, commit } = machine;
  const when = measuredAt.slice(0, 16).replace('T', ' ');
  return `${processor}, ${processorCount} processors (${integerInstructions()}), ${printBytes(memoryBytes)}, ${system}. Node ${node}, ${threads} threads. Commit ${commit ?? 'unknown'}, ${when} UTC.`;
}

function sharesText({
  targetBytes,
  weightsBytes,
  draftBytes,
  cacheBytes,
  emptyBytes,
  limitBytes,
}: MemoryShares): string {
  return `Target ${megabytes(targetBytes)} MB, budget for its weights ${megabytes(weightsBytes)} MB, draft ${megabytes(draftBytes)} MB, caches ${megabytes(cacheBytes)} MB, a process with an empty engine ${megabytes(emptyBytes)} MB: the cgroup's limit is ${megabytes(limitBytes)} MB for each.`;
}

function streamedPart(all: MeasuredMemory): string {
  const runs = calmest(all, 'streamed');
  if (runs.length === 0)
    return typeof all.groups === 'string' ? `Streaming was left out: ${all.groups}.` : '';
  const find = (name: string) => runs.find((run) => run.name === name);
  const [native, plain, chain] = [
    nativeRun(runs),
    find(streamedWays.plain.name),
    find(streamedWays.chain.name),
  ];
  const rows = runs.map((run): string[] => {
    const { tally, diskBytesPerSecond = 0, peakBytes } = run;
    const isOwn = tally.readMs > 0;
    const rate = share(1000 * tally.bytesRead, tally.readMs);
    return [
      nameOf(run),
      rateOf(run).toFixed(2),
      quotient(run, native),
      quotient(run, plain),
      run === native || run === plain ? '' : quotient(run, chain),
      isOwn ? megabytes(tally.bytesRead / tally.tokens) : '',
      isOwn ? `${(rate / 1e9).toFixed(2)}` : '',
      (diskBytesPerSecond / 1e9).toFixed(2),
      isOwn ? percent(rate / diskBytesPerSecond) : '',
      isOwn ? percent(share(tally.bothMs, tally.computeMs)) : '',
      peakBytes === undefined ? '' : megabytes(peakBytes),
      percent(run.foreignLoad),
    ];
  });
  const heads = [
    ...[
      'in a cgroup',
      'tokens/s',
      'of llama.cpp',
      'of plain',
      'of linear',
      'MB per token',
      'GB/s while reading',
    ],
    ...[
      'GB/s of the disk before',
      'share of it',
      'compute hidden under reads',
      'MB in the group at most',
      'others',
    ],
  ];
  const shares = all.shares ? `${sharesText(all.shares)}\n\n` : '';
  return `${shares}${table(heads, rows)}${starOf(runs)}`;
}

/** As the file is, or else as it runs. */
function nativeRun(runs: readonly Measured[]): Measured | undefined {
  const find = (name: string) => runs.find((run) => run.name === name);
  return find(nativeNames.target) ?? find(nativeNames.wideTarget);
}

function speedPart(all: MeasuredMemory, set: SetName, title: string, plainName: string): string {
  const runs = calmest(all, set);
  const plain = runs.find(({ name }) => name === plainName);
  if (runs.length === 0) return '';
  const rows = runs.map((run): string[] => {
    const { tally } = run;
    return [
      nameOf(run),
      rateOf(run).toFixed(2),
      quotient(run, plain),
      (tally.tokens / tally.passes).toFixed(2),
      share(tally.proposed, tally.verifications).toFixed(1),
      percent(run.foreignLoad),
    ];
  });
  const heads = ['tokens/s', 'of plain', 'tokens per pass', 'candidates in a tree', 'others'];
  return `${table([title, ...heads], rows)}${starOf(runs)}`;
}

interface Wish {
  readonly what: string;
  readonly reached: number | undefined;
  readonly floor: number;
  readonly goal: number;
}

function verdicts(all: MeasuredMemory): string {
  const [streamed, resident, quoting] = [
    calmest(all, 'streamed'),
    calmest(all, 'resident'),
    calmest(all, 'quoting'),
  ];
  const rate = (runs: readonly Measured[], name: string): number | undefined => {
    const run = runs.find((each) => each.name === name);
    return run && rateOf(run);
  };
  const ratio = (one: number | undefined, other: number | undefined): number | undefined =>
    one !== undefined && other !== undefined ? one / other : undefined;
  const native = nativeRun(streamed);
  const trees = [streamedWays.provisional, streamedWays.cost];
  const best = Math.max(...trees.map(({ name }) => rate(streamed, name) ?? 0)) || undefined;
  const own = streamed.find(({ name }) => name === streamedWays.cost.name);
  const reading = own && share(1000 * own.tally.bytesRead, own.tally.readMs);
  const { bothMs = 0, computeMs = 0, readMs = 0 } = own?.tally ?? {};
  const wishes: Wish[] = [
    { what: 'speed, of llama.cpp', reached: ratio(best, native && rateOf(native)), floor: 4, goal: 9.3 },
    {
      ...{ what: 'speed, of plain streaming', floor: 2.5, goal: 4 },
      reached: ratio(best, rate(streamed, streamedWays.plain.name)),
    },
    {
      ...{ what: 'speed, of linear speculation', floor: 1.2, goal: 1.5 },
      reached: ratio(best, rate(streamed, streamedWays.chain.name)),
    },
    {
      ...{ what: 'reading, of the rate of the disk', floor: 0.85, goal: 0.85 },
      reached: ratio(reading, own?.diskBytesPerSecond),
    },
    {
      ...{ what: 'of computing hidden under reads, or the reverse', floor: 0.9, goal: 0.9 },
      reached: own && Math.max(share(bothMs, computeMs), share(bothMs, readMs)),
    },
    {
      ...{ what: 'speed in memory, of plain', floor: 1.3, goal: 1.3 },
      reached: ratio(rate(resident, residentWays.cost.name), rate(resident, residentWays.plain.name)),
    },
    {
      ...{ what: 'speed of lookup on quoting texts, of plain', floor: 2.5, goal: 2.5 },
      reached: ratio(rate(quoting, quotingWays.lookup.name), rate(quoting, quotingWays.plain.name)),
    },
  ];
  return wishes
    .filter(({ reached }) => reached !== undefined)
    .map(({ what, reached = 0, floor, goal }) => {
      const verdict =
        reached >= goal ? 'reached' : `${reached >= floor ? 'above' : '**below**'} the floor of ${floor}`;
      return `- ${what}: ${reached.toFixed(2)}, goal ${goal}: ${verdict}`;
    })
    .join('\n');
}
