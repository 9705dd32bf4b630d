/**
 * Content that is made a tile at a time. A request that takes a tile whole has it made in place; of a tile that it takes
 * in part the rest is kept for the next request, on a shelf for all tensors of a checkpoint that holds a few.
 */
import type { Reading, TensorContent } from '../../checkpoint.ts';
import { allocateBytes } from '../byte-range.ts';

/** Makes the bytes of the tile that begins at `offset`, as many as `target` holds. */
export type FillTile = (reading: Reading, offset: number, target: Uint8Array) => Promise<void>;

/** Weights are read a few at a time, each in order. */
const keptTiles = 4;

export class TileShelf {
  /** By the content and the tile's offset; the last used last. */
  readonly #tiles = new Map<TensorContent, { readonly offset: number; readonly bytes: Uint8Array }>();

  tiled(byteLength: number, tileBytes: number, fill: FillTile): TensorContent {
    const content: TensorContent = {
      byteLength,
      read: async (reading, offset, target) => {
        for (let done = 0; done < target.byteLength; ) {
          const at = offset + done;
          const start = at - (at % tileBytes);
          const end = Math.min(start + tileBytes, byteLength);
          const count = Math.min(end - at, target.byteLength - done);
          const room = target.subarray(done, done + count);
          if (count === end - start) await fill(reading, start, room);
          else
            room.set(
              (await this.#tile(content, reading, start, end, fill))
                .subarray(at - start, end - start)
                .subarray(0, count),
            );
          if (at + count === byteLength) this.#tiles.delete(content);
          done += count;
        }
      },
    };
    return content;
  }

  async #tile(
    content: TensorContent,
    reading: Reading,
    start: number,
    end: number,
    fill: FillTile,
  ): Promise<Uint8Array> {
    const kept = this.#tiles.get(content);
    this.#tiles.delete(content);
    const bytes = kept?.offset === start ? kept.bytes : allocateBytes(end - start, 'a part of a tensor');
    if (bytes !== kept?.bytes) await fill(reading, start, bytes);
    this.#tiles.set(content, { offset: start, bytes });
    for (const [oldest] of this.#tiles) {
      if (this.#tiles.size <= keptTiles) break;
      this.#tiles.delete(oldest);
    }
    return bytes;
  }
}
