/** Where the compute worker and the kernels lie: beside this module in a build, in `dist/` when source runs as it is. */
import { NearfieldError } from '../../base/error.ts';
import { compileAsset, enableRelaxedSimd } from '../../base/platform.ts';
import { assetAddress, type WorkerScript, workerScript } from '../../base/worker-script.ts';
import type { BackendOptions } from '../open.ts';
import { hasRelaxedSimd, hasSimd } from './host-simd.ts';

type Assets = NonNullable<BackendOptions['assets']>;

/** Kept apart from the literals below, so that no bundler takes what is relative to it for an asset. */
const here = import.meta.url;

/** Each name is a literal, so that bundlers find the files. */
const builtKernels = {
  'relaxed-shared': () => new URL('./kernels-relaxed-shared.wasm', import.meta.url),
  'relaxed-single': () => new URL('./kernels-relaxed-single.wasm', import.meta.url),
  'plain-shared': () => new URL('./kernels-plain-shared.wasm', import.meta.url),
  'plain-single': () => new URL('./kernels-plain-single.wasm', import.meta.url),
};

export function computeScript(assets: Assets | undefined): WorkerScript {
  const startBuilt = () =>
    new Worker(new URL('./compute-worker.js', import.meta.url), {
      type: 'module',
      name: 'nearfield-compute',
    });
  return workerScript('compute-worker', here, assets?.computeWorker, startBuilt);
}

function kernelUrl(name: keyof typeof builtKernels, assets: Assets | undefined): URL {
  const file = `kernels-${name}.wasm`;
  if (assets?.kernels !== undefined) {
    const folder = assetAddress(assets.kernels, here).href;
    return new URL(file, folder.endsWith('/') ? folder : `${folder}/`);
  }
  return here.endsWith('.ts') ? new URL(`../../../dist/${file}`, here) : builtKernels[name]();
}

/** Compiles the best kernels this host can run. */
export async function loadKernels(shared: boolean, assets: Assets | undefined): Promise<WebAssembly.Module> {
  if (!hasSimd()) {
    throw new NearfieldError('unsupported', 'This host runs no WebAssembly SIMD; use backend "reference"');
  }
  if (!hasRelaxedSimd()) enableRelaxedSimd();
  const form = hasRelaxedSimd() ? 'relaxed' : 'plain';
  const url = kernelUrl(`${form}-${shared ? 'shared' : 'single'}`, assets);
  try {
    return await compileAsset(url);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NearfieldError(
      'backend',
      `The kernels could not be loaded from ${url} (${reason}); run "npm run build" or set assets.kernels`,
      { cause },
    );
  }
}
