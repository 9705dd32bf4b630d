/** What the planner may know of this backend. */

import { known } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { GraphNode, WeightValue } from '../../graph.ts';
import { type Capability, cacheBlockRows, type StorageForm } from '../../plan.ts';
import { Lowering } from './lower.ts';
import { fusionPatterns } from './patterns.ts';
import { roundingOf } from './product-ways.ts';
import type { DeviceProfile } from './profile.ts';
import { cacheMultiple, cachePlaces } from './shader/cache.ts';
import { bindingAlignment, packedLayout, packingOf, partRows, weightSize } from './weight-layout.ts';

const f32: StorageForm = { name: 'f32', blockValues: 1, blockBytes: 4 };

/** Queries, scores and sums of a workgroup fit 16 KiB up to this size. */
const largestHead = 256;

/**
 * Properties of each operation that kernels know, and how many operands they take: a graph that states more is refused,
 * not computed without it.
 */
const operations: Readonly<
  Record<string, { readonly properties: readonly string[]; readonly most: number }>
> = {
  add: { properties: [], most: 2 },
  argmax: { properties: [], most: 1 },
  attention: {
    properties: [
      'layer',
      'headCount',
      'keyValueHeadCount',
      'keySize',
      'valueSize',
      'scale',
      'window',
      'softCap',
    ],
    most: 3,
  },
  'cache-move': { properties: ['layer'], most: 2 },
  'cache-write': { properties: ['layer', 'keyValueHeadCount', 'keySize', 'valueSize'], most: 2 },
  activate: { properties: ['activation'], most: 1 },
  embed: { properties: ['by'], most: 1 },
  gated: { properties: ['activation', 'alpha', 'limit'], most: 2 },
  'expert-matmul': { properties: ['expertCount', 'usedCount'], most: 4 },
  'expert-sum': { properties: ['usedCount'], most: 2 },
  'layer-norm': { properties: ['epsilon', 'groups'], most: 3 },
  matmul: { properties: [], most: 3 },
  'rms-norm': { properties: ['epsilon', 'groups'], most: 3 },
  scale: { properties: ['factor'], most: 1 },
  softcap: { properties: ['limit'], most: 1 },
  rope: { properties: ['headCount', 'headSize', 'pairing', 'frequencies', 'magnitude'], most: 1 },
  route: { properties: ['expertCount', 'usedCount', 'gating', 'normalize', 'scale'], most: 2 },
  'select-rows': { properties: [], most: 1 },
};

function isKnown({ operation, inputs }: GraphNode): boolean {
  const known = operations[operation.op];
  if (!known || inputs.length > known.most) return false;
  const stated = Object.entries(operation).filter(([name, value]) => name !== 'op' && value !== undefined);
  return stated.every(([name]) => known.properties.includes(name));
}

function supports(node: GraphNode): boolean {
  const { operation, inputs } = node;
  if (!isKnown(node)) return false;
  const matrices = inputs.filter(
    (input): input is WeightValue => input.kind === 'weight' && input.type.shape.length > 1,
  );
  if (!matrices.every(({ type }) => packingOf(type.format))) return false;
  // Rows of experts are read as vectors of four.
  if (operation.op === 'expert-matmul' && Number(matrices[0]?.type.shape.at(-1)) % 4 !== 0) return false;
  if (operation.op !== 'attention') return true;
  const headFits = (size: number) => size % 4 === 0 && size <= largestHead;
  return headFits(operation.keySize) && headFits(operation.valueSize);
}

/** File bytes that are turned at a time into packed ones. */
export const pieceBytes = 1 << 20;

export function capabilityOf(profile: DeviceProfile): Capability {
  const { bindingBytes, emulated } = profile;
  const rounding = roundingOf(profile.tileWays);
  return {
    backend: 'webgpu',
    alignmentBytes: bindingAlignment,
    form: f32,
    supports,
    patterns: fusionPatterns,
    reads: () => f32,
    writes: () => [f32],
    // A page is one block.
    cachePageRows: () => cacheBlockRows,
    cacheBlockBytes(spec, type) {
      const fits = spec.keySize % cacheMultiple[type] === 0 && spec.valueSize % cacheMultiple[type] === 0;
      return fits ? cachePlaces({ ...spec, type }).words * 4 : undefined;
    },
    packedBytes: (type) => weightSize(type, bindingBytes).byteLength,
    packedLayout: `${packedLayout} ${bindingBytes}`,
    launches(segment, plan, symbols) {
      // Of a device that computes rightly.
      const unchecked = { ...profile, wrongKernels: new Map() };
      return new Lowering(segment, plan, unchecked, 1, symbols).launches.length;
    },
    // Uniforms and bind groups: some hundred bytes a launch, in the driver's own memory.
    programBytes: () => 0,
    packedRows: partRows,
    // A piece of the file and what it is packed to.
    packingBytes: ({ format, shape }) => {
      const values = shape.reduce<number>((product, size) => product * Number(size), 1);
      return 3 * Math.min(pieceBytes, (values / format.blockValues) * format.blockBytes);
    },
    addressableBytes: Number.POSITIVE_INFINITY,
    emulated,
    mostMemories: 1,
    overreadBytes: 0,
    /** WGSL promises e^x up to 3 + 2|x| units in the last place; activations reach |x| = 30 with a result to speak of. */
    roundoff(weight: NumberFormat | undefined) {
      const packing = weight && known(packingOf(weight), `packing of ${weight.name}`);
      return {
        ...{ unit: 2 ** -24, operandGroup: 32, elementary: 1e-5 },
        operand: weight ? rounding.operand : 0,
        weight: weight ? (packing?.roundoff ?? 0) + rounding.weight : 0,
      };
    },
  };
}
