import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blobSource } from './blob-source.ts';

const bytes = Uint8Array.from({ length: 1_000_000 }, (_, i) => (i * 31) ^ (i >> 9));

/** Counts the readings begun, and those that were given up before their end. */
class WatchedBlob extends Blob {
  begun = 0;
  cancelled = 0;

  override slice(start?: number, end?: number): Blob {
    const part = super.slice(start, end);
    part.stream = () => {
      this.begun++;
      let at = start ?? 0;
      return new ReadableStream({
        pull: (controller) => {
          const piece = bytes.slice(at, Math.min(end ?? bytes.byteLength, at + 10_000));
          at += piece.byteLength;
          if (piece.byteLength > 0) controller.enqueue(piece);
          else controller.close();
        },
        cancel: () => {
          this.cancelled++;
        },
      });
    };
    return part;
  }
}

async function expectBytes(
  source: ReturnType<typeof blobSource>,
  offset: number,
  size: number,
  readsOnTo?: number,
): Promise<void> {
  const target = new Uint8Array(new SharedArrayBuffer(size));
  await source.readInto(offset, target, undefined, readsOnTo);
  assert.ok(Buffer.from(target).equals(bytes.subarray(offset, offset + size)), `${size} bytes at ${offset}`);
}

test('who reads on goes on with one reading; others have their own', async () => {
  const blob = new WatchedBlob([bytes]);
  const source = blobSource(blob);
  await expectBytes(source, 1000, 5000, 900_000);
  await expectBytes(source, 6000, 123_456, 900_000);
  assert.deepEqual([blob.begun, blob.cancelled], [1, 0]);
  await Promise.all([expectBytes(source, 129_456, 70_000, 900_000), expectBytes(source, 129_456, 70_000)]);
  assert.equal(blob.begun, 2);
  await expectBytes(source, 5, 100);
  assert.equal(blob.begun, 3);
  await expectBytes(source, 999_000, 1000, 2_000_000);
  await source.close();
  assert.equal(blob.begun, 4);
});

test('a reading that is left is given up: by an abort, and when the source closes', async () => {
  const blob = new WatchedBlob([bytes]);
  const source = blobSource(blob);
  await expectBytes(source, 0, 1000, 900_000);
  await source.close();
  assert.equal(blob.cancelled, 1);
  const controller = new AbortController();
  const reading = source.readInto(0, new Uint8Array(500_000), controller.signal, 900_000);
  controller.abort();
  await assert.rejects(reading, { code: 'aborted' });
  assert.equal(blob.cancelled, 2);
  await expectBytes(blobSource(new File([bytes], 'picked.gguf')), 17, 999_000);
});
