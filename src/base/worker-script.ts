/** Scripts that run in workers: where they lie, how a worker of one starts, and how one shows that it has not. */
import { NearfieldError } from './error.ts';
import { baseAddress, type HostWorker, isForeign, isNode, spawnWorker, wrapWorker } from './platform.ts';

export interface WorkerScript {
  /** For messages. */
  readonly address: string;
  spawn(name: string): HostWorker;
}

/**
 * The script `fileName` (without extension) of this package, beside the module at `here`, or where `override` says
 * (absolute, or relative to the page). `direct` starts it in a browser by an address that bundlers see.
 */
export function workerScript(
  fileName: string,
  here: string,
  override: string | URL | undefined,
  direct: () => Worker,
): WorkerScript {
  if (override === undefined && !isNode && !isForeign(here)) {
    // A bundler may put the path of the machine it ran on in the place of `here`.
    const neighbour = here.startsWith('http') ? ` beside ${here}` : '';
    return { address: `${fileName}.js${neighbour}`, spawn: () => wrapWorker(direct()) };
  }
  const url =
    override === undefined
      ? new URL(`./${fileName}.${here.endsWith('.ts') ? 'ts' : 'js'}`, here)
      : assetAddress(override, here);
  return { address: url.href, spawn: (name) => spawnWorker(url, name) };
}

/** Resolves at the worker's first message, rejects at its first error or after silence. */
export function firstMessage(worker: HostWorker, limitMs = 60_000): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no answer from the script in ${limitMs / 1000} seconds`)),
      limitMs,
    );
    worker.onMessage(() => {
      clearTimeout(timer);
      resolve();
    });
    worker.onError((error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

/** An override: absolute, or relative to the page; in Node relative to the module at `here`. */
export function assetAddress(override: string | URL, here: string): URL {
  try {
    return new URL(override, baseAddress() ?? here);
  } catch (cause) {
    throw new NearfieldError('bad-argument', `${override} is not a valid address of an asset`, { cause });
  }
}
