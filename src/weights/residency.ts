/** Decides what of a model stays in memory when a budget does not hold it all, and what is streamed through how many slots. */
import { NearfieldError } from '../base/error.ts';
import { printBytes } from '../base/print-bytes.ts';
import type { WeightValue } from '../graph.ts';
import type { Capability, Plan } from '../plan.ts';
import { blockBytes } from './sidecar-layout.ts';
import { imageAlignment, roundUp, type StreamUnit, type WeightRoles, weightRoles } from './stream-units.ts';

/** Of a layer each: one computes while the next is read. */
const wantedSlots = 2;
/** Groups of rows that are packed into the table at a time. */
export const groupsInFlight = 4;

/** The matrix of which single rows are read: so many groups of its rows are kept, the ones that were used last. */
export interface RowTableSize {
  readonly groups: number;
  readonly rowsPerGroup: number;
  readonly byteLength: number;
}

export interface KeptWeight {
  readonly weight: WeightValue;
  readonly byteLength: number;
}

export interface Residency {
  readonly units: readonly StreamUnit[];
  /** Index of a weight's layer in `units`, by tensor name. */
  readonly unitOf: ReadonlyMap<string, number>;
  /** Weights outside the layers that are always there. */
  readonly kept: readonly KeptWeight[];
  /** The matrix of which single rows are read when they are wanted, and their table; else it is among `kept`. */
  readonly gathered: { readonly matrix: WeightValue; readonly table: RowTableSize } | undefined;
  /** Indices of the layers that are always there. */
  readonly resident: ReadonlySet<number>;
  /** Indices of those that are streamed, in the order of use. */
  readonly streamed: readonly number[];
  readonly slots: number;
  readonly slotBytes: number;
  /** Weights begin at multiples of this. */
  readonly alignmentBytes: number;
  /** Held all the time: kept weights, resident layers, slots, the table of rows. */
  readonly residentBytes: number;
  /** With what packing takes for its time. */
  readonly totalBytes: number;
  /** Held besides while the sidecar is made. */
  readonly makingBytes: number;
  /** Read in each pass. */
  readonly streamedBytes: number;
}

/** Shares of the budget that are not the weights'. */
export interface BudgetShares {
  readonly limitBytes: number;
  /** Reserved already. */
  readonly heldBytes: number;
  /** That others will reserve once the weights are open. */
  readonly laterBytes: number;
}

/**
 * `plan` is cut by layers, for passes of at most `maxRows` rows. Throws `out-of-budget` with the bytes that would do where
 * not even one layer at a time fits.
 */
export function decideResidency(
  plan: Plan,
  capability: Capability,
  maxRows: number,
  shares: BudgetShares,
): Residency {
  const roles = weightRoles(plan, capability);
  const fixed = fixedParts(roles, capability, maxRows);
  const counts = roles.units.map((_, index) => roles.units.length - 1 - index);
  const candidates = counts.map((count) => arrange(roles, fixed, count, wantedSlots));
  candidates.push(arrange(roles, fixed, 0, 1));
  const budgetFor = ({ totalBytes, makingBytes }: Residency): number =>
    shares.heldBytes + totalBytes + Math.max(shares.laterBytes, makingBytes);
  const fitting = candidates.find((each) => budgetFor(each) <= shares.limitBytes);
  if (fitting) return fitting;
  const smallest = candidates.reduce((least, each) => (budgetFor(each) < budgetFor(least) ? each : least));
  const enough = budgetFor(smallest);
  throw new NearfieldError(
    'out-of-budget',
    `No room for weights: streamed one layer at a time they take ${printBytes(smallest.totalBytes)}, all else takes ` +
      `${printBytes(enough - smallest.totalBytes)}, and the limit is ${printBytes(shares.limitBytes)}; ` +
      `a memory budget of ${enough} bytes (${printBytes(enough)}) would do`,
  );
}

type FixedParts = Pick<Residency, 'kept' | 'gathered' | 'alignmentBytes' | 'makingBytes'> & {
  readonly fixedBytes: number;
  readonly packingBytes: number;
};

function fixedParts(
  { kept, gathered, units }: WeightRoles,
  capability: Capability,
  maxRows: number,
): FixedParts {
  const { packedBytes, packingBytes, alignmentBytes } = capability;
  const table = gathered && rowTableFor(gathered, capability, maxRows);
  const always = gathered && !table ? [...kept, gathered] : kept;
  const sizes = always.map((weight) => ({ weight, byteLength: packedBytes(weight.type) }));
  const packed = [...always, ...units.flatMap(({ weights }) => weights.map(({ weight }) => weight))];
  const groupBytes = gathered && table ? packingBytes(groupType(gathered, table.rowsPerGroup)) : 0;
  const bytes = [table?.byteLength ?? 0, ...sizes.map(({ byteLength }) => byteLength)];
  const largestBlock = Math.min(blockBytes, Math.max(0, ...units.map(({ byteLength }) => byteLength)));
  const mostPacking = Math.max(0, ...packed.map(({ type }) => packingBytes(type)));
  return {
    kept: sizes,
    gathered: gathered && table ? { matrix: gathered, table } : undefined,
    alignmentBytes,
    // The region may begin anywhere, the images in it not.
    fixedBytes: bytes.reduce((sum, size) => sum + roundUp(size, alignmentBytes), imageAlignment),
    // A block that is put right is looked at when the packing is over.
    packingBytes: Math.max(mostPacking, largestBlock) + groupsInFlight * groupBytes,
    makingBytes: 2 * largestBlock,
  };
}

/** Enough for a pass of rows that all lie in different groups; undefined where the whole matrix takes no more. */
function rowTableFor(
  gathered: WeightValue,
  { packedRows, packedBytes }: Capability,
  maxRows: number,
): RowTableSize | undefined {
  const groups = Math.min(maxRows, Math.ceil((gathered.type.shape[0] ?? 0) / packedRows));
  const byteLength = packedBytes(groupType(gathered, groups * packedRows));
  const isSmaller = byteLength < packedBytes(gathered.type);
  return isSmaller ? { groups, rowsPerGroup: packedRows, byteLength } : undefined;
}

/** The type of so many rows of a matrix. */
export function groupType({ type }: WeightValue, rows: number): WeightValue['type'] {
  const [, ...rest] = type.shape as readonly number[];
  return { ...type, shape: [rows, ...rest] };
}

/** With so many resident layers, spread evenly: reads then go on at an even pace while those compute. */
function arrange(
  { units, unitOf }: WeightRoles,
  { fixedBytes, packingBytes, ...parts }: FixedParts,
  residentCount: number,
  slots: number,
): Residency {
  const resident = new Set<number>();
  const streamed: number[] = [];
  units.forEach((_, index) => {
    const before = Math.floor((index * residentCount) / units.length);
    const isResident = Math.floor(((index + 1) * residentCount) / units.length) > before;
    if (isResident) resident.add(index);
    else streamed.push(index);
  });
  const bytesOf = (index: number): number => units[index]?.byteLength ?? 0;
  const slotBytes = Math.max(0, ...streamed.map(bytesOf));
  const used = Math.min(slots, streamed.length);
  const layerBytes = [...resident].reduce((sum, index) => sum + bytesOf(index), 0);
  const residentBytes = fixedBytes + layerBytes + used * slotBytes;
  return {
    ...parts,
    ...{ units, unitOf, resident, streamed, slotBytes, residentBytes },
    slots: used,
    totalBytes: residentBytes + packingBytes,
    streamedBytes: streamed.reduce((sum, index) => sum + bytesOf(index), 0),
  };
}
