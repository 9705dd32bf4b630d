/** The files of a folder by name: those the caller gave, and those that lie beside the first. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, CheckpointFiles } from '../checkpoint.ts';
import { allocateBytes } from './byte-range.ts';
import { isWebPage } from './foreign-file.ts';
import { parseJson } from './json.ts';
import { readHead } from './source.ts';

/** Of a file that is read whole; published ones stay below 40 MB. */
const longestFileBytes = 128 * 1024 * 1024;

export class ModelFolder {
  readonly #files: CheckpointFiles;
  readonly #signal: AbortSignal | undefined;
  readonly #read = new Set<ByteSource>();

  constructor(files: CheckpointFiles, signal: AbortSignal | undefined) {
    this.#files = files;
    this.#signal = signal;
  }

  /** For messages. */
  nameOf(fileName: string): string {
    const first = this.#files.given[0]?.name ?? '';
    return `${first.slice(0, first.length - lastSegment(first).length)}${fileName}`;
  }

  /** Undefined where there is none. */
  async source(fileName: string): Promise<ByteSource | undefined> {
    const given = this.#files.given.find(({ name }) => lastSegment(name) === fileName);
    if (given) return given;
    try {
      const beside = await this.#files.sibling(fileName, this.#signal);
      return isWebPage(await readHead(beside, this.#signal)) ? undefined : beside;
    } catch (error) {
      if (error instanceof NearfieldError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  /** The files that were read whole. They stay open: with those of weights they are the model, when it is copied. */
  get read(): readonly ByteSource[] {
    return [...this.#read];
  }

  /** The whole file. */
  async bytes(fileName: string): Promise<Uint8Array | undefined> {
    const source = await this.source(fileName);
    if (!source) return undefined;
    if (source.byteLength > longestFileBytes) {
      throw new NearfieldError(
        'bad-file',
        `${source.name} has ${source.byteLength} bytes, far more than such a file needs; it is of another kind`,
      );
    }
    const bytes = allocateBytes(source.byteLength, source.name);
    await source.readInto(0, bytes, this.#signal);
    this.#read.add(source);
    return bytes;
  }

  async text(fileName: string): Promise<string | undefined> {
    const bytes = await this.bytes(fileName);
    return bytes && new TextDecoder().decode(bytes);
  }

  async json(fileName: string): Promise<unknown> {
    const bytes = await this.bytes(fileName);
    return bytes && parseJson(this.nameOf(fileName), bytes);
  }
}

/** Of a path, an address or a bare file name. */
export function lastSegment(path: string): string {
  return path.split(/[/\\]/).at(-1) ?? '';
}
