/** What `bench` measured, as text. */
import type { MachineRates } from '../../src/backend.ts';
import { printBytes } from '../../src/base/print-bytes.ts';
import type { DeviceWork, EngineDescription, MemoryReport } from '../../src/index.ts';
import type { DeviceUse } from '../bench/device-use.ts';
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
  readonly speeds: readonly MeasuredSpeed[];
}

/** Of machines whose rates are measured also what a speed comes to beside them. */
export interface MeasuredSpeed extends SpeedResult {
  readonly use?: DeviceUse;
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
  const { perToken, rates } = result;
  const cost = perToken
    ? `\n  a token: ${perToken.launches} launches (${perToken.launchesPerLayer} a layer), ${printBytes(perToken.weightBytes)} of weights read${bandwidth(result)}`
    : '';
  const held = `weights ${printBytes(memory.weightsBytes)}, cache ${printBytes(memory.kvCacheBytes)}, activations ${printBytes(memory.arenaBytes)}, process at most ${printBytes(memory.peakRssBytes)}, ${printBytes(memory.besideBytes)} of it beside these`;
  const hasDevice = result.speeds.some(({ work }) => work !== undefined);
  const rows = result.speeds.map(({ kind, tokens, depth, median, least, most, work, use }) => [
    `${kind} ${tokens}`,
    `${depth}`,
    median.toFixed(2),
    `${least.toFixed(2)} to ${most.toFixed(2)}`,
    ...(work ? [...workColumns(work), ...useColumns(use ?? {})] : []),
  ]);
  const titles = ['', 'depth', 'tokens/s', 'from to', ...(hasDevice ? [...workTitles, ...useTitles] : [])];
  const table = textTable([titles, ...rows], '  ');
  return `${title}\n  ${machine}\n  ${held}${cost}${rates ? printRates(rates) : ''}\n${table}`;
}

function printRates({ machine, product, ...rates }: MachineRates): string {
  const billions = (operations: number): string => `${(operations / 1e9).toFixed(1)} Gflop/s`;
  const best = [
    `copies ${printBytes(rates.copyBytesPerSecond)} a second`,
    `${billions(rates.operationsPerSecond)} in registers`,
    `${billions(product.operationsPerSecond)} in a plain product of ${product.type}`,
    `${rates.launchUs.toFixed(1)} us a launch`,
  ];
  return `\n  on ${machine}\n  at best: ${best.join(', ')}`;
}

/** Of a token. */
const workTitles = ['submits', 'dispatches', 'to the device', 'from it'];

const workColumns = ({ submits, dispatches, bytesWritten, bytesRead }: DeviceWork): string[] => [
  submits.toFixed(2),
  dispatches.toFixed(1),
  printBytes(bytesWritten),
  printBytes(bytesRead),
];

/** What a token reads or computes, and as a share of what the machine does at best: of the copy, or of arithmetic and the product. */
const useTitles = ['us each', 'a token', 'of the best'];

function useColumns(use: DeviceUse): string[] {
  const { dispatchUs, bytesPerToken, operationsPerToken, copyShare, arithmeticShare, productShare } = use;
  const amount = bytesPerToken === undefined ? undefined : printBytes(bytesPerToken);
  const computed = operationsPerToken === undefined ? '' : `${(operationsPerToken / 1e6).toFixed(1)} Mflop`;
  const percents = [copyShare, arithmeticShare, productShare]
    .filter((share) => share !== undefined)
    .map((share) => `${(100 * share).toFixed(1)} %`);
  return [dispatchUs?.toFixed(1) ?? '', amount ?? computed, percents.join(', ')];
}

/** Of weights, at the speed of decoding. */
function bandwidth({ perToken, speeds }: BenchResult): string {
  const decode = speeds.find(({ kind }) => kind === 'decode');
  return perToken && decode ? `, ${printBytes(perToken.weightBytes * decode.median)} a second` : '';
}
