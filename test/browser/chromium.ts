/** Headless Chromium for tests: the npm package's own build, which has WebGPU (SwiftShader), WebNN, OPFS and threads. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type BrowserContext, chromium as driver } from 'playwright-core';

export interface OpenBrowser {
  /** A persistent profile in a temporary folder (its OPFS is fast); open pages with `context.newPage()`. */
  readonly context: BrowserContext;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const packageFolder = join(root, 'node_modules', '@sparticuz', 'chromium');

const flags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
  '--enable-features=WebMachineLearningNeuralNetwork',
];

/** A running browser, or why there is none here. */
export async function openBrowser(
  extraFlags: readonly string[] = [],
): Promise<OpenBrowser | { skip: string }> {
  const found = findChromium();
  if ('skip' in found) return found;
  const missing = missingLibraries(found.path);
  if (missing.length > 0) {
    return { skip: `Chromium misses ${missing.join(', ')} (on Debian: apt-get install libnss3 libexpat1)` };
  }
  return launch(found.path, extraFlags);
}

/** Starts a browser; a start that fails is told and tried again, because a busy machine may refuse one. */
async function launch(executablePath: string, extraFlags: readonly string[]): Promise<OpenBrowser> {
  for (let attempt = 1; ; attempt++) {
    const profile = mkdtempSync(join(tmpdir(), 'nearfield-profile-'));
    const removeProfile = () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    try {
      const context = await driver.launchPersistentContext(profile, {
        executablePath,
        headless: true,
        args: [...flags, ...extraFlags],
        env: { ...process.env, FONTCONFIG_FILE: writeFontSettings(executablePath) } as Record<string, string>,
      });
      const close = async () => {
        await context.close();
        removeProfile();
      };
      return { context, close, [Symbol.asyncDispose]: close };
    } catch (error) {
      removeProfile();
      if (attempt === 3) throw error;
      process.stderr.write(`Chromium did not start, trying again: ${error}\n`);
    }
  }
}

/** The package's own name folders of another machine; without any font a field for text ends the browser. */
function writeFontSettings(executablePath: string): string {
  const folder = join(executablePath, '..', 'fonts');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `nearfield-${process.pid}.conf`);
  const places = [folder, '/usr/share/fonts'].map((place) => `<dir>${place}</dir>`).join('');
  writeFileSync(path, `<fontconfig>${places}<cachedir>${join(folder, 'cache')}</cachedir></fontconfig>`);
  const settled = join(folder, 'nearfield.conf');
  renameSync(path, settled);
  return settled;
}

/** The binary named by NEARFIELD_CHROMIUM, or the package's, unpacked once into .cache/ with its libraries beside it. */
function findChromium(): { path: string } | { skip: string } {
  const named = process.env.NEARFIELD_CHROMIUM;
  if (named) return existsSync(named) ? { path: named } : { skip: `no file ${named} (NEARFIELD_CHROMIUM)` };
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { skip: '@sparticuz/chromium is for Linux x64; name another Chromium in NEARFIELD_CHROMIUM' };
  }
  if (!existsSync(join(packageFolder, 'package.json')))
    return { skip: '@sparticuz/chromium is not installed' };
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
    version: string;
  };
  const folder = join(root, '.cache', `chromium-${version}`);
  const path = join(folder, 'chromium');
  if (!existsSync(path)) {
    const failure = unpack(folder);
    if (failure !== undefined) return { skip: `@sparticuz/chromium did not unpack: ${failure}` };
  }
  return { path };
}

/** Unpacks beside `folder` and renames, so that test files starting together never run half a binary. */
function unpack(folder: string): string | undefined {
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const module = pathToFileURL(join(packageFolder, 'build', 'esm', 'index.js')).href;
  const script = `const { default: chromium } = await import(${JSON.stringify(module)}); await chromium.executablePath();`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: partial },
  });
  try {
    if (result.status === 0) renameSync(partial, folder);
  } catch (error) {
    if (!existsSync(folder)) return String(error);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return result.status === 0 ? undefined : result.stderr.trim().split('\n').at(-1);
}

/** Shared libraries that the loader does not find. */
function missingLibraries(path: string): string[] {
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' });
  return [...(stdout ?? '').matchAll(/^\s*(\S+) => not found/gm)].map((match) => match[1] ?? '');
}
