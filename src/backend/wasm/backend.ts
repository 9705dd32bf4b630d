/** The CPU backend: AssemblyScript kernels over one WebAssembly memory, threads that walk tapes. */

import type { Backend, Bindings, PackedWeight, Program, ReadWeight, Region, Ticket } from '../../backend.ts';
import { known, NearfieldError, throwIfAborted } from '../../base/error.ts';
import { canShareMemory, processorCount } from '../../base/platform.ts';
import type { NumberFormat } from '../../format.ts';
import type { Capability, Plan, Segment } from '../../plan.ts';
import type { TensorType } from '../../tensor.ts';
import type { BackendOptions } from '../open.ts';
import { computeScript, loadKernels } from './assets.ts';
import { capability } from './capability.ts';
import { controlWords, instantiateKernels, scratchBytesPerThread, scratchOffset } from './control.ts';
import { writeDescriptions } from './description.ts';
import { type DotVariant, dotVariants } from './dot-variant.ts';
import { LinearMemory, memoryLimitBytes } from './memory.ts';
import { packWeight, type RowRange } from './pack-weight.ts';
import { weightSize } from './packing.ts';
import { TapeProgram } from './program.ts';
import { openShards, type Shard } from './sharded-backend.ts';
import { SingleThread } from './single-thread.ts';
import { StartedThreads } from './started-threads.ts';
import type { Tape, TapeRunner } from './tape-runner.ts';
import { ThreadTuner } from './thread-tuner.ts';
import { ThreadPool } from './threads.ts';

/** A few bytes are copied one by one: a view of them would be garbage for each token. */
const bytesCopiedSingly = 64;
/** More threads than this have not been seen to help memory-bound decoding. */
const mostThreads = 16;

export async function openWasmBackend(options: BackendOptions): Promise<Backend> {
  const { memories = 1 } = options;
  return memories === 1 ? openMachine(options) : openShards(memories, () => openMachine(options));
}

/** One memory and its threads. */
async function openMachine(options: BackendOptions): Promise<WasmBackend> {
  const wanted = options.threads ?? Math.min(processorCount(), mostThreads);
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 256) {
    throw new NearfieldError(
      'bad-argument',
      `threads must be a whole number from 1 to 256, not ${options.threads}`,
    );
  }
  const shared = canShareMemory();
  const threads = shared ? wanted : 1;
  const starting = shared ? new StartedThreads(computeScript(options.assets), threads) : undefined;
  try {
    const module = await loadKernels(shared, options.assets);
    const limitBytes = limitOf(options.memoryBytes);
    const memory = new LinearMemory(scratchOffset + threads * scratchBytesPerThread, shared, limitBytes);
    const control = new Int32Array(memory.memory.buffer);
    control[controlWords.threads] = threads;
    control[controlWords.scratchBase] = scratchOffset;
    control[controlWords.scratchBytes] = scratchBytesPerThread;
    const kernels = instantiateKernels(module, memory.memory);
    const dots = known(dotVariants[kernels.dotVariant()], 'dot product');
    const choice = options.threads === undefined ? new ThreadTuner<Tape>(threads) : undefined;
    const workers = await starting?.join({ module, memory: memory.memory });
    const runner = workers
      ? new ThreadPool({ memory: memory.memory, kernels, workers, choice })
      : new SingleThread(kernels);
    return new WasmBackend(memory, runner, dots);
  } catch (error) {
    await starting?.end();
    throw error;
  }
}

function limitOf(memoryBytes: number = memoryLimitBytes): number {
  if (memoryBytes >= 2 ** 20) return Math.min(memoryBytes, memoryLimitBytes);
  throw new NearfieldError('bad-argument', `memoryBytes is at least 1 MiB, not ${memoryBytes}`);
}

interface WasmRegion extends Region {
  readonly offset: number;
}

interface WasmWeight extends PackedWeight {
  readonly offset: number;
}

class WasmBackend implements Shard {
  readonly name = 'wasm';
  readonly #memory: LinearMemory;
  readonly #descriptions: ReadonlyMap<number, number>;
  readonly #dots: DotVariant;
  /** Undefined once closed: threads hold the memory, too. */
  #threads: TapeRunner | undefined;
  #weightBytes = 0;
  #regionBytes = 0;

  constructor(memory: LinearMemory, runner: TapeRunner, dots: DotVariant) {
    this.#dots = dots;
    this.#memory = memory;
    this.#threads = runner;
    this.#descriptions = writeDescriptions(memory);
  }

  get threads(): number {
    return this.#runner.threads;
  }

