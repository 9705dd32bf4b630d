/** The repository's text files as one map, so that every rule is a function that a test can feed a made-up tree. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Text by path relative to the repository, forward slashes. */
export type SourceTree = ReadonlyMap<string, string>;

const textExtensions =
  /\.(ts|js|mjs|json|md|html|css|py|yml|yaml|sh)$|(^|\/)(\.npmrc|\.gitignore|LICENSE|run)$/;
const skippedFolders = new Set(['node_modules', 'dist', '.git', '.cache']);

/** Reads the text files of this repository, or of `folders` of it only. */
export function readTree(folders?: readonly string[]): SourceTree {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const tree = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!skippedFolders.has(entry.name) && !entry.name.startsWith('.dist-')) visit(path);
      } else if (textExtensions.test(path) && !path.endsWith('.generated.ts'))
        tree.set(path, readFileSync(join(root, path), 'utf8'));
    }
  };
  for (const folder of folders ?? ['']) visit(folder);
  return tree;
}

/** Code that runs in the engine: the sources of src/ and apps/ but tests, their fixtures and AssemblyScript. */
export function isSource(path: string): boolean {
  return (
    /^(src|apps)\/.*\.ts$/.test(path) &&
    !path.endsWith('.test.ts') &&
    !path.includes('/fixture/') &&
    !path.startsWith('src/backend/wasm/assembly/')
  );
}

/** The text with comments blanked; line numbers stay. */
export function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(^|[^:'"`\\])\/\/[^\n]*/g, (match, before: string | undefined) =>
    before === undefined ? match.replace(/[^\n]/g, ' ') : before,
  );
}
