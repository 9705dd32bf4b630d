/** The sidecar of a model: its layers packed, in the store, so that a pass reads what it computes with. Made once. */
import type { Backend } from '../backend.ts';
import { checksum } from '../base/checksum.ts';
import { known, NearfieldError, throwIfAborted } from '../base/error.ts';
import { isSharedBuffer } from '../base/platform.ts';
import { printBytes } from '../base/print-bytes.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { ReadingThread, type Store, type StoredDraft, type StoredFile } from '../store.ts';
import { packUnit, type UnitPlace } from './pack-unit.ts';
import {
  type BlockSums,
  blockBytes,
  decodeHeader,
  emptySums,
  encodeHeader,
  type SidecarBlock,
  type SidecarLayout,
  sidecarLayout,
} from './sidecar-layout.ts';
import type { StreamEvent } from './stream-traffic.ts';
import type { StreamUnit } from './stream-units.ts';

export interface SidecarOptions {
  readonly store: Store;
  /** Distinct for every model, layout of packed weights, and state of the model's file. */
  readonly name: string;
  readonly units: readonly StreamUnit[];
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  /** Where an image may be packed while the sidecar is made; it stays there until the place is asked for again. */
  readonly placeFor: (unit: number) => UnitPlace;
  /** Where the script of the reading thread lies, when a bundler or a server has moved it. */
  readonly readerScript?: string | URL | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told bytes of the model's file as they are packed. */
  readonly onRead?: ((byteCount: number) => void) | undefined;
  readonly onTrace?: ((event: StreamEvent) => void) | undefined;
}

export interface BlockRead {
  /** The bytes are those that were written. */
  readonly isIntact: boolean;
  readonly startMs: number;
  readonly endMs: number;
}

export class Sidecar {
  readonly layout: SidecarLayout;
  readonly #file: StoredFile;
  readonly #sums: BlockSums;
  readonly #readerScript: string | URL | undefined;
  #thread: Promise<ReadingThread> | undefined;
  readonly #found = new Uint32Array(2);

  private constructor(
    layout: SidecarLayout,
    file: StoredFile,
    sums: BlockSums,
    readerScript: string | URL | undefined,
  ) {
    this.layout = layout;
    this.#file = file;
    this.#sums = sums;
    this.#readerScript = readerScript;
  }

