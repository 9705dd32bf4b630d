/** One question about a model, from a page to a worker of its own that ends with the answer. */
import { NearfieldError, throwIfAborted } from '../../base/error.ts';
import type { AssetPaths, ModelInput } from '../../engine.ts';
import { startEngineWorker } from './engine-client.ts';
import { absoluteAssets } from './engine-script.ts';
import type { LookCalls } from './message.ts';
import { withPatience } from './patience.ts';
import { portableInput } from './portable-input.ts';

/** So long the worker may take to put things in order after an abort; then it is ended. */
const graceMs = 500;

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
  return withPatience(signal, async (until, heard) => {
    const client = startEngineWorker(assets);
    client.onHeard = heard;
    const aborted = new NearfieldError('aborted', 'Aborted by the caller');
    let grace: ReturnType<typeof setTimeout> | undefined;
    const abort = () => {
      grace = setTimeout(() => client.fail(aborted), graceMs);
    };
    until?.addEventListener('abort', abort);
    try {
      return await client.call(name, given, { signal: until, onReport: onProgress }).answer;
    } finally {
      until?.removeEventListener('abort', abort);
      clearTimeout(grace);
      await client.end();
    }
  });
}
