/**
 * One engine's life on a host that lacks something, in a process of its own: `limited-host.ts LIMIT`. Prints what came of
 * it as JSON; nothing here ends the process.
 */
import { fileURLToPath } from 'node:url';
import type { LoadOptions } from '../../src/index.ts';

const model = fileURLToPath(new URL('../../models/fable/fable-1m-q8_0.gguf', import.meta.url));
const prompt = 'Once upon a time there was an old king who had three sons.';

/** Takes something from the host before the engine is imported; what `load` is given besides the model. */
const limits = {
  none: () => ({}),
  'no shared memory': () => {
    Reflect.deleteProperty(globalThis, 'SharedArrayBuffer');
    return {};
  },
  'no SIMD': () => {
    WebAssembly.validate = () => false;
    return {};
  },
  'no relaxed SIMD': () => {
    const { validate } = WebAssembly;
    const hasRelaxedDot = (bytes: Uint8Array): boolean => bytes.join().includes('253,147,2');
    WebAssembly.validate = (bytes) => !hasRelaxedDot(bytes as Uint8Array) && validate(bytes);
    return {};
  },
  'no memory': () => {
    WebAssembly.Memory = class {
      constructor() {
        throw new RangeError('WebAssembly.Memory(): could not allocate memory');
      }
    } as never;
    return {};
  },
  'no memory to grow': () => {
    WebAssembly.Memory.prototype.grow = () => {
      throw new RangeError('WebAssembly.Memory.grow(): Unable to grow instance memory');
    };
    return {};
  },
  'a thread that throws': () => ({ assets: { computeWorker: scriptOf('throw new Error("no room here")') } }),
  'a thread that ends': () => ({ assets: { computeWorker: scriptOf('process.exit(3)') } }),
  'a thread that fails later': () => ({ assets: { computeWorker: scriptOf(failingThread) } }),
  'an abort while it opens': () => stopAt(({ stage }) => stage === 'open'),
  'an abort while weights are read': () => stopAt(({ stage }) => stage === 'weights'),
  'an abort at the end of loading': () => stopAt(({ stage }) => stage === 'ready'),
  'an abort in a prompt': () => ({ chunkRows: 4 }),
  'an abort in a text': () => ({}),
  'nothing is closed': () => ({}),
} satisfies Record<string, () => LoadOptions>;

export type LimitName = keyof typeof limits;

export interface Outcome {
  readonly threads?: number;
  readonly tokens?: readonly number[];
  readonly finish?: string;
  readonly error?: { readonly name: string; readonly code: string; readonly message: string };
}

/** A thread that says it is there, and then is not. */
const failingThread = `
  const { parentPort } = process.getBuiltinModule('node:worker_threads');
  parentPort.postMessage('here');
  parentPort.once('message', () => {
    parentPort.postMessage('ready');
    setTimeout(() => { throw new Error('gone'); }, 20);
  });`;

const scriptOf = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`;

function stopAt(isTime: (progress: { stage: string }) => boolean): LoadOptions {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    onProgress: (progress) => {
      if (isTime(progress)) controller.abort();
    },
  };
}

async function live(limit: LimitName): Promise<Outcome> {
  const options: LoadOptions = { threads: 2, contextLength: 256, ...limits[limit]() };
  const { Engine } = await import('../../src/index.ts');
  try {
    const engine = await Engine.load(model, options);
    const session = await engine.session();
    const stop = new AbortController();
    const generation = session.generate(prompt, {
      maxTokens: 12,
      signal: stop.signal,
      onPrompt: ({ doneRows }) => {
        if (limit === 'an abort in a prompt' && doneRows === 4) stop.abort();
      },
    });
    for await (const { id } of generation) {
      if (limit === 'an abort in a text' && id !== undefined) stop.abort();
    }
    const { tokens, finish } = await generation.result();
    if (limit !== 'nothing is closed') await engine.close();
    return { threads: engine.description.threads, tokens, finish };
  } catch (error) {
    const { name, code, message } = error as Error & { code: string };
    return { error: { name, code, message } };
  }
}

const outcome = await live(process.argv[2] as LimitName);
process.stdout.write(JSON.stringify(outcome));
