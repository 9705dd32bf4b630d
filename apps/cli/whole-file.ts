/** Files that the command line reads and writes; failures name the file and the remedy. */
import { constants } from 'node:fs';
import { access, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NearfieldError } from '../../src/index.ts';

/** Throws `not-found` or `io`. */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(`Cannot read ${path}`, error);
  }
}

/** The bytes of a file, or undefined where there is none. Throws `io`. */
export async function readFileIfPresent(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw fileError(`Cannot read ${path}`, error);
  }
}

/** The file is there whole or not at all; a device or a pipe is written to. Throws `not-found` or `io`. */
export async function writeWholeFile(path: string, content: string | Uint8Array): Promise<void> {
  if (await isSpecial(path)) return writeThrough(path, content);
  const target = await realpath(path).catch(() => path);
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, content);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw fileError(`Cannot write ${path}`, error);
  }
}

async function writeThrough(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeFile(path, content);
  } catch (error) {
    throw fileError(`Cannot write ${path}`, error);
  }
}

/** Something that is no file and cannot be replaced by one: a folder, a device, a pipe. */
async function isSpecial(path: string): Promise<boolean> {
  const present = await stat(path).catch(() => undefined);
  return present !== undefined && !present.isFile();
}

/** For files written at the end of something long. Throws as `writeWholeFile` would. */
export async function expectWritable(path: string): Promise<void> {
  try {
    if ((await stat(path).catch(() => undefined))?.isDirectory())
      throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' });
    await access((await isSpecial(path)) ? path : dirname(path), constants.W_OK);
  } catch (error) {
    throw fileError(`Cannot write ${path}`, error);
  }
}

const reasons: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'there is no such file or folder'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
  ['EISDIR', 'it is a folder; name a file'],
  ['ENOTDIR', 'its path leads through a file'],
  ['ENOSPC', 'the disk is full'],
  ['EROFS', 'the file system is read-only'],
]);

/** A failure of the file system in one line: what went wrong, and why. */
export function fileError(what: string, cause: unknown): NearfieldError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const reason = reasons.get(code) ?? (cause instanceof Error ? cause.message : String(cause));
  return new NearfieldError(code === 'ENOENT' ? 'not-found' : 'io', `${what}: ${reason}`, { cause });
}
