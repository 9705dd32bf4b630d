/**
 * The sidecar's bytes: packed layers on disk, in the form the machine computes with.
 *
 *   0            header of 32-bit words, little-endian: magic (2), version, bytes of a block, number of images, the bytes of
 *                each image, for each block of each image its checksum (2), the checksum of all words before (2)
 *   4096 · n     the images, each of blocks of 4 MiB, the last one shorter
 *
 * A header tells nothing that a reader does not know, but the checksums: it is compared with the one that is expected.
 */
import { checksum } from '../base/checksum.ts';
import { known } from '../base/error.ts';
import { imageAlignment, roundUp, type StreamUnit } from './stream-units.ts';

/** "NFPW", "pack" */
const magic = [0x5750464e, 0x6b636170] as const;
/** Counts up when the same layers lead to other bytes. */
const version = 1;
export const blockBytes = 4 << 20;

export interface SidecarBlock {
  /** Counts the blocks of the file. */
  readonly index: number;
  /** Within its image. */
  readonly offsetBytes: number;
  readonly byteLength: number;
  /** Within the file. */
  readonly fileOffset: number;
}

export interface SidecarLayout {
  /** By image. */
  readonly blocks: readonly (readonly SidecarBlock[])[];
  readonly headerBytes: number;
  readonly byteLength: number;
  readonly imageBytes: readonly number[];
}

export function sidecarLayout(units: readonly StreamUnit[]): SidecarLayout {
  const imageBytes = units.map(({ byteLength }) => byteLength);
  const blockCount = imageBytes.reduce((count, bytes) => count + Math.ceil(bytes / blockBytes), 0);
  const headerBytes = roundUp((5 + imageBytes.length + 2 * blockCount + 2) * 4, imageAlignment);
  let [index, fileOffset] = [0, headerBytes];
  const blocks = imageBytes.map((bytes) => {
    const ofImage: SidecarBlock[] = [];
    for (let offsetBytes = 0; offsetBytes < bytes; offsetBytes += blockBytes) {
      const byteLength = Math.min(blockBytes, bytes - offsetBytes);
      ofImage.push({ index: index++, offsetBytes, byteLength, fileOffset });
      fileOffset += byteLength;
    }
    return ofImage;
  });
  return { blocks, headerBytes, byteLength: fileOffset, imageBytes };
}

/** Two words for each block of the file. */
export type BlockSums = Uint32Array<ArrayBuffer>;

export function emptySums({ blocks }: SidecarLayout): BlockSums {
  return new Uint32Array(2 * blocks.flat().length);
}

export function encodeHeader(layout: SidecarLayout, sums: BlockSums): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(layout.headerBytes / 4);
  const { imageBytes } = layout;
  words.set([...magic, version, blockBytes, imageBytes.length, ...imageBytes]);
  const firstSum = 5 + imageBytes.length;
  words.set(sums, firstSum);
  const end = firstSum + sums.length;
  checksum(new Uint8Array(words.buffer, 0, end * 4), words, end);
  return new Uint8Array(words.buffer);
}

/** The checksums of a header; undefined where it is damaged or not that of this layout. */
export function decodeHeader(layout: SidecarLayout, bytes: Uint8Array<ArrayBuffer>): BlockSums | undefined {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, layout.headerBytes / 4);
  const sums = emptySums(layout);
  const firstSum = 5 + layout.imageBytes.length;
  sums.set(words.subarray(firstSum, firstSum + sums.length));
  const expected = encodeHeader(layout, sums);
  return bytes.every((byte, index) => byte === known(expected[index], 'byte of a header')) ? sums : undefined;
}
