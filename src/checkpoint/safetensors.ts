/**
 * The safetensors container: a folder as transformers writes it, with config.json, the vocabulary's files, and the weights
 * in one file or in several with an index. It is read as the checkpoint that it would be as a GGUF file.
 */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, CheckpointFiles, Container, TensorEntry } from '../checkpoint.ts';
import { isRecord } from './json.ts';
import { MetadataMap } from './metadata.ts';
import { lastSegment, ModelFolder } from './model-folder.ts';
import { PartsCheckpoint } from './parts-checkpoint.ts';
import { quote } from './quote.ts';
import { beginsSafetensors, readSafetensorsHeader, type StoredTensor } from './safetensors-header.ts';
import { ModelConfig } from './transformers/config.ts';
import { MetadataDraft } from './transformers/metadata-draft.ts';
import { requireFamily, translateConfig, translateTensors } from './transformers/translate.ts';
import { translateVocabulary } from './transformers/vocabulary.ts';

const weightsEnding = '.safetensors';
const usualFile = 'model.safetensors';
const indexEnding = '.safetensors.index.json';
/** Far above every published model; they bound what a hostile one makes of itself. */
const mostParts = 10_000;
const mostTensors = 262_144;

export const safetensorsContainer: Container = {
  name: 'safetensors',
  folderFiles: [`model${indexEnding}`, usualFile],
  recognises(head, byteLength) {
    // The index of a sharded model is JSON, and so is the config.json that a list of files may begin with.
    return beginsSafetensors(head, byteLength) || /^\s*\{/.test(String.fromCharCode(...head));
  },
  async open(files, signal) {
    const folder = new ModelFolder(files, signal);
    const fileName = folder.nameOf('config.json');
    const json = await folder.json('config.json');
    if (json === undefined) {
      const message = `${fileName} is missing; weights in safetensors are a model only with the files beside them`;
      throw new NearfieldError('not-found', message);
    }
    const stated = new ModelConfig(fileName, json);
    const family = requireFamily(fileName, stated);
    const config = stated.with(family.defaults ?? {});
    const { parts, stored } = await readParts(files, folder, signal);
    const draft = new MetadataDraft();
    translateConfig(family, config, draft);
    draft.set('general.name', 'string', modelName(folder, config));
    const tensors = translateTensors(family, config, stored);
    await translateVocabulary(folder, config, rowsOfEmbedding(tensors), draft);
    return new PartsCheckpoint({
      ...{ container: 'safetensors', metadata: new MetadataMap(fileName, draft.entries, draft.types) },
      ...{ parts: [...parts, ...folder.read], tensors, files },
    });
  },
};

async function readParts(
  files: CheckpointFiles,
  folder: ModelFolder,
  signal: AbortSignal | undefined,
): Promise<{ readonly parts: ByteSource[]; readonly stored: StoredTensor[] }> {
  const index = await findIndex(files, folder);
  const names = index ? [...new Set(index.values())].sort() : weightFiles(files);
  if (names.length > mostParts) {
    throw new NearfieldError(
      'bad-file',
      `${folder.nameOf('')} claims ${names.length} files of weights, at most ${mostParts} are read`,
    );
  }
  const parts: ByteSource[] = [];
  const stored = new Map<string, StoredTensor>();
  for (const [number, name] of names.entries()) {
    const part = await folder.source(name);
    if (!part)
      throw new NearfieldError(
        'not-found',
        `${folder.nameOf(name)} is missing; the model has ${names.length} files of weights`,
      );
    parts.push(part);
    for (const tensor of await readSafetensorsHeader(part, number, signal)) {
      if (stored.has(tensor.name)) {
        throw new NearfieldError(
          'bad-file',
          `${part.name}: tensor ${quote(tensor.name)} is in another file of the model, too`,
        );
      }
      stored.set(tensor.name, tensor);
    }
    if (stored.size > mostTensors) {
      throw new NearfieldError(
        'bad-file',
        `${part.name}: more than ${mostTensors} tensors are not read; the file is corrupt`,
      );
    }
  }
  for (const [tensor, name] of index ?? []) {
    if (stored.get(tensor)?.part === names.indexOf(name)) continue;
    throw new NearfieldError(
      'bad-file',
      `${folder.nameOf(name)} lacks the tensor ${quote(tensor)} that the model's index has there; get the file again`,
    );
  }
  return { parts, stored: [...stored.values()] };
}

/** The file of each tensor of a sharded model. Of a list of files without an index, all that are weights belong to it. */
async function findIndex(
  files: CheckpointFiles,
  folder: ModelFolder,
): Promise<ReadonlyMap<string, string> | undefined> {
  const given = files.given.map(({ name }) => lastSegment(name));
  const isWhole = given.some((name) => name.endsWith(weightsEnding));
  const fileName =
    given.find((name) => name.endsWith(indexEnding)) ?? (isWhole ? undefined : `model${indexEnding}`);
  const index = fileName === undefined ? undefined : await folder.json(fileName);
  if (fileName === undefined || index === undefined) return undefined;
  const map = isRecord(index) ? index.weight_map : undefined;
  const entries = isRecord(map) ? Object.entries(map) : [];
  if (entries.length === 0 || entries.length > mostTensors) {
    throw new NearfieldError(
      'bad-file',
      `${folder.nameOf(fileName)} lists no tensors, or too many; the file is corrupt`,
    );
  }
  return new Map(entries.map(([tensor, name]) => [tensor, plainName(folder.nameOf(fileName), name)]));
}

/** A file of the same folder: an index must not lead elsewhere. */
function plainName(indexName: string, name: unknown): string {
  if (typeof name === 'string' && /^[\w.-]{1,255}$/.test(name) && name.endsWith(weightsEnding)) return name;
  throw new NearfieldError(
    'bad-file',
    `${indexName} names ${quote(String(name))} as a file of weights; the file is corrupt`,
  );
}

/**
 * Those given, but for copies of the model in other forms that lie beside the usual ones; of a sharded model one tells the
 * names of the others.
 */
function weightFiles({ given }: CheckpointFiles): string[] {
  const names = given.map(({ name }) => lastSegment(name)).filter((name) => name.endsWith(weightsEnding));
  if (names.length === 0 || names.includes(usualFile)) return [usualFile];
  const shards = names
    .map((name) => /^(.*)-\d{5}-of-(\d{5})\.safetensors$/.exec(name))
    .find((shard) => shard);
  const count = Number(shards?.[2] ?? 0);
  if (count === 0) return names.sort();
  const number = (index: number): string => String(index + 1).padStart(5, '0');
  return Array.from(
    { length: count },
    (_, index) => `${shards?.[1]}-${number(index)}-of-${shards?.[2]}${weightsEnding}`,
  );
}

/** That of the folder: on a hub, what lies before the revision. */
function modelName(folder: ModelFolder, config: ModelConfig): string {
  const segments = folder
    .nameOf('')
    .split(/[/\\]/)
    .filter((segment) => segment !== '' && !/^\.+$/.test(segment));
  const resolve = segments.indexOf('resolve');
  const own = resolve > 0 ? segments[resolve - 1] : segments.at(-1);
  return own ?? config.string('_name_or_path')?.split('/').at(-1) ?? config.string('model_type') ?? '';
}

function rowsOfEmbedding(tensors: readonly TensorEntry[]): number {
  return tensors.find(({ name }) => name === 'token_embd.weight')?.shape[0] ?? 0;
}
