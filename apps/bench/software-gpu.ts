/** A GPU that is a program, for hosts without one: SwiftShader out of the npm package that the browser tests use. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

const root = fileURLToPath(new URL('../../', import.meta.url));
const archive = join(root, 'node_modules', '@sparticuz', 'chromium', 'bin', 'swiftshader.tar.br');
const folder = join(root, '.cache', 'swiftshader');

export interface SoftwareGpu {
  /** Has the driver and the loader of drivers, libvulkan.so.1. */
  readonly folder: string;
  /** With it a process finds the adapter. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Undefined where there is none for this system, or the package is not installed. */
export function softwareGpu(): SoftwareGpu | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64' || !existsSync(archive)) return undefined;
  if (!existsSync(folder)) unpack();
  const { LD_LIBRARY_PATH: before, XDG_RUNTIME_DIR = tmpdir() } = process.env;
  return {
    folder,
    environment: {
      VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'),
      LD_LIBRARY_PATH: before ? `${folder}:${before}` : folder,
      XDG_RUNTIME_DIR,
    },
  };
}

/** Files of a tar archive: 512 bytes of name (at 0) and octal size (at 124), then the bytes, padded to 512. */
function unpack(): void {
  const bytes = brotliDecompressSync(readFileSync(archive));
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  for (let at = 0; (bytes[at] ?? 0) !== 0; ) {
    const textAt = (start: number, length: number) =>
      bytes.toString('latin1', at + start, at + start + length).replace(/\0.*$/s, '');
    const size = Number.parseInt(textAt(124, 12), 8) || 0;
    if (size > 0)
      writeFileSync(join(partial, basename(textAt(0, 100))), bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  try {
    renameSync(partial, folder);
  } catch {
    // Another process was first.
    rmSync(partial, { recursive: true, force: true });
  }
}
