/** Opens weights that a budget does not hold at once: what is resident is loaded, the rest is streamed from the sidecar. */
import type { Backend, PackedWeight, Region } from '../backend.ts';
import type { Budget } from '../base/budget.ts';
import { Cleanup } from '../base/cleanup.ts';
import { known, throwIfAborted } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { WeightValue } from '../graph.ts';
import type { Plan, Segment } from '../plan.ts';
import type { Store } from '../store.ts';
import type { LoadProgress, Weights } from '../weights.ts';
import { ImageReader } from './image-reader.ts';
import { locateWeight } from './locate.ts';
import { packWhole, type UnitPlace } from './pack-unit.ts';
import type { Residency } from './residency.ts';
import { RowTable, tableType } from './row-table.ts';
import { Sidecar } from './sidecar.ts';
import { type StreamEvent, TrafficMeter } from './stream-traffic.ts';
import { imageAlignment, roundUp } from './stream-units.ts';
import { StreamedWeights } from './streamed.ts';

export interface StreamWeightsOptions {
  readonly residency: Residency;
  /** Local: read again whenever rows of the embedding are wanted and when the sidecar is damaged. Stays the caller's. */
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  readonly budget: Budget;
  readonly store: Store;
  /** Of the sidecar: distinct for the model, the state of its file, and the layout of packed weights. */
  readonly sidecarName: string;
  /** Where the script of the reading thread lies, when a bundler or a server has moved it. */
  readonly readerScript?: string | URL | undefined;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Told of each read. */
  readonly onTrace?: (event: StreamEvent) => void;
}

/** The plan with which weights of this residency are used: of the matrix of single rows it has the table. */
export function planForResidency(plan: Plan, { gathered }: Residency): Plan {
  if (!gathered) return plan;
  const { matrix, table } = gathered;
  const asTable: WeightValue = { ...matrix, type: tableType(matrix, table) };
  const segments = plan.segments.map((segment): Segment => {
    const weights = segment.weights.map((weight) => (weight.name === matrix.name ? asTable : weight));
    return { ...segment, weights };
  });
  return { ...plan, segments };
}

/**
 * Throws as `loadWeights` does, and `io` where the store has no room for the sidecar. Nothing is held when it fails, but
 * what was written of the sidecar.
 */
export async function streamWeights(options: StreamWeightsOptions): Promise<Weights> {
  const { backend, budget, checkpoint, residency, signal } = options;
  throwIfAborted(signal);
  const { units, gathered } = residency;
  const opened = new Cleanup();
  try {
    const reservation = opened.add(budget.reserve(residency.totalBytes, 'weights'), (each) => each.release());
    const region = opened.add(backend.allocate(residency.residentBytes, 'weights'), (each) =>
      backend.release(each),
    );
    const places = new WeightPlaces(residency, region);
    const progress = new Progress(options);
    const kept = await packKept(options, places, progress);
    const sidecar = await openSidecar(options, places, progress, opened);
    const meter = new TrafficMeter();
    const reader = new ImageReader({
      ...{ units, sidecar, checkpoint, backend, meter },
      onTrace: options.onTrace,
    });
    await readResident(reader, places, progress, signal);
    const rowTable = gathered && new RowTable({ ...gathered, checkpoint, backend, meter }, places.rowTable);
    if (gathered && rowTable) kept.set(gathered.matrix.name, rowTable.weight);
    throwIfAborted(signal);
    const { resident: residentPlaces, slots } = places;
    return new StreamedWeights({
      ...{
        backend,
        residency,
        kept,
        residentPlaces,
        slots,
        rowTable,
        sidecar,
        reader,
        meter,
        region,
        reservation,
      },
    });
  } catch (error) {
    await opened.close().catch(() => {});
    throwIfAborted(signal);
    throw error;
  }
}

/** The one region of all weights, shared out: slots, resident layers, the table of rows, weights outside the layers. */
class WeightPlaces {
  readonly slots: readonly UnitPlace[];
  readonly resident: ReadonlyMap<number, UnitPlace>;
  readonly rowTable: UnitPlace;
  readonly kept: ReadonlyMap<WeightValue, UnitPlace>;
  /** Resident layers are in their places: they were packed there when the sidecar was made. */
  areFilled = false;

