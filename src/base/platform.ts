/** The one seam between hosts: everything that differs between Node and a browser is asked here and nowhere else. */

type BuiltinModules = {
  'node:fs': typeof import('node:fs');
  'node:fs/promises': typeof import('node:fs/promises');
  'node:module': typeof import('node:module');
  'node:os': typeof import('node:os');
  'node:path': typeof import('node:path');
  'node:url': typeof import('node:url');
  'node:v8': typeof import('node:v8');
  'node:worker_threads': typeof import('node:worker_threads');
};

/** A built-in module of Node, or undefined in a browser. Looked up at run time so that bundlers see no import. */
export function nodeModule<Name extends keyof BuiltinModules>(name: Name): BuiltinModules[Name] | undefined {
  if (typeof process === 'undefined' || typeof process.getBuiltinModule !== 'function') return undefined;
  return process.getBuiltinModule(name) as BuiltinModules[Name] | undefined;
}

export const isNode: boolean = nodeModule('node:fs') !== undefined;

/** True on a page's own thread, which must stay free for the page; false in its workers and in Node. */
export const isPage: boolean = !isNode && typeof document !== 'undefined';

/** What relative addresses are relative to: the page, or in a worker its script. Undefined in Node. */
export function baseAddress(): string | undefined {
  if (isNode) return undefined;
  return isPage ? document.baseURI : globalThis.location.href;
}

/** True where a WebAssembly.Memory may be shared between threads (in a browser: a cross-origin isolated page). */
export function canShareMemory(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false;
  return isNode || (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
}

/** Whether this thread may sleep in `Atomics.wait`; a page's own may not. */
export function canBlock(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

/** Whether other threads can see what is written to these bytes. */
export function isSharedBuffer(buffer: ArrayBufferLike): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

/** Logical processors the host admits to; at least 1. */
export function processorCount(): number {
  const os = nodeModule('node:os');
  if (os) return Math.max(1, os.availableParallelism());
  return Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1);
}

/** Where this user's programs keep what they can make again, with a folder of ours in it (Node); NEARFIELD_CACHE goes before. */
export function cacheFolder(): string | undefined {
  const [os, paths] = [nodeModule('node:os'), nodeModule('node:path')];
  if (!os || !paths) return undefined;
  const { NEARFIELD_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (NEARFIELD_CACHE) return NEARFIELD_CACHE;
  const home = os.homedir();
  const places: Readonly<Record<string, string>> = {
    win32: LOCALAPPDATA ?? paths.join(home, 'AppData', 'Local'),
    darwin: paths.join(home, 'Library', 'Caches'),
  };
  return paths.join(places[os.platform()] ?? (XDG_CACHE_HOME || paths.join(home, '.cache')), 'nearfield');
}

/** Calls `listener`, which cannot wait for anything, when the process ends, however it does but by a kill. Returns what calls that off. */
export function onProcessExit(listener: () => void): () => void {
  if (!isNode) return () => {};
  process.on('exit', listener);
  return () => void process.off('exit', listener);
}

/** A thread of the host: worker_threads in Node, a module worker in a browser. It does not keep the process alive. */
export interface HostWorker {
  post(message: unknown, transfer?: readonly Transferable[]): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Hears of the end of the thread, too; in a browser only of errors. */
  onError(listener: (error: Error) => void): void;
  terminate(): Promise<void>;
}

export function spawnWorker(url: URL, name: string): HostWorker {
  const threads = nodeModule('node:worker_threads');
  if (threads) {
    const worker = new threads.Worker(url, { name });
    worker.unref();
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer as never),
      onMessage(listener) {
        worker.on('message', listener);
        // A new listener counts as a wish to wait for messages.
        worker.unref();
      },
      onError(listener) {
        worker.on('error', listener);
        worker.on('exit', (code) => listener(new Error(`the thread ended with ${code}`)));
      },
      terminate: async () => void (await worker.terminate()),
    };
  }
  const { address, revoke } = startAddress(url);
  const worker = wrapWorker(new Worker(address, { type: 'module', name }));
  worker.onMessage(revoke);
  worker.onError(revoke);
  return worker;
}

/**
 * A worker of a browser as a HostWorker. For workers that are started where bundlers look for them: they only see
 * `new Worker(new URL('./name.js', import.meta.url), { type: 'module' })` written out.
 */
export function wrapWorker(worker: Worker): HostWorker {
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => worker.addEventListener('message', (event) => listener(event.data)),
    onError: (listener) => {
      worker.addEventListener('error', (event) => {
        // Handled here; it would go on as an error of this worker's or page's own.
        event.preventDefault();
        listener(new Error(event.message || 'the script could not be loaded'));
      });
      worker.addEventListener('messageerror', () => listener(new Error('a message could not be read')));
    },
    terminate: async () => worker.terminate(),
  };
}

/** In a browser: whether a script is of another origin, so that no worker may be started with it directly. */
export function isForeign(url: string | URL): boolean {
  const { protocol, origin } = new URL(url);
  return /^https?:$/.test(protocol) && origin !== globalThis.location.origin;
}

