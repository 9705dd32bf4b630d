/**
 * Models kept on this device. The code for it is fetched when it is asked for. A page keeps one in a worker, since only there
 * the private file system can be written to.
 */
import { isPage } from '../base/platform.ts';
import type { AssetPaths, ModelInput } from '../engine.ts';
import { askWorker } from './channel/ask-worker.ts';
import type { KeepOptions, KeptModel, KeptOptions, StoreUsage } from './kept-models.ts';

export type { KeepOptions, KeepProgress, KeptModel, KeptOptions, StoreUsage } from './kept-models.ts';

const load = () => import('./kept-models.ts');

/**
 * Copies a model to the store, from which `openKeptModel` gives it: in a browser the private file system of the page's
 * origin, in Node the folder for caches. A copy that was broken off goes on where it was. Throws as `Engine.load` for what
 * is wrong with the source, and `io` where the store has no room.
 */
export async function keepModel(
  input: ModelInput,
  options: KeepOptions & { readonly assets?: AssetPaths } = {},
): Promise<KeptModel> {
  if (isPage) return askWorker('keep', input, options);
  return (await load()).keepLocally(input, options);
}

/** Newest first, those that were broken off included. */
export async function listKeptModels(options: KeptOptions = {}): Promise<readonly KeptModel[]> {
  return (await load()).listKeptModels(options);
}

/** A kept model as `Engine.load` and `inspectModel` take it. Throws `not-found` where it is not whole. */
export async function openKeptModel(
  model: Pick<KeptModel, 'id' | 'source'>,
  options: KeptOptions = {},
): Promise<ModelInput> {
  return (await load()).openKeptModel(model, options);
}

/** Frees what the model takes. Throws `io` while it is in use. */
export async function deleteKeptModel(
  model: Pick<KeptModel, 'id'>,
  options: KeptOptions = {},
): Promise<void> {
  return (await load()).deleteKeptModel(model, options);
}

export async function storeUsage(options: KeptOptions = {}): Promise<StoreUsage> {
  return (await load()).storeUsage(options);
}

/** Frees all that is not part of a kept model: it is made again when it is needed. Throws `io` while some of it is in use. */
export async function clearCache(options: KeptOptions = {}): Promise<void> {
  return (await load()).clearCache(options);
}
