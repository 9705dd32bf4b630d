/** The rate at which the disk gives a file from its beginning to its end. */
import { constants, type FileHandle, open } from 'node:fs/promises';
import { dropCachedPages } from './cached-pages.ts';

const pieceBytes = 4 << 20;
const alignment = 4096;

export interface ReadingWay {
  readonly isDirect: boolean;
  /** Reads at a time. */
  readonly depth: number;
}

export const readingWays: readonly ReadingWay[] = [1, 2, 4].map((depth) => ({ isDirect: true, depth }));

/** Bytes per second. */
export async function diskRate(path: string, { isDirect, depth }: ReadingWay): Promise<number> {
  dropCachedPages([path]);
  const file = await open(path, constants.O_RDONLY | (isDirect ? constants.O_DIRECT : 0));
  try {
    const { size } = await file.stat();
    const pieces = Math.floor(size / pieceBytes);
    let next = 0;
    const lane = async (): Promise<void> => {
      const target = alignedBytes(pieceBytes);
      while (next < pieces) await readPiece(file, target, next++ * pieceBytes);
    };
    const began = performance.now();
    await Promise.all(Array.from({ length: depth }, lane));
    return (pieces * pieceBytes * 1000) / (performance.now() - began);
  } finally {
    await file.close();
  }
}

async function readPiece(file: FileHandle, target: Uint8Array, offset: number): Promise<void> {
  const { bytesRead } = await file.read(target, 0, target.length, offset);
  if (bytesRead !== target.length) throw new Error('the file ended early');
}

/** A memory of WebAssembly begins at a page of the system; what else is given out may not. */
function alignedBytes(byteLength: number): Uint8Array {
  const pages = Math.ceil(byteLength / 65_536);
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(buffer, 0, byteLength);
  // Touched once, so that the first read does not wait for the system to find the pages.
  for (let at = 0; at < byteLength; at += alignment) bytes[at] = 1;
  return bytes;
}
