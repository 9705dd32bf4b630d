/**
 * Times every entry of the tapes that the wasm backend's single-threaded runner walks: it calls `advance`,
 * which is made to stop after each. For a process of its own: shared memory is hidden, and WebAssembly.Instance stands behind a clock.
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

type Advance = (from: number, stride: number, forMicroseconds: number, patience: number) => number;

export function installTapeClock(): TapeClock {
  Object.defineProperty(globalThis, 'SharedArrayBuffer', { value: undefined, configurable: true });
  let entries: TimedEntry[] = [];
  const Instance = WebAssembly.Instance;
  const timedInstance = (module: WebAssembly.Module, imports: WebAssembly.Imports): object => {
    const { exports } = new Instance(module, imports);
    const memory = imports.env?.memory as WebAssembly.Memory;
    const advance = exports.advance as Advance;
    const timed: Advance = (start) => {
      let from = start;
      do {
        const view = new DataView(memory.buffer);
        // Odd: behind the entry before it, whose second word is its length.
        const last = from & ~1;
        const entry = from === last ? last : last + 4 * view.getUint32(last + 4, true);
        const operation = view.getInt32(entry, true);
        const began = performance.now();
        // Behind an entry the first look at the clock is that entry's own, again.
        from = advance(from, from === last ? 1 : 2, -1000, -1);
        entries.push({ operation, milliseconds: performance.now() - began });
      } while (from !== 0);
      return 0;
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
