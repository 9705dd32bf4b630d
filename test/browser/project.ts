/** A user's project in a temporary folder, with the built package installed, as Vite, webpack or no bundler sees it. */
import { cpSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type ProjectName = 'vite' | 'webpack' | 'plain';
export const projectNames: readonly ProjectName[] = ['vite', 'webpack', 'plain'];

export interface Project {
  /** Serve this folder at '/' … */
  readonly folder: string;
  /** … and open this path. The page sets `globalThis.smoke(settings)`, which calls fixture/smoke.js. */
  readonly pagePath: string;
  remove(): void;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** True where `npm run build` has made the library. */
export function isBuilt(): boolean {
  return existsSync(join(root, 'dist', 'index.js'));
}

/** Copies the fixture and the package, then bundles for production where the project has a bundler. */
export async function makeProject(name: ProjectName): Promise<Project> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `nearfield-${name}-`)));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const installed = join(folder, 'node_modules', 'nearfield');
    cpSync(join(root, 'dist'), join(installed, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(installed, 'package.json'));
    cpSync(join(root, 'test', 'browser', 'fixture'), folder, { recursive: true });
    if (name === 'plain') return { folder, pagePath: '/plain/', remove };
    const output = join(folder, 'output');
    if (name === 'vite') await buildWithVite(join(folder, 'vite'), output);
    else await buildWithWebpack(join(folder, 'webpack'), output);
    return { folder: output, pagePath: '/', remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function buildWithVite(project: string, output: string): Promise<void> {
  const { build } = await import('vite');
  await build({
    root: project,
    configFile: false,
    logLevel: 'error',
    build: { outDir: output, emptyOutDir: true },
  });
}

async function buildWithWebpack(project: string, output: string): Promise<void> {
  const { default: webpack } = await import('webpack');
  await new Promise<void>((resolve, reject) => {
    const options = {
      mode: 'production' as const,
      context: project,
      entry: './main.js',
      output: { path: output },
    };
    webpack(options, (error, stats) => {
      if (error) reject(error);
      else if (stats?.hasErrors()) reject(new Error(stats.toString({ all: false, errors: true })));
      else resolve();
    });
  });
  cpSync(join(project, 'index.html'), join(output, 'index.html'));
}
