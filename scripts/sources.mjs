/** Which files a build depends on, and one digest over their contents. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const rootFolder = dirname(dirname(fileURLToPath(import.meta.url)));

const roots = [
  'src',
  'apps',
  'scripts/build.mjs',
  'scripts/build-web.mjs',
  'scripts/tsconfig.build.json',
  'package.json',
  'tsconfig.json',
];

/** Every file under `folder` (or the file itself), as paths relative to the repository with forward slashes, sorted. */
export function filesUnder(path, keep = () => true) {
  const absolute = join(rootFolder, path);
  if (!existsSync(absolute)) return [];
  const found = [];
  const visit = (entry) => {
    const name = relative(rootFolder, entry).split(sep).join('/');
    let children;
    try {
      children = readdirSync(entry, { withFileTypes: true });
    } catch (error) {
      if (error.code !== 'ENOTDIR') throw error;
      if (keep(name)) found.push(name);
      return;
    }
    for (const child of children) {
      if (child.name === 'node_modules' || child.name.startsWith('.')) continue;
      const childPath = join(entry, child.name);
      if (child.isDirectory()) visit(childPath);
      else if (keep(relative(rootFolder, childPath).split(sep).join('/'))) {
        found.push(relative(rootFolder, childPath).split(sep).join('/'));
      }
    }
  };
  visit(absolute);
  return found.sort();
}

/** Hex digest of all that a build reads; tests and what a build itself generates are not part of it. */
export function sourcesDigest() {
  const hash = createHash('sha256');
  for (const root of roots) {
    for (const name of filesUnder(root, (path) => !/\.(test|generated)\.ts$/.test(path))) {
      hash
        .update(`${name}\0`)
        .update(readFileSync(join(rootFolder, name)))
        .update('\0');
    }
  }
  return hash.digest('hex');
}
