/**
 * Builds dist/: WebAssembly kernels, bundles, declarations, the page. It is built beside dist/ and renamed into place, so a failed
 * build leaves the last good one. The folder is flat: source refers to workers and kernels as
 * `new URL('./name', import.meta.url)`, and so does the bundle.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildWeb } from './build-web.mjs';
import { rootFolder, sourcesDigest } from './sources.mjs';

const kernelsSource = 'src/backend/wasm/assembly/index.ts';

/** Each kernel module: its name and what differs in its flags. */
const kernels = [
  { file: 'kernels-relaxed-shared.wasm', relaxed: true, shared: true },
  { file: 'kernels-relaxed-single.wasm', relaxed: true, shared: false },
  { file: 'kernels-plain-shared.wasm', relaxed: false, shared: true },
  { file: 'kernels-plain-single.wasm', relaxed: false, shared: false },
];

const libraryEntries = { index: 'src/index.ts' };

/**
 * Each is one file without imports: it starts in one request, may be moved alone, and Rollup makes a classic worker of it.
 * Minified, since it is parsed at each start.
 */
const workerEntries = {
  'compute-worker': 'src/backend/wasm/compute-worker.ts',
  'engine-worker': 'src/engine/engine-worker.ts',
  'reader-worker': 'src/store/reader-worker.ts',
  'encode-worker': 'src/quantize/encode-worker.ts',
};

const programEntries = { cli: 'apps/cli/main.ts' };

const say = (line) => process.stderr.write(`build: ${line}\n`);

function runTool(tool, parameters) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(rootFolder, 'node_modules', tool), ...parameters], {
      cwd: rootFolder,
    });
    let output = '';
    child.stdout.on('data', (bytes) => (output += bytes));
    child.stderr.on('data', (bytes) => (output += bytes));
    child.on('error', (error) => resolve({ ok: false, output: error.message }));
    child.on('close', (code) => resolve({ ok: code === 0, output }));
  });
}

/** The memory is always imported; a single-threaded module takes an unshared one, and both may name up to 4 GiB. */
async function compileKernel({ file, relaxed, shared }, folder) {
  const features = ['simd', 'threads', ...(relaxed ? ['relaxed-simd'] : [])];
  const memory = ['--importMemory', '--maximumMemory', '65536', ...(shared ? ['--sharedMemory'] : [])];
  const flags = [
    '-O1',
    '--noAssert',
    '--runtime',
    'stub',
    '--memoryBase',
    '1024',
    '--enable',
    features.join(','),
    ...memory,
  ];
  const result = await runTool('assemblyscript/bin/asc.js', [
    kernelsSource,
    '--outFile',
    join(folder, file),
    ...flags,
  ]);
  if (!result.ok) throw new Error(`${file}: ${result.output}`);
}

/** Kernels that are printed rather than written: unrolled, or made from tables. */
const printedKernels = { 'matmul-source': 'matmul.generated', 'attention-source': 'attention.generated' };

/** Node 20 cannot import their printers as they are. */
async function printKernels(folder) {
  const { build } = await import('esbuild');
  for (const [printer, printed] of Object.entries(printedKernels)) {
    const outfile = join(folder, `${printer}.mjs`);
    const source = `src/backend/wasm/${printer}.ts`;
    await build({ absWorkingDir: rootFolder, entryPoints: [source], bundle: true, format: 'esm', outfile });
    const { print } = await import(pathToFileURL(outfile).href);
    writeFileSync(join(rootFolder, `src/backend/wasm/assembly/${printed}.ts`), print());
    rmSync(outfile);
  }
}

async function compileKernels(folder) {
  if (!existsSync(join(rootFolder, kernelsSource))) return say(`no ${kernelsSource}, so no kernels`);
  await printKernels(folder);
  for (let first = 0; first < kernels.length; first += 2) {
    await Promise.all(kernels.slice(first, first + 2).map((kernel) => compileKernel(kernel, folder)));
  }
}