  constructor(residency: Residency, region: Region) {
    const { units, slots, slotBytes, gathered, alignmentBytes } = residency;
    // Addresses of images are multiples of their alignment, wherever the region begins.
    let end = -(region.addressWords * 4) & (imageAlignment - 1);
    const take = (byteLength: number): UnitPlace => {
      const place = { region, offsetBytes: end };
      end += roundUp(byteLength, alignmentBytes);
      return place;
    };
    this.slots = Array.from({ length: slots }, () => take(slotBytes));
    this.resident = new Map(
      [...residency.resident].map((index) => [index, take(known(units[index], 'layer').byteLength)]),
    );
    this.rowTable = take(gathered?.table.byteLength ?? 0);
    this.kept = new Map(residency.kept.map(({ weight, byteLength }) => [weight, take(byteLength)]));
  }

  /** Where a layer is packed: its own place, or a slot that nothing is read into yet. */
  of(unit: number): UnitPlace {
    return this.resident.get(unit) ?? known(this.slots[unit % this.slots.length], 'slot');
  }
}

/** Bytes of the file's form, all layers among them; those that need not be packed count at once. */
class Progress {
  readonly #totalBytes: number;
  readonly #onProgress: StreamWeightsOptions['onProgress'];
  #loadedBytes = 0;

  constructor({ residency, checkpoint, onProgress }: StreamWeightsOptions) {
    const { units, kept } = residency;
    const weights = [...units.flatMap((unit) => unit.weights), ...kept];
    this.#totalBytes = weights.reduce(
      (sum, { weight }) => sum + locateWeight(weight, checkpoint).byteLength,
      0,
    );
    this.#onProgress = onProgress;
  }

  add(byteCount: number): void {
    this.#loadedBytes = Math.min(this.#totalBytes, this.#loadedBytes + byteCount);
    this.#onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes });
  }

  finish(): void {
    this.add(this.#totalBytes);
  }
}

async function packKept(
  { backend, checkpoint, signal }: StreamWeightsOptions,
  places: WeightPlaces,
  progress: Progress,
): Promise<Map<string, PackedWeight>> {
  const packed = new Map<string, PackedWeight>();
  for (const [weight, { region, offsetBytes }] of places.kept) {
    const placed = backend.place(weight.type, region, offsetBytes);
    await packWhole(backend, placed, weight, checkpoint, signal, (byteCount) => progress.add(byteCount));
    packed.set(weight.name, placed);
  }
  return packed;
}

async function openSidecar(
  options: StreamWeightsOptions,
  places: WeightPlaces,
  progress: Progress,
  opened: Cleanup,
): Promise<Sidecar> {
  const { backend, budget, checkpoint, residency, signal } = options;
  const { units, makingBytes } = residency;
  const making = budget.reserve(makingBytes, 'packing weights for the disk');
  try {
    const { sidecar, made } = await Sidecar.openOrMake({
      ...{ store: options.store, name: options.sidecarName, units, checkpoint, backend, signal },
      ...{ readerScript: options.readerScript, onTrace: options.onTrace },
      placeFor: (unit) => places.of(unit),
      onRead: (byteCount) => progress.add(byteCount),
    });
    if (made) places.areFilled = true;
    return opened.add(sidecar, (each) => each.close());
  } finally {
    making.release();
  }
}

/** Rejects once nothing is read any more. */
async function readResident(
  reader: ImageReader,
  places: WeightPlaces,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<void> {
  const reads = places.areFilled ? [] : [...places.resident].map(([unit, place]) => reader.read(unit, place));
  const cancel = (): void => {
    for (const read of reads) read.cancel();
  };
  signal?.addEventListener('abort', cancel);
  try {
    await Promise.all(reads.map((read) => read.done));
  } catch (error) {
    cancel();
    await Promise.allSettled(reads.map((read) => read.done));
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
  progress.finish();
}
