/** Loads a model where it can run: here, or from a page in a worker of its own. */
import { isPage } from '../base/platform.ts';
import type { Engine, LoadOptions, ModelInput } from '../engine.ts';
import { loadRemoteEngine } from './channel/remote-engine.ts';
import { checkOptions } from './check-arguments.ts';

/**
 * Throws `NearfieldError`: `bad-file`, `unsupported`, `not-found`, `io` for what is wrong with the source, `out-of-budget`
 * before anything is allocated, `aborted`, `backend`. Whatever was held until then is freed.
 */
export async function loadEngine(input: ModelInput, options: LoadOptions = {}): Promise<Engine> {
  checkOptions(options);
  if (isPage) return loadRemoteEngine(input, options);
  return (await import('./load-local.ts')).loadLocalEngine(input, options);
}
