/** Compute pipelines by the text of their kernel: compiled once per device, without keeping the caller waiting. */
import { NearfieldError } from '../../base/error.ts';
import { nextTurn } from '../../base/platform.ts';
import { runCheck } from './check/run-check.ts';
import type { KernelVerdicts } from './kernel-verdicts.ts';
import { type KernelText, shaderText } from './shader/kernel.ts';

export interface Compiled {
  readonly layout: GPUBindGroupLayout;
  /** Undefined until `ready` resolves. */
  pipeline: GPUComputePipeline | undefined;
  readonly ready: Promise<void>;
}

/** The kernel is not to be used; there may be another that does the same. */
export class WrongKernelError extends NearfieldError {}

export class Pipelines {
  #device: GPUDevice;
  /** By key, with what is wrong. */
  readonly #wrongKernels: Map<string, string>;
  readonly #verdicts: KernelVerdicts;
  /** Kernels that are compiled or checked now. */
  #underWay = 0;
  #isLost = false;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #compiled = new Map<string, Compiled>();

  constructor(device: GPUDevice, wrongKernels: Map<string, string>, verdicts: KernelVerdicts) {
    this.#device = device;
    this.#wrongKernels = wrongKernels;
    this.#verdicts = verdicts;
    this.#listenTo(device);
  }

  #listenTo(device: GPUDevice): void {
    this.#isLost = false;
    void device.lost.then(() => {
      if (device === this.#device) this.#isLost = true;
    });
  }

  /** Everything is compiled anew for another device. */
  restart(device: GPUDevice): void {
    this.#device = device;
    this.#listenTo(device);
    this.#layouts.clear();
    this.#compiled.clear();
  }

  /** Begins to compile what is new. */
  of(kernel: KernelText): Compiled {
    const before = this.#compiled.get(kernel.key);
    if (before) return before;
    const layout = this.#layoutOf(kernel);
    const compiled: Compiled = { layout, pipeline: undefined, ready: Promise.resolve() };
    const ready = this.#make(kernel, layout).then((pipeline) => {
      compiled.pipeline = pipeline;
    });
    // Who waits for it hears of a failure; nobody may wait.
    ready.catch(() => {});
    const entry = Object.assign(compiled, { ready });
    this.#compiled.set(kernel.key, entry);
    return entry;
  }

  /** Compiled, and seen to be right on this device now or before. */
  async #make(kernel: KernelText, layout: GPUBindGroupLayout): Promise<GPUComputePipeline> {
    const device = this.#device;
    this.#underWay++;
    try {
      const verdict = await this.#verdicts.of(kernel);
      if (verdict?.problem !== undefined) throw this.#refusal(kernel, verdict.problem);
      const pipeline = await this.#compile(device, kernel, layout);
      if (kernel.check && !verdict) {
        const problem = await runCheck(device, pipeline, layout, kernel, kernel.check());
        await this.#throwIfLost(device, kernel);
        await this.#verdicts.note(kernel, problem);
        if (problem !== undefined) throw this.#refusal(kernel, problem);
      }
      return pipeline;
    } finally {
      this.#underWay--;
      if (this.#underWay === 0) void this.#verdicts.save();
    }
  }

  #refusal({ key }: KernelText, problem: string): WrongKernelError {
    this.#wrongKernels.set(key, problem);
    return new WrongKernelError('backend', `The GPU's driver has no right kernel ${key}: ${problem}`);
  }

  /** A lost device refuses everything, and may say so before it says that it is lost. */
  async #throwIfLost(device: GPUDevice, { key }: KernelText, cause?: unknown): Promise<void> {
    await nextTurn();
    if (device === this.#device && !this.#isLost) return;
    throw new NearfieldError('backend', `The GPU was lost before it had ${key}`, { cause });
  }

  async #compile(
    device: GPUDevice,
    kernel: KernelText,
    layout: GPUBindGroupLayout,
  ): Promise<GPUComputePipeline> {
    // A wrong text is this kernel's own failure, none of the device.
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code: shaderText(kernel), label: kernel.key });
    const problem = device.popErrorScope().catch(() => null);
    try {
      return await device.createComputePipelineAsync({
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
        label: kernel.key,
      });
    } catch (cause) {
      const told = (await problem)?.message ?? (cause instanceof Error ? cause.message : String(cause));
      const [reason = ''] = told.split('\n');
      await this.#throwIfLost(device, kernel, cause);
      throw this.#refusal(kernel, `the driver refuses it (${reason})`);
    }
  }

  #layoutOf({ bindings }: KernelText): GPUBindGroupLayout {
    const key = bindings.map(({ access }) => access).join();
    const before = this.#layouts.get(key);
    if (before) return before;
    const visibility = 4;
    const layout = this.#device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility, buffer: { type: 'uniform' } },
        ...bindings.map(({ access }, index) => ({
          binding: index + 1,
          visibility,
          buffer: { type: access === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
        })),
      ],
    });
    this.#layouts.set(key, layout);
    return layout;
  }
}
