/** Loads all weights of a graph: budget first, then one read after the other in the file's order, and packing beside. */
import type { Backend, PackedWeight, ReadWeight } from '../backend.ts';
import type { Budget } from '../base/budget.ts';
import { known, throwIfAborted } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { WeightValue } from '../graph.ts';
import type { LoadProgress, Weights } from '../weights.ts';
import { locateWeight, sizeOf, type WeightLocation } from './locate.ts';
import { ResidentWeights } from './resident.ts';

/** Weights read and packed at a time: one is read while another is packed, and a third waits for either. */
const weightsInFlight = 3;

export interface LoadWeightsOptions {
  /** Of the graph. */
  readonly weights: readonly WeightValue[];
  /** The machine's memory that a weight goes to (`Plan.memoryOf`); 0 without it. */
  readonly memoryOf?: (weight: WeightValue) => number;
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  readonly budget: Budget;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

interface Item extends WeightLocation {
  readonly weight: WeightValue;
}

/**
 * Throws `not-found` for a tensor the checkpoint lacks, `bad-file` for one of another type, `out-of-budget` before
 * anything is allocated, `aborted`, and whatever a read throws; everything packed by then is freed.
 */
export async function loadWeights(options: LoadWeightsOptions): Promise<Weights> {
  const { backend, budget, checkpoint, signal } = options;
  throwIfAborted(signal);
  const distinct = new Map(options.weights.map((weight) => [weight.name, weight]));
  const items = [...distinct.values()].map(
    (weight): Item => ({ weight, ...locateWeight(weight, checkpoint) }),
  );
  const placeOf = ({ entry, offsetBytes }: Item): number => entry.byteOffset + offsetBytes;
  items.sort((a, b) => a.entry.part - b.entry.part || placeOf(a) - placeOf(b));
  const { packedBytes } = backend.describe();
  const estimate = items.reduce((sum, { weight }) => sum + packedBytes(weight.type), 0);
  const reservation = budget.reserve(estimate, 'weights', whatWouldFit(items, estimate, budget));
  const packed = new Map<string, PackedWeight>();
  try {
    await packAll(items, packed, options);
    let actual = 0;
    for (const weight of packed.values()) actual += weight.byteLength;
    reservation.resize(actual);
  } catch (error) {
    for (const weight of packed.values()) backend.unpack(weight);
    reservation.release();
    throwIfAborted(signal);
    throw error;
  }
  return new ResidentWeights(backend, packed, reservation);
}

/** What the rest of the budget holds of this model, as bits per weight; nothing below the smallest formats there are. */
function whatWouldFit(items: readonly Item[], packedBytes: number, budget: Budget): string | undefined {
  const smallestBits = 2;
  const values = items.reduce((sum, { weight }) => sum + sizeOf(weight.type.shape), 0);
  const bitsOf = (bytes: number): number => (bytes * 8) / values;
  const left = bitsOf(budget.limitBytes - budget.reservedBytes);
  if (!(left >= smallestBits)) return undefined;
  const rounded = (Math.floor(left * 10) / 10).toFixed(1);
  return `the same model at ${rounded} bits per weight (here ${bitsOf(packedBytes).toFixed(1)})`;
}

/** Fills `packed`; rejects with the first failure once nothing is in flight any more. */
async function packAll(
  items: readonly Item[],
  packed: Map<string, PackedWeight>,
  { backend, checkpoint, memoryOf, signal, onProgress }: LoadWeightsOptions,
): Promise<void> {
  const stop = new AbortController();
  const forward = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', forward);
  const lastOfPart = new Map(items.map(({ entry }) => [entry.part, entry]));
  const totalBytes = items.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let loadedBytes = 0;
  let next = 0;
  /** Resolves when the weight before has been read: one reader in the order of the file is what every source is best at. */
  let turn = Promise.resolve();
  let failure: { readonly error: unknown } | undefined;

  const packOne = async ({ weight, entry, offsetBytes, byteLength }: Item): Promise<void> => {
    const before = turn;
    let endTurn = (): void => {};
    turn = new Promise((resolve) => {
      endTurn = resolve;
    });
    let furthest = 0;
    const read: ReadWeight = async (offset, target) => {
      await before;
      throwIfAborted(stop.signal);
      await checkpoint.read(entry, offsetBytes + offset, target, stop.signal, lastOfPart.get(entry.part));
      throwIfAborted(stop.signal);
      const end = offset + target.byteLength;
      if (end <= furthest) return;
      loadedBytes += end - furthest;
      furthest = end;
      if (end === byteLength) endTurn();
      onProgress?.({ loadedBytes, totalBytes });
    };
    const memory = memoryOf?.(weight) ?? 0;
    try {
      packed.set(weight.name, await backend.pack(weight.type, read, stop.signal, memory));
    } finally {
      endTurn();
    }
  };
  const lane = async (): Promise<void> => {
    while (next < items.length && !stop.signal.aborted) {
      try {
        await packOne(known(items[next++], 'weight'));
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: weightsInFlight }, lane));
  signal?.removeEventListener('abort', forward);
  throwIfAborted(signal);
  if (failure) throw failure.error;
}
