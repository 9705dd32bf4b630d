/** Starts an engine worker and gives the page's end of the channel to it. */
import { NearfieldError } from '../../base/error.ts';
import { firstMessage } from '../../base/worker-script.ts';
import type { AssetPaths } from '../../engine.ts';
import { CallClient } from './call-client.ts';
import { engineScript } from './engine-script.ts';

/** Calls reject with `backend` where the worker does not start, or fails later. */
export function startEngineWorker(assets: AssetPaths | undefined): CallClient {
  const script = engineScript(assets);
  const notStarted = (cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new NearfieldError(
      'backend',
      `The engine worker did not start from ${script.address} (${reason}); set assets.engineWorker to where engine-worker.js lies`,
      { cause },
    );
  };
  const spawn = () => {
    try {
      return script.spawn('nearfield-engine');
    } catch (cause) {
      throw notStarted(cause);
    }
  };
  const worker = spawn();
  const client = new CallClient(worker);
  const crashed = (cause: Error) =>
    new NearfieldError('backend', `The engine worker failed (${cause.message}); load the model again`, {
      cause,
    });
  firstMessage(worker).then(
    () => worker.onError((cause) => client.fail(crashed(cause))),
    (cause) => client.fail(notStarted(cause)),
  );
  return client;
}
