/** Packs the weights of one image from the model's file. */
import type { Backend, PackedWeight, ReadWeight, Region } from '../backend.ts';
import { throwIfAborted } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { WeightValue } from '../graph.ts';
import { locateWeight } from './locate.ts';
import type { StreamUnit } from './stream-units.ts';

/** Where bytes are put. */
export interface UnitPlace {
  readonly region: Region;
  readonly offsetBytes: number;
}

const zeros = new Uint8Array(1 << 16);

/** Every byte of the image is the same each time, those between the weights too. `onRead` is told bytes of file form. */
export async function packUnit(
  unit: StreamUnit,
  { region, offsetBytes }: UnitPlace,
  backend: Backend,
  checkpoint: Checkpoint,
  signal?: AbortSignal,
  onRead?: (byteCount: number) => void,
): Promise<void> {
  for (let done = 0; done < unit.byteLength; done += zeros.length) {
    backend.write(
      region,
      offsetBytes + done,
      zeros.subarray(0, Math.min(zeros.length, unit.byteLength - done)),
    );
  }
  for (const { weight, offsetBytes: within } of unit.weights) {
    const placed = backend.place(weight.type, region, offsetBytes + within);
    await packWhole(backend, placed, weight, checkpoint, signal, onRead);
  }
}

/** Packs all of a placed weight. */
export async function packWhole(
  backend: Backend,
  placed: PackedWeight,
  weight: WeightValue,
  checkpoint: Checkpoint,
  signal?: AbortSignal,
  onRead?: (byteCount: number) => void,
): Promise<void> {
  const { entry, offsetBytes } = locateWeight(weight, checkpoint);
  const read: ReadWeight = async (offset, target) => {
    throwIfAborted(signal);
    await checkpoint.read(entry, offsetBytes + offset, target, signal);
    throwIfAborted(signal);
    onRead?.(target.byteLength);
  };
  const [, ...inner] = [...weight.type.shape].reverse();
  const rows = inner.reduce((product, size) => product * size, 1);
  await backend.packRows(placed, 0, rows, read, signal);
  throwIfAborted(signal);
}
