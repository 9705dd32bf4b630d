/** How fast a model's file is read: from the disk, or from the system's memory where it is there. */
import type { Checkpoint } from '../checkpoint.ts';

const [pieceBytes, readingMs, mostBytes] = [4 << 20, 400, 512 << 20];

/** Bytes per second, one piece after the other as layers are streamed, over the tensors in the order of the file. */
export async function measureReading(
  checkpoint: Checkpoint,
  signal: AbortSignal | undefined,
): Promise<number> {
  const entries = [...checkpoint.tensors.values()].sort(
    (a, b) => a.part - b.part || a.byteOffset - b.byteOffset,
  );
  const buffer = new Uint8Array(pieceBytes);
  const began = performance.now();
  let done = 0;
  const isEnough = (): boolean => performance.now() - began > readingMs || done >= mostBytes;
  for (const entry of entries) {
    for (let offset = 0; offset < entry.byteLength && !isEnough(); offset += pieceBytes) {
      const byteLength = Math.min(pieceBytes, entry.byteLength - offset);
      await checkpoint.read(entry, offset, buffer.subarray(0, byteLength), signal);
      done += byteLength;
    }
  }
  return (1000 * done) / Math.max(performance.now() - began, 1e-3);
}
