/**
 * Times every entry of the tapes that the wasm backend's single-threaded runner walks: it calls `advance(entry, 1)` for
 * each. For a process of its own: shared memory is hidden, and WebAssembly.Instance stands behind a clock.
 */

export interface TimedEntry {
  /** First word of the entry. */
  readonly operation: number;
  readonly milliseconds: number;
}

export interface TapeClock {
  /** Entries since the last call, in order. */
  take(): TimedEntry[];
}

type Advance = (entry: number, budget: number) => number;

export function installTapeClock(): TapeClock {
  Object.defineProperty(globalThis, 'SharedArrayBuffer', { value: undefined, configurable: true });
  let entries: TimedEntry[] = [];
  const Instance = WebAssembly.Instance;
  const timedInstance = (module: WebAssembly.Module, imports: WebAssembly.Imports): object => {
    const { exports } = new Instance(module, imports);
    const memory = imports.env?.memory as WebAssembly.Memory;
    const advance = exports.advance as Advance;
    const timed: Advance = (entry, budget) => {
      const operation = new DataView(memory.buffer).getInt32(entry, true);
      const began = performance.now();
      const next = advance(entry, budget);
      entries.push({ operation, milliseconds: performance.now() - began });
      return next;
    };
    return { exports: { ...exports, advance: timed } };
  };
  const replacement = new Proxy(Instance, {
    construct: (_, [module, imports]: [WebAssembly.Module, WebAssembly.Imports]) =>
      timedInstance(module, imports),
  });
  Object.defineProperty(WebAssembly, 'Instance', { value: replacement, configurable: true });
  return {
    take() {
      const taken = entries;
      entries = [];
      return taken;
    },
  };
}
