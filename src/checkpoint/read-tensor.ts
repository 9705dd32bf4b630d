/** Reads a range of a tensor from its file, or from wherever its content is made of. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, Reading, TensorEntry } from '../checkpoint.ts';
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
  await readPart({ parts, signal, readsOnTo }, entry, offset, target);
}

/** Reads from `offset` within what begins at a place of a file. */
export async function readPart(
  { parts, signal, readsOnTo }: Reading,
  { name, part: number, byteOffset }: Pick<TensorEntry, 'name' | 'part' | 'byteOffset'>,
  offset: number,
  target: Uint8Array,
): Promise<void> {
  const part = parts[number];
  if (!part) throw new NearfieldError('internal', `Tensor ${name} is in part ${number}, which there is not`);
  const start = byteOffset + offset;
  // What is made of more bytes than it has ends before what it is made of.
  const end = readsOnTo && Math.max(readsOnTo, start + target.byteLength);
  await part.readInto(start, target, signal, end);
}
