/** The control block that host and compute threads share; `assembly/machine.ts` has the same offsets. */

import { monotonicMs } from '../../base/platform.ts';

export const controlOffset = 32768;
/** Kernels' constants lie below the control block, thread scratch from here on. */
export const scratchOffset = 65536;
export const scratchBytesPerThread = 131072;

/** Word indices from the start of memory. */
const at = (word: number): number => controlOffset / 4 + word;
export const controlWords = {
  submitted: at(0),
  finished: at(16),
  generation: at(48),
  cancel: at(80),
  given: at(96),
  threads: at(112),
  scratchBase: at(113),
  scratchBytes: at(114),
  tapeSleepers: at(116),
  wanted: at(119),
  since: at(120),
  ring: at(128),
  givenRing: at(192),
  times: at(256),
} as const;

/** Entries of each ring, a power of two. */
export const ringLength = 64;

/** What a compute worker is told when it starts. */
export interface ComputeStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly thread: number;
}

/** `assembly/index.ts` says what they do. */
export interface KernelExports {
  serve(thread: number): void;
  advance(from: number, stride: number, forMicroseconds: number, patience: number): number;
  dotVariant(): number;
}

/** Kernels only ever abort on a broken build. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelExports {
  const abort = (): never => {
    throw new Error('A kernel aborted');
  };
  return new WebAssembly.Instance(module, { env: { memory, abort, now: monotonicMs } })
    .exports as unknown as KernelExports;
}
