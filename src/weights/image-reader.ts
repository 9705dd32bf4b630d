/** Reads images from the sidecar into slots, a few blocks at a time and in the order they were asked for; repairs damage. */
import type { Backend } from '../backend.ts';
import { known, NearfieldError } from '../base/error.ts';
import { canShareMemory } from '../base/platform.ts';
import { printBytes } from '../base/print-bytes.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { packUnit, type UnitPlace } from './pack-unit.ts';
import type { BlockRead, Sidecar } from './sidecar.ts';
import type { SidecarBlock } from './sidecar-layout.ts';
import type { StreamEvent, TrafficMeter } from './stream-traffic.ts';
import type { StreamUnit } from './stream-units.ts';

/**
 * Blocks asked for at a time: more than a layer has, so that the reading thread, which reads a few at a time, never waits
 * for this one while that computes. Where no thread can write to the machine's memory each takes a buffer.
 */
const readsInFlight = canShareMemory() ? 32 : 1;

export interface ImageReaderOptions {
  readonly units: readonly StreamUnit[];
  readonly sidecar: Sidecar;
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  readonly meter: TrafficMeter;
  readonly onTrace?: ((event: StreamEvent) => void) | undefined;
}

/** An image on its way. */
export interface ImageRead {
  /** Rejects where neither the sidecar nor the model's file gives the image; settles when nothing writes to the place any more. */
  readonly done: Promise<void>;
  /** No further blocks are begun; `done` then rejects. */
  cancel(): void;
}

interface Reading {
  readonly unit: number;
  readonly place: UnitPlace;
  readonly queued: SidecarBlock[];
  open: number;
  /** Damaged or unreadable, and why. */
  readonly damaged: SidecarBlock[];
  cause: unknown;
  /** What no repair helps against. */
  failure: { readonly error: unknown } | undefined;
  cancelled: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

export class ImageReader {
  readonly #options: ImageReaderOptions;
  readonly #readings: Reading[] = [];
  #inFlight = 0;

  constructor(options: ImageReaderOptions) {
    this.#options = options;
  }

  read(unit: number, place: UnitPlace): ImageRead {
    const blocks = known(this.#options.sidecar.layout.blocks[unit], 'image');
    const reading: Reading = {
      ...{ unit, place, queued: [...blocks], open: blocks.length },
      ...{
        damaged: [],
        cause: undefined,
        failure: undefined,
        cancelled: false,
        resolve: () => {},
        reject: () => {},
      },
    };
    const done = new Promise<void>((resolve, reject) => {
      Object.assign(reading, { resolve, reject });
    });
    this.#readings.push(reading);
    this.#begin();
    return { done, cancel: () => this.#cancel(reading) };
  }

  #begin(): void {
    while (this.#inFlight < readsInFlight) {
      const reading = this.#readings.find(({ queued }) => queued.length > 0);
      const block = reading?.queued.shift();
      if (!reading || !block) return;
      this.#inFlight++;
      void this.#readBlock(reading, block);
    }
  }

  async #readBlock(reading: Reading, block: SidecarBlock): Promise<void> {
    const { sidecar, backend, meter } = this.#options;
    const begunMs = meter.beginRead();
    let piece: BlockRead | undefined;
    try {
      piece = await sidecar.readBlock(backend, block, reading.place);
    } catch (error) {
      if (isDamage(error)) reading.cause ??= error;
      else reading.failure ??= { error };
    }
    if (!piece?.isIntact) reading.damaged.push(block);
    meter.endRead(begunMs, block.byteLength, piece?.startMs, piece?.endMs);
    if (piece) this.#trace('read', reading.unit, block, piece);
    this.#inFlight--;
    this.#close(reading, 1);
    this.#begin();
  }

  #cancel(reading: Reading): void {
    reading.cancelled = true;
    this.#close(reading, reading.queued.splice(0).length);
  }

  /** So many blocks less; the last one ends the reading. */
  #close(reading: Reading, blocks: number): void {
    reading.open -= blocks;
    if (reading.open > 0) return;
    const index = this.#readings.indexOf(reading);
    if (index < 0) return;
    this.#readings.splice(index, 1);
    if (reading.cancelled) reading.reject(new NearfieldError('aborted', 'The read was given up'));
    else if (reading.failure) reading.reject(reading.failure.error);
    else if (reading.damaged.length === 0) reading.resolve();
    else this.#repair(reading).then(reading.resolve, reading.reject);
  }

  /** Packs the image from the model's file and puts the damaged blocks right in the sidecar. */
  async #repair({ unit, place, damaged, cause }: Reading): Promise<void> {
    const { units, sidecar, checkpoint, backend, meter } = this.#options;
    const image = known(units[unit], 'layer');
    const startMs = performance.now();
    await packUnit(image, place, backend, checkpoint);
    for (const block of damaged) {
      const bytes = new Uint8Array(block.byteLength);
      await backend.read(place.region, place.offsetBytes + block.offsetBytes, bytes);
      if (!sidecar.isIntact(block, bytes)) {
        throw new NearfieldError(
          'bad-file',
          `${checkpoint.name} is no longer the file that its packed weights were made of (${image.name} differs); load it again`,
          { cause },
        );
      }
      await sidecar.replaceBlock(block, bytes);
      meter.count('repairedBlocks');
    }
    this.#trace('repack', unit, undefined, { startMs, endMs: performance.now() });
  }

  #trace(
    lane: StreamEvent['lane'],
    unit: number,
    block: SidecarBlock | undefined,
    { startMs, endMs }: { readonly startMs: number; readonly endMs: number },
  ): void {
    const { onTrace, units } = this.#options;
    if (!onTrace) return;
    const { name } = known(units[unit], 'layer');
    const piece = block ? `, ${printBytes(block.byteLength)} at ${printBytes(block.offsetBytes)}` : '';
    onTrace({ lane, name: `${name}${piece}`, startMs, durationMs: endMs - startMs });
  }
}

/** The file is not what it was: the model's own still may be. */
function isDamage(error: unknown): boolean {
  return error instanceof NearfieldError && (error.code === 'io' || error.code === 'bad-file');
}
