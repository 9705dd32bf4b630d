/** Opens the host's store. */
import { NearfieldError } from '../base/error.ts';
import { nodeModule } from '../base/platform.ts';
import type { Store } from '../store.ts';
import { folderStore } from './folder-store.ts';
import { openPrivateStore } from './private-store.ts';

export interface StoreOptions {
  /**
   * Node: the folder; by default what NEARFIELD_CACHE names, else `nearfield` in the user's folder for caches. In a
   * browser: the folder's name inside the origin's private file system; by default `nearfield`.
   */
  readonly folder?: string | undefined;
}

/** Creates nothing before the first file is begun. Throws `unsupported` where the host has no place for files. */
export async function openStore({ folder }: StoreOptions = {}): Promise<Store> {
  if (folder === '') throw new NearfieldError('bad-argument', 'The folder for the cache has no name');
  return nodeModule('node:fs/promises') ? folderStore(folder) : openPrivateStore(folder);
}
