/** The table of backends. */
import type { Backend } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import type { StoreOptions } from '../store.ts';

export interface BackendOptions {
  /** Compute threads; undefined lets the backend choose. */
  readonly threads?: number;
  /** Memories that plans may be spread over, at most the capability's `mostMemories`; one without it. */
  readonly memories?: number;
  /** Where each memory ends: less than a WebAssembly memory's 4 GiB, for hosts that refuse so much, and for tests. */
  readonly memoryBytes?: number;
  /** For devices that others wait for, too: work given at a time, and the gaps between. */
  readonly pace?: { readonly workMs: number; readonly gapMs: number };
  /** Where small facts about the machine may be kept from one run to the next; without it none are. */
  readonly facts?: StoreOptions;
  /** Where the compute worker and the kernels lie, when a bundler or a server has moved them. */
  readonly assets?: { readonly computeWorker?: string | URL; readonly kernels?: string | URL };
}

const table = {
  reference: async () => (await import('./reference/backend.ts')).openReferenceBackend,
  webgpu: async () => (await import('./webgpu/backend.ts')).openWebgpuBackend,
  wasm: async () => (await import('./wasm/backend.ts')).openWasmBackend,
} satisfies Record<string, () => Promise<(options: BackendOptions) => Backend | Promise<Backend>>>;

/** What `auto` chooses from; the first opens on every host. */
export const automaticBackends: readonly BackendName[] = ['wasm', 'webgpu'];

export type BackendName = keyof typeof table;

export const backendNames = Object.keys(table) as readonly BackendName[];

export async function openBackend(name: BackendName, options: BackendOptions = {}): Promise<Backend> {
  if (!Object.hasOwn(table, name)) {
    throw new NearfieldError(
      'bad-argument',
      `Unknown backend "${name}"; there are: ${backendNames.join(', ')}`,
    );
  }
  const open = await table[name]();
  return open(options);
}
