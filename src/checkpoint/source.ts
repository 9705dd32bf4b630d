/** What a caller may give as a model, turned into sources; and the files that lie beside it. */
import { NearfieldError } from '../base/error.ts';
import { nodeModule } from '../base/platform.ts';
import type { ByteSource, CheckpointFiles } from '../checkpoint.ts';
import { blobSource } from './blob-source.ts';
import { openFileSource } from './file-source.ts';
import { isWebPage } from './foreign-file.ts';
import { openHttpSource } from './http-source.ts';
import { memorySource } from './memory-source.ts';

/** A path, an address (http, https, file), a Blob or File, bytes in memory, or a source of the caller's own. */
export type CheckpointFile = string | URL | Blob | Uint8Array | ByteSource;

/** One file, or all files of a split checkpoint in any order. */
export type CheckpointInput = CheckpointFile | readonly CheckpointFile[];

export interface OpenCheckpointOptions {
  readonly signal?: AbortSignal | undefined;
  /** Stands in for the host's own `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Sent with every HTTP request, for example `authorization`. */
  readonly headers?: HeadersInit | undefined;
}

export interface OpenFilesOptions extends OpenCheckpointOptions {
  /** Stand for the folder they are in: the first that is there. */
  readonly folderFiles: readonly string[];
}

/** Opens every file of the input; on failure none stays open. A ByteSource of the caller's own is taken over, too. */
export async function openFiles(input: CheckpointInput, options: OpenFilesOptions): Promise<CheckpointFiles> {
  const inputs: readonly CheckpointFile[] = Array.isArray(input)
    ? input
    : [await insideFolder(input as CheckpointFile, options)];
  const [first] = inputs;
  if (first === undefined)
    throw new NearfieldError('bad-argument', 'No model given; pass a path, URL, Blob or bytes');
  const opened: ByteSource[] = [];
  // Of a split model's files only one is read on from at a time.
  const readsOn = inputs.length === 1;
  const open = async (file: CheckpointFile, signal: AbortSignal | undefined) => {
    const source = await openSource(file, { ...options, signal, readsOn: readsOn && opened.length === 0 });
    opened.push(source);
    return source;
  };
  const close = async () => {
    await Promise.all(opened.splice(0).map((source) => source.close()));
  };
  const location = locate(first);
  try {
    const given: ByteSource[] = [];
    for (const file of inputs) given.push(await open(file, options.signal));
    return {
      given,
      fileName: location && lastSegment(location),
      sibling: async (fileName, signal) => open(beside(location, fileName), signal),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What a folder, or an address that ends like one, stands for; anything else as it is. */
async function insideFolder(input: CheckpointFile, options: OpenFilesOptions): Promise<CheckpointFile> {
  const location = locate(input);
  const folder = location === undefined ? undefined : await folderOf(location);
  if (folder === undefined) return input;
  for (const fileName of options.folderFiles) {
    const file = inFolder(folder, fileName);
    const source = await openSource(file, { ...options, readsOn: false }).catch((error: unknown) => {
      if (error instanceof NearfieldError && error.code === 'not-found') return undefined;
      throw error;
    });
    const isFile = source && !isWebPage(await readHead(source, options.signal));
    await source?.close();
    if (isFile) return file;
  }
  const shown = typeof folder === 'string' ? folder : `${folder.origin}${folder.pathname}`;
  throw new NearfieldError(
    'bad-argument',
    `${shown} is a folder and holds no ${options.folderFiles.join(' or ')}; give the model file inside it`,
  );
}

/** At most 64 bytes. */
export async function readHead(source: ByteSource, signal?: AbortSignal): Promise<Uint8Array> {
  const head = new Uint8Array(Math.min(64, source.byteLength));
  await source.readInto(0, head, signal);
  return head;
}

/** The folder that a path or an address is; undefined for that of a file. */
async function folderOf(location: string | URL): Promise<string | URL | undefined> {
  if (typeof location !== 'string') return location.pathname.endsWith('/') ? location : undefined;
  const status = await nodeModule('node:fs/promises')
    ?.stat(location)
    .catch(() => undefined);
  if (!status?.isDirectory()) return undefined;
  return /[/\\]$/.test(location) ? location : `${location}/`;
}

function inFolder(folder: string | URL, fileName: string): string | URL {
  if (typeof folder === 'string') return folder + fileName;
  const url = new URL(folder);
  url.pathname += encodeURIComponent(fileName);
  return url;
}

/** Any file as bytes; the caller closes it. */
export async function openSource(
  file: CheckpointFile,
  options: OpenCheckpointOptions & { readonly readsOn?: boolean } = {},
): Promise<ByteSource> {
  if (file instanceof Uint8Array) return memorySource(file);
  const location = locate(file);
  if (typeof location === 'string') return openFileSource(location, options.signal);
  if (location) return openHttpSource(location, options, options.signal);
  if (isObject(file) && 'readInto' in file) return file;
  if (isObject(file) && 'arrayBuffer' in file) return blobSource(file);
  throw new NearfieldError(
    'bad-argument',
    'A model is a path, URL, Blob, Uint8Array or ByteSource, or an array of those',
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** A path of the file system, the URL of a file on the network, or undefined for what has no address. */
function locate(file: CheckpointFile): string | URL | undefined {
  if (typeof file === 'string' && !/^(?:https?|file):/i.test(file)) {
    // In a browser a plain string is an address relative to the page.
    const page = nodeModule('node:fs/promises') ? undefined : globalThis.location?.href;
    return page === undefined ? file : parseUrl(file, page);
  }
  if (typeof file !== 'string' && !(file instanceof URL)) return undefined;
  const url = parseUrl(file);
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  const paths = nodeModule('node:url');
  if (url.protocol === 'file:' && paths) return pathOfUrl(url, paths.fileURLToPath);
  throw new NearfieldError(
    'unsupported',
    `Cannot read ${url.protocol} addresses here; give http, https or a File`,
  );
}

function parseUrl(text: string | URL, base?: string): URL {
  try {
    return new URL(text, base);
  } catch (cause) {
    throw new NearfieldError('bad-argument', `${text} is not a valid address`, { cause });
  }
}

function pathOfUrl(url: URL, fileURLToPath: (url: URL) => string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new NearfieldError('bad-argument', `${url} is not the address of a local file`, { cause });
  }
}

function lastSegment(location: string | URL): string {
  if (typeof location === 'string') return location.split(/[/\\]/).at(-1) ?? '';
  const segment = location.pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The same address with another last segment; a URL keeps its query, which may hold a signature or a revision. */
function beside(location: string | URL | undefined, fileName: string): string | URL {
  if (location === undefined)
    throw new NearfieldError('not-found', `${fileName} is needed too; give all files of the model`);
  if (typeof location === 'string')
    return location.slice(0, location.length - lastSegment(location).length) + fileName;
  const url = new URL(location);
  url.pathname = url.pathname.replace(/[^/]*$/, encodeURIComponent(fileName));
  return url;
}
