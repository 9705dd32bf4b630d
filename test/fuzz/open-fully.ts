/** Opens damaged files and uses all of what opened: the one question of the fuzz tests is whether that ever goes wrong. */
import { NearfieldError } from '../../src/base/error.ts';
import { type Checkpoint, type CheckpointInput, openCheckpoint } from '../../src/checkpoint.ts';

/** 'opened', or the code of the NearfieldError. Throws for anything else. */
export async function openFully(input: CheckpointInput): Promise<string> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(input);
  } catch (error) {
    if (!(error instanceof NearfieldError)) throw error;
    if (!/^[^\n\r]{10,1000}$/.test(error.message))
      throw new Error(`Not one line: ${error.message}`, { cause: error });
    if (error.code === 'internal') throw error;
    return error.code;
  }
  await readEverything(checkpoint);
  await checkpoint.close();
  return 'opened';
}

async function readEverything(checkpoint: Checkpoint): Promise<void> {
  for (const [name, entry] of checkpoint.tensors) {
    const valueCount = entry.shape.reduce((product, size) => product * size, 1);
    const byteLength = (valueCount / entry.format.blockValues) * entry.format.blockBytes;
    const sound =
      byteLength === entry.byteLength && entry.shape.every((size) => size > 0) && name === entry.name;
    if (!sound || byteLength > checkpoint.byteLength) throw new Error(`Tensor ${name} cannot be`);
    await checkpoint.read(entry, 0, new Uint8Array(byteLength));
  }
  for (const [key, value] of checkpoint.metadata.entries) {
    if (key === '' || value === undefined) throw new Error(`Metadata ${key} cannot be`);
    if (Array.isArray(value)) value.forEach(checkElement);
  }
}

/** Every place of an array has been filled with a value of one kind. */
function checkElement(element: unknown, _index: number, all: readonly unknown[]): void {
  if (element === undefined || typeof element !== typeof all[0])
    throw new Error(`Array element ${element} cannot be`);
}
