/** An engine in a worker of its own, with the interface of one that is here. */

import type { DeviceWork } from '../../backend.ts';
import { NearfieldError, throwIfAborted } from '../../base/error.ts';
import type {
  ChatMessage,
  Engine,
  EngineDescription,
  LoadOptions,
  MachineReport,
  MemoryReport,
  ModelInput,
  Session,
  StreamingReport,
} from '../../engine.ts';
import type { CallClient } from './call-client.ts';
import { startEngineWorker } from './engine-client.ts';
import { absoluteAssets } from './engine-script.ts';
import { withPatience } from './patience.ts';
import { ownBytes, portableInput } from './portable-input.ts';
import { RemoteSession } from './remote-session.ts';

/** As `loadEngine`; an abort or a failure ends the worker and with it everything that was held. */
export async function loadRemoteEngine(input: ModelInput, options: LoadOptions): Promise<Engine> {
  const began = performance.now();
  const { signal, onProgress, onTrace: _, assets, headers, draft, ...limits } = options;
  throwIfAborted(signal);
  const given = {
    input: portableInput(input),
    options: {
      ...limits,
      ...(assets ? { assets: absoluteAssets(assets) } : {}),
      ...(headers ? { headers: { ...headers } } : {}),
      ...(draft === undefined ? {} : { draft: portableInput(draft) }),
    },
  };
  return withPatience(signal, async (until, heard) => {
    const client = startEngineWorker(assets);
    client.onHeard = heard;
    const abort = () =>
      client.fail(new NearfieldError('aborted', 'Aborted by the caller', { cause: signal?.reason }));
    until?.addEventListener('abort', abort);
    try {
      const description = await client.call('load', given, { onReport: onProgress }).answer;
      return new RemoteEngine(client, { ...description, loadMs: performance.now() - began });
    } catch (error) {
      await client.fail(new NearfieldError('aborted', 'The model was not loaded'));
      throw error;
    } finally {
      client.onHeard = undefined;
      until?.removeEventListener('abort', abort);
    }
  });
}

class RemoteEngine implements Engine {
  readonly description: EngineDescription;
  readonly #client: CallClient;

  constructor(client: CallClient, description: EngineDescription) {
    this.#client = client;
    this.description = description;
  }

  async session(): Promise<Session> {
    return new RemoteSession(this.#client, await this.#client.call('openSession', undefined).answer);
  }

  async restore(bytes: Uint8Array): Promise<Session> {
    const handle = await this.#client.call('restore', { bytes: ownBytes(bytes) }).answer;
    return new RemoteSession(this.#client, handle);
  }

  tokenize(text: string, options: { special?: boolean; addSpecial?: boolean } = {}): Promise<number[]> {
    return this.#client.call('tokenize', { text, options: { ...options } }).answer;
  }

  detokenize(ids: readonly number[], options: { special?: boolean } = {}): Promise<string> {
    return this.#client.call('detokenize', { ids: [...ids], options: { ...options } }).answer;
  }

  render(messages: readonly ChatMessage[]): Promise<string> {
    return this.#client.call('render', { messages: messages.map((message) => ({ ...message })) }).answer;
  }

  memory(): Promise<MemoryReport> {
    return this.#client.call('memory', undefined).answer;
  }

  changeMemoryBudget(bytes: number): Promise<void> {
    return this.#client.call('changeMemoryBudget', { bytes }).answer;
  }

  streaming(): Promise<StreamingReport | undefined> {
    return this.#client.call('streaming', undefined).answer;
  }

  deviceWork(): Promise<DeviceWork | undefined> {
    return this.#client.call('deviceWork', undefined).answer;
  }

  machine(): Promise<MachineReport> {
    return this.#client.call('machine', undefined).answer;
  }

  /** Calls that are under way reject with `aborted`. */
  close(): Promise<void> {
    return this.#client.fail(
      new NearfieldError('aborted', 'The engine was closed'),
      new NearfieldError('bad-argument', 'The engine is closed'),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.dispose](): void {
    void this.close();
  }
}
