/**
 * Builds the page of apps/web into the folder `web` of a build: all it needs lies in there, beside each other, so that the
 * folder may be served by anything.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootFolder } from './sources.mjs';

const source = 'apps/web';
const asIs = ['index.html', 'style.css', 'icon.svg', 'manifest.webmanifest'];
const model = { from: 'models/fable/fable-4m-q8_0.gguf', to: 'models/fable-4m-q8_0.gguf' };

/** `assets` are files of `folder` that the library fetches. Returns the paths of all that was bundled. */
export async function buildWeb(folder, assets) {
  const { build } = await import('esbuild');
  const target = join(folder, 'web');
  mkdirSync(target);
  const shared = {
    absWorkingDir: rootFolder,
    bundle: true,
    format: 'esm',
    target: 'es2023',
    minify: true,
    platform: 'browser',
    outdir: target,
    legalComments: 'none',
    logLevel: 'silent',
    metafile: true,
  };
  const entryPoints = { main: `${source}/main.ts` };
  const page = await build({ ...shared, entryPoints, splitting: true, chunkNames: 'chunk-[hash]' });
  for (const name of asIs) cpSync(join(rootFolder, source, name), join(target, name));
  for (const name of assets) cpSync(join(folder, name), join(target, name));
  const paths = readdirSync(target).sort();
  await build({
    ...shared,
    format: 'iife',
    entryPoints: { 'service-worker': `${source}/service-worker.ts` },
    define: { pageFiles: JSON.stringify({ digest: digestOf(target, paths), paths }) },
  });
  // Not among the page's files: it is fetched when it is asked for, and kept where the user wants it.
  cpSync(join(rootFolder, model.from), join(target, model.to), { preserveTimestamps: true });
  return Object.keys(page.metafile.inputs);
}

function digestOf(folder, paths) {
  const hash = createHash('sha256');
  for (const path of paths)
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(folder, path)))
      .update('\0');
  return hash.digest('hex').slice(0, 16);
}
