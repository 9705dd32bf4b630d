/** The table of containers, and how a model's files become a checkpoint. */
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint, CheckpointFiles, Container } from '../checkpoint.ts';
import { foreignFile } from './foreign-file.ts';
import { ggufContainer } from './gguf.ts';
import { safetensorsContainer } from './safetensors.ts';
import { type CheckpointInput, type OpenCheckpointOptions, openFiles, readHead } from './source.ts';

/** One line per container; the first that recognises the file opens it. */
const containers: readonly Container[] = [
  ggufContainer, //
  safetensorsContainer,
];

export const containerNames: readonly string[] = containers.map(({ name }) => name);

/** What a folder may begin with. */
const folderFiles = containers.flatMap((container) => container.folderFiles ?? []);

/**
 * Opens a model: reads its header, checks every extent against the real size of its files. Of a split model one path or
 * URL is enough, of a model that is a folder the folder's; of Blobs give all. Rejects with `not-found`, `bad-file`,
 * `unsupported`, `io` or `aborted`.
 */
export async function openCheckpoint(
  input: CheckpointInput,
  options: OpenCheckpointOptions = {},
): Promise<Checkpoint> {
  const files = await openFiles(input, { ...options, folderFiles });
  try {
    return await (await containerOf(files, options.signal)).open(files, options.signal);
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** Of the first file that one recognises: a list may hold a folder's other files, too. */
async function containerOf({ given }: CheckpointFiles, signal: AbortSignal | undefined): Promise<Container> {
  let complaint = '';
  for (const source of given) {
    const head = await readHead(source, signal);
    const container = containers.find((candidate) => candidate.recognises(head, source.byteLength));
    if (container) return container;
    complaint ||= `${source.name} ${foreignFile(head)}; expected ${containerNames.join(' or ')}`;
  }
  throw new NearfieldError('bad-file', complaint);
}
