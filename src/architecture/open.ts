/** The table of architectures. */
import type { Architecture, Model } from '../architecture.ts';
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { llama } from './llama.ts';
import { qwen2 } from './qwen2.ts';

const table: readonly Architecture[] = [llama, qwen2];

/** Values of `general.architecture` that can be opened. */
export const architectureNames: readonly string[] = table.flatMap((architecture) => architecture.names);

/**
 * The model a checkpoint holds, its configuration and the shapes of all its weights checked. Throws `unsupported` for an
 * architecture not in the table, `bad-file` for a configuration or tensors that do not make one model.
 */
export async function openModel(checkpoint: Checkpoint, signal?: AbortSignal): Promise<Model> {
  const name = checkpoint.metadata.string('general.architecture');
  const architecture = table.find(({ names }) => names.includes(name));
  if (!architecture) {
    throw new NearfieldError(
      'unsupported',
      `Architecture ${JSON.stringify(name.slice(0, 40))} of ${checkpoint.name} is not supported; use a model of one of: ${architectureNames.join(', ')}`,
    );
  }
  return architecture.open(checkpoint, signal);
}