/** Entries whose source exists; the others are named once. */
function present(entries) {
  const found = Object.entries(entries).filter(([name, source]) => {
    const exists = existsSync(join(rootFolder, source));
    if (!exists) say(`no ${source}, so no ${name}.js`);
    return exists;
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

/** Bundles library, workers and programs and returns the paths of all they took in. */
async function bundle(folder) {
  const { build } = await import('esbuild');
  const shared = {
    absWorkingDir: rootFolder,
    bundle: true,
    format: 'esm',
    splitting: true,
    target: 'es2022',
    sourcemap: true,
    outdir: folder,
    chunkNames: 'chunk-[hash]',
    external: ['node-llama-cpp'],
    legalComments: 'none',
    logLevel: 'silent',
    metafile: true,
  };
  const requireBanner = `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`;
  const anyHost = {
    ...shared,
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['import', 'module', 'browser', 'default'],
  };
  const [library, workers, programs] = [libraryEntries, workerEntries, programEntries].map(present);
  const results = await Promise.all([
    library && build({ ...anyHost, entryPoints: library }),
    workers && build({ ...anyHost, entryPoints: workers, splitting: false, minify: true }),
    programs && build({ ...shared, entryPoints: programs, platform: 'node', banner: { js: requireBanner } }),
  ]);
  return results.flatMap((result) => (result ? Object.keys(result.metafile.inputs) : []));
}

/** The licence text of every package that is inside the bundles. */
function writeNotices(inputs, folder) {
  const packages = new Set(
    inputs.flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
  );
  const notices = [...packages].sort().map((name) => {
    const packageFolder = join(rootFolder, 'node_modules', name);
    const { version, license } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'));
    const licensePath = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license']
      .map((file) => join(packageFolder, file))
      .find(existsSync);
    return `${name} ${version} (${license})\n\n${licensePath ? readFileSync(licensePath, 'utf8').trim() : ''}\n`;
  });
  if (notices.length > 0) writeFileSync(join(folder, 'THIRD-PARTY-NOTICES.txt'), notices.join('\n\n'));
}

/** Declarations are written even where types do not check; `npm run typecheck` is what fails on them. */
async function emitTypes(folder) {
  if (!existsSync(join(rootFolder, libraryEntries.index))) return;
  const parameters = ['-p', 'scripts/tsconfig.build.json', '--outDir', join(folder, 'types')];
  const result = await runTool('typescript/bin/tsc', parameters);
  const errorCount = (result.output.match(/error TS\d+/g) ?? []).length;
  if (!existsSync(join(folder, 'types', 'index.d.ts'))) throw new Error(`no declarations: ${result.output}`);
  rewriteImports(join(folder, 'types'));
  if (errorCount > 0) say(`${errorCount} type errors (npm run typecheck lists them)`);
}

/** The compiler keeps `.ts` in the declarations' imports; consumers resolve `.js`. */
function rewriteImports(folder) {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.d.ts')) continue;
    const path = join(folder, name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/(from |import\()(['"])(\.{1,2}\/[^'"]*)\.ts\2/g, '$1$2$3.js$2'));
  }
}

/** Puts the new folder in the old one's place; tries again where another build does the same at this moment. */
function swapIn(folder) {
  const target = join(rootFolder, 'dist');
  const old = `${folder}-old`;
  for (let attempt = 1; ; attempt++) {
    try {
      if (existsSync(target)) renameSync(target, old);
      renameSync(folder, target);
      break;
    } catch (error) {
      if (attempt === 5) throw error;
      rmSync(old, { recursive: true, force: true });
    }
  }
  rmSync(old, { recursive: true, force: true });
}

const startedMs = Date.now();
const stamp = sourcesDigest();
const folder = join(rootFolder, `.dist-${process.pid}`);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
try {
  const [inputs] = await Promise.all([bundle(folder), compileKernels(folder), emitTypes(folder)]);
  writeNotices(inputs, folder);
  const workers = Object.keys(workerEntries).map((name) => `${name}.js`);
  const webInputs = await buildWeb(folder, [...workers, ...kernels.map(({ file }) => file)]);
  writeNotices([...inputs, ...webInputs], join(folder, 'web'));
  writeFileSync(join(folder, '.stamp'), `${stamp}\n`);
  swapIn(folder);
  say(`dist/ in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
} catch (error) {
  rmSync(folder, { recursive: true, force: true });
  process.stderr.write(`build: failed\n${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
