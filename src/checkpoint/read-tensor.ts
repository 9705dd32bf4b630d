/** Reads a range of a tensor from its file, or from wherever its content is made of. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, TensorEntry } from '../checkpoint.ts';
import { quote } from './quote.ts';

/** `name` is the checkpoint's, for messages. `last`: the tensor at whose end the caller will stop. */
export async function readTensor(
  name: string,
  parts: readonly ByteSource[],
  entry: TensorEntry,
  offset: number,
  target: Uint8Array,
  signal?: AbortSignal,
  last?: TensorEntry,
): Promise<void> {
  const inside =
    Number.isSafeInteger(offset) && offset >= 0 && offset + target.byteLength <= entry.byteLength;
  if (!inside) {
    throw new NearfieldError(
      'bad-argument',
      `${name}: ${target.byteLength} bytes at ${offset} are not inside tensor ${quote(entry.name)} of ${entry.byteLength} bytes`,
    );
  }
  const readsOnTo = last && last.byteOffset + last.byteLength;
  if (entry.content) return entry.content.read({ parts, signal, readsOnTo }, offset, target);
  const part = parts[entry.part];
  if (!part) throw new NearfieldError('internal', `${name} has no part ${entry.part}`);
  await part.readInto(entry.byteOffset + offset, target, signal, readsOnTo);
}
