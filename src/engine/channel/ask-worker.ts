/** One question about a model, from a page to a worker of its own that ends with the answer. */
import { throwIfAborted } from '../../base/error.ts';
import type { AssetPaths, ModelInput } from '../../engine.ts';
import { startEngineWorker } from './engine-client.ts';
import { absoluteAssets } from './engine-script.ts';
import type { LookCalls } from './message.ts';
import { portableInput } from './portable-input.ts';

interface Question<Report> {
  readonly assets?: AssetPaths;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Report) => void;
}

/** Rejects as the function of that name does where it runs by itself. */
export async function askWorker<Name extends keyof LookCalls>(
  name: Name,
  input: ModelInput,
  { assets, headers, signal, onProgress, ...rest }: Question<LookCalls[Name]['report']> & object,
): Promise<LookCalls[Name]['answer']> {
  throwIfAborted(signal);
  const options = {
    ...rest,
    ...(assets ? { assets: absoluteAssets(assets) } : {}),
    ...(headers ? { headers: { ...headers } } : {}),
  };
  const given = { input: portableInput(input), options } as LookCalls[Name]['given'];
  const client = startEngineWorker(assets);
  try {
    return await client.call(name, given, { signal, onReport: onProgress }).answer;
  } finally {
    await client.end();
  }
}
