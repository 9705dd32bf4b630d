/** What was prepared: for each number of rows that recent steps had, launches with their pipelines and bind groups. */
import type { DrawProgram, Program } from '../../backend.ts';
import { known } from '../../base/error.ts';
import type { Operand, Plan, Segment } from '../../plan.ts';
import { dimBounds } from '../../tensor.ts';
import type { DrawShape } from '../draw-block.ts';
import { usage } from './device.ts';
import type { GpuMemory, GpuRegion } from './gpu-memory.ts';
import { type Bound, type Launch, NoKernelError } from './launch-list.ts';
import { Lowering } from './lower.ts';
import { drawLaunches } from './lower-draw.ts';
import type { Compiled, Pipelines } from './pipelines.ts';
import type { DeviceProfile } from './profile.ts';
import type { KernelText } from './shader/kernel.ts';
import type { GpuWeight } from './weight.ts';

/** Kept per program: one token, a full chunk, a tree, and some that come once. */
const mostInstances = 6;
/** Parameters of a launch begin at multiples of this. */
const parameterBytes = 256;

export interface Dispatch {
  readonly compiled: Compiled;
  readonly bindGroup: GPUBindGroup;
  readonly groups: Launch['groups'];
  readonly name: string;
  readonly work: number;
}

/** Launches for certain rows, buffers and weights. */
export interface Instance {
  readonly dispatches: readonly Dispatch[];
  /** Pipelines that were not compiled when it was made; undefined once they are. */
  compiling: Promise<unknown> | undefined;
}

interface KeptInstance extends Instance {
  readonly arena: GpuRegion;
  readonly step: GpuRegion;
  readonly weights: readonly GpuWeight[];
  readonly symbols: readonly number[];
  readonly generation: number;
  readonly parameters: GPUBuffer;
  lastUse: number;
}

export interface ProgramParts {
  /** Another one after a loss. */
  readonly device: () => GPUDevice;
  readonly profile: DeviceProfile;
  readonly memory: GpuMemory;
  readonly pipelines: Pipelines;
}

/** Begins to compile the kernels of one token, of small and larger trees and of a chunk. */
export function compileAhead(segment: Segment, plan: Plan, parts: Omit<ProgramParts, 'device'>): void {
  const { profile, memory, pipelines } = parts;
  const { rows, selected } = plan.graph.symbols;
  const [most, mostSelected] = [dimBounds(rows).max, dimBounds(selected).max];
  for (const count of new Set([1, Math.min(4, most), Math.min(8, most), most])) {
    const symbols = [count, Math.min(count, mostSelected)];
    const banks = Math.max(1, memory.bankCount);
    try {
      const { launches } = new Lowering(segment, plan, profile, banks, symbols);
      for (const { kernel } of launches) pipelines.of(kernel);
    } catch (error) {
      // Steps hear of it.
      if (!(error instanceof NoKernelError)) throw error;
    }
  }
}

export class GpuProgram {
  /** For so many buffers of cache pages and these values of the symbols. */
  readonly #launches: (banks: number, symbols: readonly number[]) => readonly Launch[];
  readonly #parts: ProgramParts;
  readonly #instances: KeptInstance[] = [];
  /** By the words' text. */
  readonly #constants = new Map<string, GPUBuffer>();
  #scratch: GPUBuffer | undefined;
  #device: GPUDevice | undefined;
  #uses = 0;

  constructor(
    parts: ProgramParts,
    launches: (banks: number, symbols: readonly number[]) => readonly Launch[],
  ) {
    this.#parts = parts;
    this.#launches = launches;
  }