  /** Undefined where there is none, or none that is whole. */
  static async open(
    { store, name, readerScript }: Pick<SidecarOptions, 'store' | 'name' | 'readerScript'>,
    layout: SidecarLayout,
  ): Promise<Sidecar | undefined> {
    const file = await store.open(name);
    if (!file) return undefined;
    try {
      const header = new Uint8Array(layout.headerBytes);
      const isWhole = file.byteLength === layout.byteLength;
      if (isWhole) await file.readInto(0, header);
      const sums = isWhole ? decodeHeader(layout, header) : undefined;
      if (sums) return new Sidecar(layout, file, sums, readerScript);
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return undefined;
  }

  /**
   * Opens it, or makes it: `made` is true then, and every image has been at its place. Throws `io` where the store has no
   * room, `aborted`, and whatever a read of the model throws.
   */
  static async openOrMake(options: SidecarOptions): Promise<{ sidecar: Sidecar; made: boolean }> {
    const { store, name, units, readerScript, signal } = options;
    const layout = sidecarLayout(units);
    const before = await Sidecar.open(options, layout);
    if (before) return { sidecar: before, made: false };
    const room = await store.roomBytes();
    if (room !== undefined && room < layout.byteLength) {
      throw new NearfieldError(
        'io',
        `Packed weights of ${printBytes(layout.byteLength)} do not fit into ${store.name}, which has ` +
          `${printBytes(room)} left; free some space or name another folder`,
      );
    }
    const draft = await store.begin(name, signal);
    try {
      // Another tab or process may have made it while this one waited for it.
      const meanwhile = await Sidecar.open(options, layout);
      if (meanwhile) {
        await draft.end({ keep: false });
        return { sidecar: meanwhile, made: false };
      }
      const sums = await writeImages(options, layout, draft);
      return { sidecar: new Sidecar(layout, await draft.finish(), sums, readerScript), made: true };
    } catch (error) {
      // Of no use to a later attempt, which begins anew; but others may be writing the same file.
      await draft.end({ keep: error instanceof NearfieldError && error.code === 'aborted' });
      throw error;
    }
  }

  /** Reads a block into its place in an image: on a thread of its own where the machine's memory can be shared with one. */
  async readBlock(backend: Backend, block: SidecarBlock, place: UnitPlace): Promise<BlockRead> {
    let read: BlockRead = { isIntact: false, startMs: 0, endMs: 0 };
    const { region, offsetBytes } = place;
    await backend.fill(region, offsetBytes + block.offsetBytes, block.byteLength, async (target) => {
      read = await (isSharedBuffer(target.buffer)
        ? this.#readThere(block, target)
        : this.#readHere(block, target));
    });
    return read;
  }

  async #readThere(block: SidecarBlock, target: Uint8Array): Promise<BlockRead> {
    this.#thread ??= ReadingThread.open(this.#file, this.#readerScript);
    const thread = await this.#thread;
    const { sums, startMs, endMs } = await thread.read(block.fileOffset, target);
    return { startMs, endMs, isIntact: this.#isSum(block, sums) };
  }

  async #readHere(block: SidecarBlock, target: Uint8Array): Promise<BlockRead> {
    const startMs = performance.now();
    await this.#file.readInto(block.fileOffset, target);
    return { startMs, isIntact: this.isIntact(block, target), endMs: performance.now() };
  }

  isIntact(block: SidecarBlock, bytes: Uint8Array): boolean {
    checksum(bytes, this.#found, 0);
    return this.#isSum(block, this.#found);
  }

  #isSum(block: SidecarBlock, sums: ArrayLike<number>): boolean {
    return sums[0] === this.#sums[2 * block.index] && sums[1] === this.#sums[2 * block.index + 1];
  }

  /** Puts a block right; a store that refuses keeps the damage, and the next reader repairs it for itself. */
  async replaceBlock(block: SidecarBlock, bytes: Uint8Array): Promise<void> {
    const file = (await this.#thread) ?? this.#file;
    await file.replace(block.fileOffset, bytes).catch(() => {});
  }

  async close(): Promise<void> {
    const thread = await this.#thread?.catch(() => undefined);
    await thread?.close();
    await this.#file.close();
  }
}

/** Packs image after image; one block is written while the next is read back and summed. */
async function writeImages(
  { units, checkpoint, backend, placeFor, signal, onRead, onTrace }: SidecarOptions,
  layout: SidecarLayout,
  draft: StoredDraft,
): Promise<BlockSums> {
  const sums = emptySums(layout);
  const buffers = [new Uint8Array(blockBytes), new Uint8Array(blockBytes)] as const;
  let writing = Promise.resolve();
  try {
    for (const [index, unit] of units.entries()) {
      const place = placeFor(index);
      const startMs = performance.now();
      await packUnit(unit, place, backend, checkpoint, signal, onRead);
      onTrace?.({ lane: 'repack', name: unit.name, startMs, durationMs: performance.now() - startMs });
      for (const block of known(layout.blocks[index], 'blocks of an image')) {
        throwIfAborted(signal);
        const bytes = buffers[block.index % 2 === 0 ? 0 : 1].subarray(0, block.byteLength);
        await backend.read(place.region, place.offsetBytes + block.offsetBytes, bytes);
        checksum(bytes, sums, 2 * block.index);
        await writing;
        writing = draft.write(block.fileOffset, bytes);
        // A failure is seen at the next await; without this it would count as unhandled until then.
        writing.catch(() => {});
      }
    }
  } finally {
    await writing.catch(() => {});
  }
  await writing;
  await draft.write(0, encodeHeader(layout, sums));
  return sums;
}