  get #runner(): TapeRunner {
    if (!this.#threads) throw new NearfieldError('backend', 'The backend is closed');
    return this.#threads;
  }

  describe(): Capability {
    return { ...capability, addressableBytes: this.#memory.roomBytes };
  }

  allocate(byteLength: number, purpose: string): WasmRegion {
    return this.allocateAt(this.freeOffset(byteLength, 0), byteLength, purpose);
  }

  freeOffset(byteLength: number, from: number): number {
    return this.#memory.freeOffset(byteLength, from);
  }

  allocateAt(offset: number, byteLength: number, purpose: string): WasmRegion {
    this.#memory.allocateZerosAt(offset, byteLength, purpose);
    this.#regionBytes += byteLength;
    return { offset, addressWords: offset / 4, byteLength };
  }

  view(region: Region, offsetBytes: number, byteLength: number): Uint8Array {
    return this.#memory.view((region as WasmRegion).offset + offsetBytes, byteLength);
  }

  release(region: Region): void {
    this.#memory.release((region as WasmRegion).offset);
    this.#regionBytes -= region.byteLength;
  }

  write(region: Region, offsetBytes: number, bytes: Uint8Array): void {
    this.#memory.bytes.set(bytes, (region as WasmRegion).offset + offsetBytes);
  }

  read(region: Region, offsetBytes: number, target: Uint8Array): undefined {
    const { bytes } = this.#memory;
    const start = (region as WasmRegion).offset + offsetBytes;
    const { length } = target;
    if (length > bytesCopiedSingly) target.set(bytes.subarray(start, start + length));
    else for (let index = 0; index < length; index++) target[index] = bytes[start + index] ?? 0;
  }

  async pack(type: TensorType<NumberFormat>, read: ReadWeight, signal?: AbortSignal): Promise<WasmWeight> {
    throwIfAborted(signal);
    const { totalBytes } = weightSize(type);
    const offset = this.#memory.allocate(totalBytes, 'weights');
    try {
      await this.#packAt({ type, byteLength: totalBytes, offset }, undefined, read, signal);
    } catch (error) {
      this.#memory.release(offset);
      throw error;
    }
    this.#weightBytes += totalBytes;
    return { type, byteLength: totalBytes, offset };
  }

  unpack(weight: PackedWeight): void {
    this.#memory.release((weight as WasmWeight).offset);
    this.#weightBytes -= weight.byteLength;
  }

  place(type: TensorType<NumberFormat>, region: Region, offsetBytes: number): WasmWeight {
    return {
      type,
      byteLength: weightSize(type).totalBytes,
      offset: (region as WasmRegion).offset + offsetBytes,
    };
  }

  packRows(
    weight: PackedWeight,
    firstRow: number,
    rowCount: number,
    read: ReadWeight,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#packAt(weight as WasmWeight, { first: firstRow, count: rowCount }, read, signal);
  }

  #packAt(
    { type, offset }: WasmWeight,
    part: RowRange | undefined,
    read: ReadWeight,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return packWeight({
      ...{ type, read, offset, signal },
      ...(part ? { part } : {}),
      memory: this.#memory,
      runner: this.#runner,
      descriptions: this.#descriptions,
    });
  }

  fill(
    region: Region,
    offsetBytes: number,
    byteLength: number,
    read: (target: Uint8Array) => Promise<void>,
  ): Promise<void> {
    return this.#memory.fill((region as WasmRegion).offset + offsetBytes, byteLength, read);
  }

  prepare(segment: Segment, plan: Plan): Program {
    return new TapeProgram(segment, plan, this.#memory, this.#runner, this.#descriptions, this.#dots);
  }

  submit(program: Program, bindings: Bindings, symbols: readonly number[], ticket: Ticket): void {
    if (!(program instanceof TapeProgram))
      throw new NearfieldError('internal', 'A program of another backend');
    const weights = bindings.weights as readonly WasmWeight[];
    const arena = bindings.arena as WasmRegion;
    const step = bindings.step as WasmRegion;
    program.submit(arena.offset, step.offset, weights, symbols, ticket);
  }

  memory(): { weightBytes: number; regionBytes: number } {
    return { weightBytes: this.#weightBytes, regionBytes: this.#regionBytes };
  }

  async close(): Promise<void> {
    await this.#end();
    await this.#memory.close();
  }

  /** Apart from `close`, whose frame would hold the threads, and they the memory. */
  async #end(): Promise<void> {
    await this.#threads?.close();
    this.#threads = undefined;
  }
}