  instance(
    arena: GpuRegion,
    step: GpuRegion,
    weights: readonly GpuWeight[],
    symbols: readonly number[],
  ): Instance {
    const { generation } = this.#parts.memory;
    const found = this.#instances.find(
      (kept) =>
        kept.arena === arena &&
        kept.step === step &&
        kept.weights === weights &&
        kept.generation === generation &&
        kept.symbols.every((value, index) => value === symbols[index]),
    );
    const instance = found ?? this.#make(arena, step, weights, symbols);
    instance.lastUse = this.#uses++;
    return instance;
  }

  #make(
    arena: GpuRegion,
    step: GpuRegion,
    weights: readonly GpuWeight[],
    symbols: readonly number[],
  ): KeptInstance {
    const { memory, pipelines } = this.#parts;
    const device = this.#deviceNow();
    const { generation } = memory;
    const launches = this.#launches(Math.max(1, memory.bankCount), symbols);
    const parameters = device.createBuffer({
      size: Math.max(1, launches.length) * parameterBytes,
      usage: usage.uniform,
      mappedAtCreation: true,
      label: 'parameters',
    });
    const words = new Uint32Array(parameters.getMappedRange());
    launches.forEach(({ kernel, params }, index) => {
      kernel.params.forEach((name, word) => {
        words[(index * parameterBytes) / 4 + word] = known(params[name], `${name} of ${kernel.key}`);
      });
    });
    parameters.unmap();
    const scratchBytes = Math.max(
      0,
      ...launches.flatMap(({ bound }) => bound.map((b) => (b.kind === 'scratch' ? b.byteLength : 0))),
    );
    const scratch = this.#scratchOf(scratchBytes);
    const resource = (bound: Bound): GPUBufferBinding => {
      switch (bound.kind) {
        case 'arena':
          return { buffer: arena.store.buffer };
        case 'step':
          return { buffer: step.store.buffer };
        case 'bank':
          return { buffer: memory.bank(bound.bank) };
        case 'constant':
          return { buffer: this.#constant(bound.words) };
        case 'scratch':
          return { buffer: known(scratch, 'scratch') };
        case 'weight':
          return known(weights[bound.weight], 'weight').binding(bound.part);
      }
    };
    const dispatches = launches.map(({ kernel, bound, groups, work }, index): Dispatch => {
      const compiled = pipelines.of(kernel);
      const bindGroup = device.createBindGroup({
        layout: compiled.layout,
        entries: [
          {
            binding: 0,
            resource: { buffer: parameters, offset: index * parameterBytes, size: kernel.params.length * 4 },
          },
          ...bound.map((one, place) => ({ binding: place + 1, resource: resource(one) })),
        ],
      });
      return { compiled, bindGroup, groups, name: kernel.key, work };
    });
    const missing = dispatches.filter(({ compiled }) => !compiled.pipeline);
    const compiling =
      missing.length > 0 ? Promise.all(missing.map(({ compiled }) => compiled.ready)) : undefined;
    // Of several that fail the first is heard of.
    compiling?.catch(() => {});
    const instance: KeptInstance = {
      ...{ arena, step, weights, symbols: [...symbols], generation, parameters, lastUse: 0, dispatches },
      compiling,
    };
    this.#keep(instance);
    return instance;
  }

  /** Launches are chosen anew when they are next wanted. */
  renew(): void {
    for (const { parameters } of this.#instances.splice(0)) parameters.destroy();
  }

  /** Nothing that was made for a lost device is used again. */
  #deviceNow(): GPUDevice {
    const device = this.#parts.device();
    if (this.#device !== device) {
      this.#instances.length = 0;
      this.#constants.clear();
      this.#scratch = undefined;
      this.#device = device;
    }
    return device;
  }

  #keep(instance: KeptInstance): void {
    if (this.#instances.length >= mostInstances) {
      const oldest = this.#instances.reduce((a, b) => (a.lastUse < b.lastUse ? a : b));
      this.#instances.splice(this.#instances.indexOf(oldest), 1);
      // What was submitted with it keeps it alive.
      oldest.parameters.destroy();
    }
    this.#instances.push(instance);
  }

  #constant(words: Uint32Array<ArrayBuffer>): GPUBuffer {
    const key = words.join();
    const before = this.#constants.get(key);
    if (before) return before;
    const buffer = this.#parts.memory.createBuffer(words.byteLength, 'constants');
    this.#parts.device().queue.writeBuffer(buffer, 0, words);
    this.#constants.set(key, buffer);
    return buffer;
  }

  #scratchOf(byteLength: number): GPUBuffer | undefined {
    if (byteLength === 0 || (this.#scratch && this.#scratch.size >= byteLength)) return this.#scratch;
    this.#scratch = this.#parts.memory.createBuffer(byteLength, 'partial sums');
    return this.#scratch;
  }

  dispose(): void {
    for (const { parameters } of this.#instances.splice(0)) parameters.destroy();
    for (const buffer of this.#constants.values()) buffer.destroy();
    this.#constants.clear();
    this.#scratch?.destroy();
    this.#scratch = undefined;
  }
}

export class SegmentProgram extends GpuProgram implements Program {
  readonly segment: Segment;
  /** What the caller reads when this was the last program of a step. */
  readonly result: Operand | undefined;

  constructor(segment: Segment, plan: Plan, parts: ProgramParts) {
    super(parts, (banks, symbols) => new Lowering(segment, plan, parts.profile, banks, symbols).launches);
    this.segment = segment;
    const { logits, argmax } = plan;
    const written = segment.kernels.flatMap((kernel) => kernel.outputs.map(({ value }) => value));
    this.result = [argmax, logits].find(({ value }) => written.includes(value));
    compileAhead(segment, plan, parts);
  }
}

export class GpuDraw extends GpuProgram implements DrawProgram {
  readonly #kernels: readonly KernelText[];
  readonly #pipelines: Pipelines;

  constructor(plan: Plan, shape: DrawShape, parts: ProgramParts) {
    const launches = drawLaunches(plan, shape, parts.profile);
    super(parts, () => launches);
    this.#kernels = launches.map(({ kernel }) => kernel);
    this.#pipelines = parts.pipelines;
  }

  /** Begins to compile what is not. */
  get isReady(): boolean {
    const compiled = this.#kernels.map((kernel) => this.#pipelines.of(kernel));
    return compiled.every(({ pipeline }) => pipeline);
  }
}
