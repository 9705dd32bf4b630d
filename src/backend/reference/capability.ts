/** What the reference backend tells the planner: every operation, no fusion, float64 everywhere. */
import { type Capability, cacheBlockRows, type StorageForm } from '../../plan.ts';
import { cacheBlockBytes } from './layer-cache.ts';
import { hasOperation } from './op-table.ts';
import { packedBytes, packingBytes } from './weight.ts';

const f64: StorageForm = { name: 'f64', blockValues: 1, blockBytes: 8 };

export const capability: Capability = {
  backend: 'reference',
  alignmentBytes: 8,
  form: f64,
  supports: (node) => hasOperation(node.operation.op),
  patterns: [],
  reads: () => f64,
  writes: () => [f64],
  cachePageRows: () => cacheBlockRows,
  cacheBlockBytes: (spec, type) =>
    type === 'q8_0' && (spec.keySize % 32 !== 0 || spec.valueSize % 32 !== 0)
      ? undefined
      : cacheBlockBytes(spec),
  packedBytes,
  packedLayout: 'reference 1',
  programBytes: () => 0,
  packedRows: 1,
  packingBytes,
  addressableBytes: Number.POSITIVE_INFINITY,
  mostMemories: 1,
  overreadBytes: 0,
  /** Sums in float64; exp, sin and cos of the host err by less than a unit in the last place. */
  roundoff: () => ({ unit: 2 ** -53, operand: 0, operandGroup: 1, weight: 0, elementary: 2 ** -52 }),
};
