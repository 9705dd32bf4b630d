/** What `bench` measured, as text. */
import type { MachineRates } from '../../src/backend.ts';
import { printBytes } from '../../src/base/print-bytes.ts';
import type { DeviceWork, EngineDescription, MemoryReport } from '../../src/index.ts';
import type { SpeedResult } from '../bench/model-speed.ts';
import type { MachineDescription } from './machine-description.ts';
import { textTable } from './text-table.ts';

export interface BenchResult {
  readonly model: string;
  readonly architecture: string;
  readonly parameterCount: number;
  readonly fileBytes: number;
  readonly backend: string;
  readonly threads: number;
  readonly perToken?: EngineDescription['perToken'] | undefined;
  /** Of the machine, where the backend measures them. */
  readonly rates?: MachineRates | undefined;
  readonly loadMs: number;
  /** The cache at its largest. */
  readonly memory: MemoryReport & {
    /** The process at most: when the model was loaded, and at the end. */
    readonly loadedPeakBytes: number;
    readonly peakRssBytes: number;
    /** Of the latter what is neither weights nor cache nor activations. */
    readonly besideBytes: number;
  };
  readonly speeds: readonly SpeedResult[];
}

export interface BenchTable {
  readonly machine: MachineDescription;
  readonly results: readonly BenchResult[];
}

export function benchReport({ machine, results }: BenchTable): string {
  const { processor, processorCount, memoryBytes, system, node, nearfield, commit, loadBefore } = machine;
  const header = [
    `${processor}, ${processorCount} processors, ${printBytes(memoryBytes)}, ${system}`,
    `node ${node}, nearfield ${nearfield}${commit === undefined ? '' : ` (${commit})`}, load before ${loadBefore.toFixed(2)}`,
  ];
  return `${header.join('\n')}\n\n${results.map(printResult).join('\n')}`;
}

function printResult(result: BenchResult): string {
  const { memory } = result;
  const title = `${result.model}: ${result.architecture}, ${(result.parameterCount / 1e6).toFixed(1)} M parameters, ${printBytes(result.fileBytes)}`;
  const machine = `${result.backend}, ${result.threads} threads, loaded in ${result.loadMs.toFixed(0)} ms`;
  const { perToken } = result;
  const cost = perToken
    ? `\n  a token: ${perToken.launches} launches (${perToken.launchesPerLayer} a layer), ${printBytes(perToken.weightBytes)} of weights read${bandwidth(result)}`
    : '';
  const held = `weights ${printBytes(memory.weightsBytes)}, cache ${printBytes(memory.kvCacheBytes)}, activations ${printBytes(memory.arenaBytes)}, process at most ${printBytes(memory.peakRssBytes)}, ${printBytes(memory.besideBytes)} of it beside these`;
  const hasDevice = result.speeds.some(({ work }) => work !== undefined);
  const rows = result.speeds.map(({ kind, tokens, depth, median, least, most, work }) => [
    `${kind} ${tokens}`,
    `${depth}`,
    median.toFixed(2),
    `${least.toFixed(2)} to ${most.toFixed(2)}`,
    ...(work ? workColumns(work) : []),
  ]);
  const titles = ['', 'depth', 'tokens/s', 'from to', ...(hasDevice ? workTitles : [])];
  const table = textTable([titles, ...rows], '  ');
  return `${title}\n  ${machine}\n  ${held}${cost}${shares(result)}\n${table}`;
}

/** What the machine does at best, and which part of that the model comes to: of copying for a token, of arithmetic for a prompt. */
function shares({ rates, perToken, parameterCount, speeds }: BenchResult): string {
  if (!rates) return '';
  const { copyBytesPerSecond, operationsPerSecond, launchUs } = rates;
  const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
  const of = (kind: SpeedResult['kind']): number | undefined =>
    speeds.find((speed) => speed.kind === kind)?.median;
  const [decode, prompt] = [of('decode'), of('prompt')];
  const best = `\n  the machine at best: copies ${printBytes(copyBytesPerSecond)} a second, ${(operationsPerSecond / 1e9).toFixed(1)} Gflop/s, ${launchUs.toFixed(1)} us a launch`;
  const reads =
    decode && perToken
      ? `; a token reads ${percent(perToken.weightBytes * decode, copyBytesPerSecond)} of that`
      : '';
  const computes = prompt
    ? `; a prompt does ${percent(2 * parameterCount * prompt, operationsPerSecond)} of the arithmetic`
    : '';
  return `${best}${reads}${computes}`;
}

/** Of a token. */
const workTitles = ['submits', 'dispatches', 'to the device', 'from it'];

const workColumns = ({ submits, dispatches, bytesWritten, bytesRead }: DeviceWork): string[] => [
  submits.toFixed(2),
  dispatches.toFixed(1),
  printBytes(bytesWritten),
  printBytes(bytesRead),
];

/** Of weights, at the speed of decoding. */
function bandwidth({ perToken, speeds }: BenchResult): string {
  const decode = speeds.find(({ kind }) => kind === 'decode');
  return perToken && decode ? `, ${printBytes(perToken.weightBytes * decode.median)} a second` : '';
}
