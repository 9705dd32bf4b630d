/** Identity of a model's file, to keep snapshots of one model from another. */
import { sha256 } from '../base/digest.ts';
import type { Checkpoint } from '../checkpoint.ts';

/** Tensors whose first bytes are looked at, and how many bytes of each. */
const sampledTensors = 16;
const sampleBytes = 4096;

/** SHA-256 in hexadecimal of the tensor directory, of samples of the weights, and of `context`. */
export async function hashModel(checkpoint: Checkpoint, context: string): Promise<string> {
  const entries = [...checkpoint.tensors.values()];
  const directory = entries
    .map(({ name, format, shape }) => `${name} ${format.name} ${shape.join('x')}`)
    .join('\n');
  const text = new TextEncoder().encode(`${context}\n${directory}`);
  const stride = Math.max(1, Math.floor(entries.length / sampledTensors));
  const sampled = entries.filter((_, index) => index % stride === 0);
  const bytes = new Uint8Array(text.length + sampled.length * sampleBytes);
  bytes.set(text);
  for (const [index, entry] of sampled.entries()) {
    const start = text.length + index * sampleBytes;
    const length = Math.min(sampleBytes, entry.byteLength);
    await checkpoint.read(entry, 0, bytes.subarray(start, start + length));
  }
  return sha256(bytes, 'Sessions are saved and restored');
}