/** A worker's script must be of the page's origin; one from elsewhere is imported by a script that is. */
function startAddress(url: URL): { address: string; revoke: () => void } {
  if (!isForeign(url)) return { address: url.href, revoke: () => {} };
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: 'text/javascript' });
  const address = URL.createObjectURL(script);
  return { address, revoke: () => URL.revokeObjectURL(address) };
}

/** The worker's own end of the channel to whoever spawned it. */
export interface WorkerPort {
  post(message: unknown, transfer?: readonly Transferable[]): void;
  onMessage(listener: (message: unknown) => void): void;
  close(): void;
}

export function workerPort(): WorkerPort {
  const port = nodeModule('node:worker_threads')?.parentPort;
  if (port) {
    return {
      post: (message, transfer = []) => port.postMessage(message, transfer as never),
      onMessage: (listener) => void port.on('message', listener),
      close: () => port.close(),
    };
  }
  const scope = globalThis as unknown as DedicatedWorkerScope;
  return {
    post: (message, transfer = []) => scope.postMessage(message, [...transfer]),
    onMessage: (listener) => scope.addEventListener('message', (event) => listener(event.data)),
    close: () => scope.close(),
  };
}

interface DedicatedWorkerScope {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
  close(): void;
}

/** Milliseconds on a clock that only goes forward. Node's `performance.now` makes much more garbage. */
export const monotonicMs: () => number = isNode ? () => process.uptime() * 1000 : () => performance.now();

/** A slow timer that keeps a Node process alive while it is held: pending atomics alone would let it end. */
export interface Pulse {
  hold(): void;
  /** The process may end; the timer stops by itself at its next beat. */
  rest(): void;
  /** Rests at once: `beat` and what it holds are let go. */
  end(): void;
}

/** Calls `beat` about every `milliseconds` while held. */
export function openPulse(milliseconds: number, beat: () => void): Pulse {
  let timer: ReturnType<typeof setInterval> | undefined;
  let isHeld = false;
  const end = () => {
    isHeld = false;
    clearInterval(timer);
    timer = undefined;
  };
  const tick = () => {
    if (isHeld) beat();
    else end();
  };
  const keepsProcess = (keeps: boolean) => {
    if (typeof timer !== 'object') return;
    if (keeps) timer.ref();
    else timer.unref();
  };
  return {
    hold() {
      isHeld = true;
      timer ??= setInterval(tick, milliseconds);
      keepsProcess(true);
    },
    rest() {
      isHeld = false;
      keepsProcess(false);
    },
    end,
  };
}

/** Keeps a Node process alive between `ref` and `unref`. */
export function holdProcess(): { ref(): void; unref(): void } {
  const pulse = openPulse(2 ** 30, () => {});
  return { ref: () => pulse.hold(), unref: () => pulse.rest() };
}

/** Resolves after the host's event loop has turned once. */
export function nextTurn(): Promise<void> {
  if (isNode) return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port2.onmessage = () => {
      port1.close();
      resolve();
    };
    port1.postMessage(0);
  });
}

/** Compiles a WebAssembly asset of this package: a file in Node, fetched in a browser and compiled as it arrives. */
export async function compileAsset(url: URL): Promise<WebAssembly.Module> {
  const files = nodeModule('node:fs/promises');
  if (files && url.protocol === 'file:')
    return WebAssembly.compile(new Uint8Array(await files.readFile(url)));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  // Other types are refused while streaming.
  if (type === 'application/wasm' && typeof WebAssembly.compileStreaming === 'function') {
    return WebAssembly.compileStreaming(response);
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Node 20 has relaxed SIMD behind a flag that may be set until the first module is compiled. */
export function enableRelaxedSimd(): void {
  nodeModule('node:v8')?.setFlagsFromString('--experimental-wasm-relaxed-simd');
}

/** The program that runs this, with its version: a browser's user agent, or Node. */
export const hostName = (): string => (isNode ? `Node ${process.version}` : globalThis.navigator.userAgent);

interface DawnPackage {
  create(options: readonly string[]): GPU;
}

/** Of this process: Dawn 0.6.2 crashes where an instance is collected whose device once was used. */
const dawnInstances: GPU[] = [];

/** On Linux Dawn complains on the error output where this library is missing. */
function hasVulkanLoader(): boolean {
  if (process.platform !== 'linux') return true;
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1');
    return true;
  } catch (error) {
    // A library that was found is refused, too, since it is no module of Node's.
    return !/cannot open shared object/.test(String(error));
  }
}

/** The host's WebGPU: the browser's own, in Node that of the optional package `webgpu`. Undefined where there is none. */
export function hostGpu(): GPU | undefined {
  const modules = nodeModule('node:module');
  // Workers of some browsers have no such member.
  if (!modules) return (globalThis.navigator as { readonly gpu?: GPU } | undefined)?.gpu;
  if (dawnInstances[0]) return dawnInstances[0];
  if (!hasVulkanLoader()) return undefined;
  try {
    // Not imported: a bundler would look for it.
    const { create } = modules.createRequire(import.meta.url)('webgpu') as DawnPackage;
    // Units for matrices are not in the standard yet.
    dawnInstances.push(create(['enable-dawn-features=allow_unsafe_apis']));
    return dawnInstances[0];
  } catch {
    return undefined;
  }
}
