/** Where the engine worker's script lies, and the addresses of assets as the worker can use them. */
import { assetAddress, type WorkerScript, workerScript } from '../../base/worker-script.ts';
import type { AssetPaths } from '../../engine.ts';

/** Kept apart from the literal below, so that no bundler takes what is relative to it for an asset. */
const here = import.meta.url;

export function engineScript(assets: AssetPaths | undefined): WorkerScript {
  const startBuilt = () =>
    new Worker(new URL('./engine-worker.js', import.meta.url), { type: 'module', name: 'nearfield-engine' });
  // In the source tree the script lies one folder up.
  const beside = here.endsWith('.ts') ? new URL('../engine-script.ts', here).href : here;
  return workerScript('engine-worker', beside, assets?.engineWorker, startBuilt);
}

/** Relative addresses are relative to the page, which the worker is not. */
export function absoluteAssets(assets: AssetPaths): AssetPaths {
  const entries = Object.entries(assets).filter(([, path]) => path !== undefined);
  return Object.fromEntries(entries.map(([name, path]) => [name, assetAddress(path, here).href]));
}
