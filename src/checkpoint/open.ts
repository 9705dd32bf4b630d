/** The table of containers, and how a model's files become a checkpoint. */
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint, Container } from '../checkpoint.ts';
import { foreignFile } from './foreign-file.ts';
import { ggufContainer } from './gguf.ts';
import { type CheckpointInput, type OpenCheckpointOptions, openFiles } from './source.ts';

/** One line per container; the first that recognises the file opens it. */
const containers: readonly Container[] = [
  ggufContainer, //
];

export const containerNames: readonly string[] = containers.map(({ name }) => name);

/**
 * Opens a model: reads its header, checks every extent against the real size of its files. Of a split model one path or
 * URL is enough; of Blobs give all. Rejects with `not-found`, `bad-file`, `unsupported`, `io` or `aborted`.
 */
export async function openCheckpoint(
  input: CheckpointInput,
  options: OpenCheckpointOptions = {},
): Promise<Checkpoint> {
  const files = await openFiles(input, options);
  try {
    const [first] = files.given;
    if (!first) throw new NearfieldError('internal', 'No file was opened');
    const head = new Uint8Array(Math.min(64, first.byteLength));
    await first.readInto(0, head, options.signal);
    const container = containers.find((candidate) => candidate.recognises(head, first.byteLength));
    if (!container) {
      const message = `${first.name} ${foreignFile(head)}; expected ${containerNames.join(' or ')}`;
      throw new NearfieldError('bad-file', message);
    }
    return await container.open(files, options.signal);
  } catch (error) {
    await files.close();
    throw error;
  }
}
