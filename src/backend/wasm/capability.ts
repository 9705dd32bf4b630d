/** What the planner may know of this backend. */
import { known } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { CacheSpec, CacheType, GraphNode, OperationName, WeightValue } from '../../graph.ts';
import { type Capability, cacheBlockRows } from '../../plan.ts';
import { cacheForms, f32, q8 } from './forms.ts';
import { groupRows, packedLayout } from './layout.ts';
import { memoryLimitBytes } from './memory.ts';
import { packingBytes } from './pack-weight.ts';
import { packingOf, requirePacking, weightSize } from './packing.ts';
import { fusionPatterns } from './patterns.ts';
import { programBytes } from './program-size.ts';

/** Attention keeps scaled queries and results of a tile in scratch for heads up to this size. */
const largestHead = 256;

/** Experts that a thread has room to sort rows by (`assembly/expert-matmul.ts`). */
const mostExperts = 4096;

/** Operations whose first operand is multiplied by a matrix. */
const products: ReadonlySet<OperationName> = new Set(['matmul', 'expert-matmul']);

const weightsOf = (node: GraphNode): WeightValue[] =>
  node.inputs.filter((input): input is WeightValue => input.kind === 'weight');

function supports(node: GraphNode): boolean {
  const { operation } = node;
  const matrices = weightsOf(node).filter((weight) => weight.type.shape.length > 1);
  if (!matrices.every((weight) => packingOf(weight.type.format))) return false;
  if (operation.op === 'route') return operation.expertCount <= mostExperts;
  if (operation.op !== 'attention') return true;
  const fits = (size: number) => size % 4 === 0 && size <= largestHead;
  return fits(operation.keySize) && fits(operation.valueSize);
}

/**
 * A head's rows of a page lie in one stream. Every page costs a jump, which no prefetcher foresees: streams of 19 kB were read
 * at 0.6 of the speed of streams of 75 kB. But memory is taken by the page.
 */
const [streamBytes, mostPageBlocks] = [1 << 16, 4];

/** Of one head in a block. */
function headBytes({ keySize, valueSize }: CacheSpec, type: CacheType): number {
  const { keyBytes, valueBytes } = cacheForms[type];
  return keySize * keyBytes + valueSize * valueBytes;
}

export const capability: Capability = {
  backend: 'wasm',
  alignmentBytes: 64,
  form: f32,
  supports,
  patterns: fusionPatterns,
  reads(nodes, value) {
    const reader = nodes.find(({ operation, inputs }) => products.has(operation.op) && inputs[0] === value);
    const weight = reader && weightsOf(reader).find((candidate) => candidate.type.shape.length > 1);
    return weight ? requirePacking(weight.type.format).input : f32;
  },
  writes(nodes, value) {
    const last = nodes.at(-1)?.operation;
    const width = value.type.shape.at(-1);
    const blocks = typeof width === 'number' && width % q8.blockValues === 0;
    const quantizes =
      last?.op === 'rms-norm' ||
      last?.op === 'layer-norm' ||
      ((last?.op === 'gated' || last?.op === 'activate') && nodes.length > 1) ||
      (last?.op === 'attention' && last.valueSize % q8.blockValues === 0);
    return blocks && quantizes ? [f32, q8] : [f32];
  },
  cacheBlockBytes(spec, type) {
    const { multiple } = cacheForms[type];
    const fits = spec.keySize % multiple === 0 && spec.valueSize % multiple === 0;
    return fits ? spec.keyValueHeadCount * headBytes(spec, type) : undefined;
  },
  cachePageRows(specs, type) {
    const largest = Math.max(...specs.map((spec) => headBytes(spec, type)));
    let blocks = 1;
    while (blocks < mostPageBlocks && blocks * largest < streamBytes) blocks *= 2;
    return blocks * cacheBlockRows;
  },
  packedBytes: (type) => weightSize(type).totalBytes,
  packedLayout,
  programBytes,
  packedRows: groupRows,
  packingBytes,
  addressableBytes: memoryLimitBytes,
  mostMemories: 16,
  // The vector that holds a buffer's last values may reach beyond it.
  overreadBytes: 64,
  roundoff(weight: NumberFormat | undefined) {
    const exact = { unit: 2 ** -24, operand: 0, operandGroup: 1, weight: 0, elementary: 4e-7 };
    if (!weight) return exact;
    const packing = known(packingOf(weight), `packing of ${weight.name}`);
    const operand = packing.input === q8 ? 1.01 / 254 : 0;
    return { ...exact, operand, operandGroup: q8.blockValues, weight: packing.roundoff };
  },
};
