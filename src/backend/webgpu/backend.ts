/** The GPU backend: WGSL kernels over buffers of one device, launches prepared once for each number of rows. */
import type {
  Backend,
  Bindings,
  DeviceWork,
  DrawBindings,
  Drawing,
  DrawProgram,
  MachineRates,
  PackedWeight,
  Program,
  ReadWeight,
  Region,
  RegionUse,
  Ticket,
} from '../../backend.ts';
import { NearfieldError, throwIfAborted } from '../../base/error.ts';
import { isNode } from '../../base/platform.ts';
import type { NumberFormat } from '../../format.ts';
import type { Capability, Plan, Segment } from '../../plan.ts';
import { openStore } from '../../store.ts';
import { evaluateDim, type TensorType } from '../../tensor.ts';
import { drawBlockLayout } from '../draw-block.ts';
import type { BackendOptions } from '../open.ts';
import { capabilityOf } from './capability.ts';
import { type DeviceOptions, type OpenDevice, openDevice } from './device.ts';
import { measureDevice } from './device-rates.ts';
import { GpuMemory } from './gpu-memory.ts';
import { KernelVerdicts } from './kernel-verdicts.ts';
import { measureWays } from './measure-ways.ts';
import { Pipelines } from './pipelines.ts';
import { remarksOn, tileWays } from './product-ways.ts';
import { compileAhead, GpuDraw, type ProgramParts, SegmentProgram } from './program.ts';
import { type DevicePace, Submitter } from './submitter.ts';
import { GpuWeight } from './weight.ts';
import { weightSize } from './weight-layout.ts';

export async function openWebgpuBackend(
  { pace, facts }: BackendOptions = {},
  deviceOptions: DeviceOptions = {},
): Promise<WebgpuBackend> {
  const { workMs, gapMs } = pace ?? usualPace;
  const opened = await openDevice(deviceOptions);
  // A host without a place for files does without.
  const store = facts && (await openStore(facts).catch(() => undefined));
  const verdicts = await KernelVerdicts.open(store, opened.identity);
  const { device, profile } = opened;
  const pipelines = new Pipelines(device, profile.wrongKernels, verdicts);
  try {
    await chooseWays(opened, pipelines, verdicts, deviceOptions);
  } catch (error) {
    device.destroy();
    throw error;
  }
  return new WebgpuBackend(opened, { sliceMs: workMs, gapMs }, deviceOptions, verdicts, pipelines);
}

/** An adapter that is a program has nothing to choose from: threads that work alone are the quickest by far. */
async function chooseWays(
  { device, profile }: OpenDevice,
  pipelines: Pipelines,
  verdicts: KernelVerdicts,
  { ways, measures = profile.parallel && !profile.emulated }: DeviceOptions,
): Promise<void> {
  const kept = ways ?? verdicts.ways;
  if (!kept && !measures) return;
  const { tiles, rows } = kept ?? (await measureWays(device, profile, pipelines));
  if (!kept) verdicts.noteWays({ tiles, rows });
  profile.tileWays = tiles.filter((way) => tileWays[way].isOffered(profile));
  profile.rowWays = rows.filter(({ halves }) => !halves || profile.halves);
}

/** In a browser the page's drawing waits for the same device; elsewhere only somebody who cancels. */
const usualPace = isNode ? { workMs: 80, gapMs: 0 } : { workMs: 8, gapMs: 0 };

const oneRow: readonly number[] = [1, 1];
const noWeights: readonly GpuWeight[] = [];

export class WebgpuBackend implements Backend {
  readonly name = 'webgpu';
  /** The host's thread only asks. */
  readonly threads = 1;
  #device: GPUDevice;
  readonly #opened: OpenDevice;
  readonly #deviceOptions: DeviceOptions;
  readonly #memory: GpuMemory;
  readonly #pipelines: Pipelines;
  readonly #parts: ProgramParts;
  readonly #submitter: Submitter;
  readonly #capability: Capability;
  readonly #verdicts: KernelVerdicts;
  readonly #weights = new Set<GpuWeight>();
  #isClosed = false;

  constructor(
    opened: OpenDevice,
    pace: DevicePace,
    deviceOptions: DeviceOptions,
    verdicts: KernelVerdicts,
    pipelines: Pipelines,
  ) {
    this.#deviceOptions = deviceOptions;
    this.#verdicts = verdicts;
    const { device, profile } = opened;
    this.#opened = opened;
    this.#device = device;
    this.#capability = capabilityOf(profile);
    this.#pipelines = pipelines;
    this.#submitter = new Submitter(device, pace);
    this.#memory = new GpuMemory(
      device,
      profile,
      (run) => this.#submitter.inOrder(run),
      (failure) => this.#submitter.fail(failure),
    );
    this.#parts = {
      ...{ device: () => this.#device, profile, memory: this.#memory, pipelines: this.#pipelines },
    };
  }

  describe(): Capability {
    return this.#capability;
  }

  allocate(byteLength: number, purpose: string, use?: RegionUse): Region {
    this.#expectOpen();
    return this.#memory.allocate(byteLength, purpose, use);
  }

  release(region: Region): void {
    this.#submitter.forget(this.#memory.of(region));
    this.#memory.release(region);
  }

  write(region: Region, offsetBytes: number, bytes: Uint8Array): void {
    this.#submitter.write(this.#memory.of(region), offsetBytes, bytes);
  }

  clear(region: Region, offsetBytes: number, byteLength: number): void {
    this.#submitter.clear(this.#memory.of(region), offsetBytes, byteLength);
  }

  read(region: Region, offsetBytes: number, target: Uint8Array): Promise<void> | undefined {
    this.#expectOpen();
    return this.#submitter.read(this.#memory.of(region), offsetBytes, target);
  }

  async pack(type: TensorType<NumberFormat>, read: ReadWeight, signal?: AbortSignal): Promise<GpuWeight> {
    throwIfAborted(signal);
    this.#expectOpen();
    const size = weightSize(type, this.#opened.profile.bindingBytes);
    const weight = GpuWeight.inOwnBuffers(type, size, this.#memory);
    try {
      await weight.packRows(0, size.rows, read, this.#device.queue, signal);
      this.#submitter.throwIfFailed();
    } catch (error) {
      weight.destroy();
      throw error;
    }
    this.#weights.add(weight);
    return weight;
  }

  unpack(weight: PackedWeight): void {
    const own = weight as GpuWeight;
    own.destroy();
    this.#weights.delete(own);
  }

  place(type: TensorType<NumberFormat>, region: Region, offsetBytes: number): GpuWeight {
    const size = weightSize(type, this.#opened.profile.bindingBytes);
    return GpuWeight.inRegion(type, size, this.#memory.of(region), offsetBytes);
  }

  packRows(
    weight: PackedWeight,
    firstRow: number,
    rowCount: number,
    read: ReadWeight,
    signal?: AbortSignal,
  ): Promise<void> {
    return (weight as GpuWeight).packRows(firstRow, rowCount, read, this.#device.queue, signal);
  }

  async fill(
    region: Region,
    offsetBytes: number,
    byteLength: number,
    read: (target: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const bytes = new Uint8Array(byteLength);
    await read(bytes);
    const { store, offset } = this.#memory.of(region);
    this.#device.queue.writeBuffer(store.buffer, offset + offsetBytes, bytes);
  }

  expect(plan: Plan): void {
    for (const segment of plan.segments) compileAhead(segment, plan, this.#parts);
  }

  prepare(segment: Segment, plan: Plan): Program {
    return new SegmentProgram(segment, plan, this.#parts);
  }

  submit(program: Program, bindings: Bindings, symbols: readonly number[], ticket: Ticket): void {
    this.#expectOpen();
    if (!(program instanceof SegmentProgram)) {
      throw new NearfieldError('internal', 'A program of another backend');
    }
    const arena = this.#memory.of(bindings.arena);
    const { result } = program;
    this.#submitter.submit({
      ...{ program, ticket, symbols: [...symbols], arena },
      step: this.#memory.of(bindings.step),
      weights: bindings.weights as readonly GpuWeight[],
      result: result && {
        region: arena,
        offset: evaluateDim(result.offset, symbols),
        byteLength: evaluateDim(result.bytes, symbols),
      },
    });
  }

  readonly drawing: Drawing = {
    prepare: (plan, shape) => new GpuDraw(plan, shape, this.#parts),
    submit: (program, bindings, ticket) => this.#draw(program, bindings, ticket),
  };

  #draw(program: DrawProgram, { arena, step, slotBytes }: DrawBindings, ticket: Ticket): void {
    this.#expectOpen();
    if (!(program instanceof GpuDraw)) throw new NearfieldError('internal', 'A draw of another backend');
    const region = this.#memory.of(step);
    this.#submitter.submit({
      ...{ program, ticket, symbols: oneRow, weights: noWeights },
      ...{ arena: this.#memory.of(arena), step: region },
      result: { region, offset: slotBytes, byteLength: 4 * drawBlockLayout.drawnWords },
    });
  }

  memory(): { weightBytes: number; regionBytes: number } {
    let weightBytes = 0;
    for (const { byteLength } of this.#weights) weightBytes += byteLength;
    return { weightBytes, regionBytes: this.#memory.regionBytes };
  }

  work(): DeviceWork {
    return { ...this.#submitter.work };
  }

  remarks(): readonly string[] {
    const { wrongKernels, ...profile } = this.#opened.profile;
    return [
      ...remarksOn(profile),
      ...[...wrongKernels].map(([key, problem]) => `kernel ${key} is not used on this GPU: ${problem}`),
    ];
  }

  async measureRates(): Promise<MachineRates> {
    this.#expectOpen();
    return { machine: this.#opened.identity, ...(await measureDevice(this.#device)) };
  }

  get isLost(): boolean {
    return this.#submitter.hasFailed;
  }

  async recover(): Promise<void> {
    this.#expectOpen();
    // One that only failed makes room for the next.
    this.#device.destroy();
    const { device, profile } = await openDevice(this.#deviceOptions);
    if (profile.bindingBytes < this.#opened.profile.bindingBytes) {
      device.destroy();
      throw new NearfieldError('backend', 'the adapter that is there now allows only smaller buffers');
    }
    this.#device = device;
    this.#pipelines.restart(device);
    this.#submitter.restart(device);
    this.#memory.recreate(device);
    for (const weight of this.#weights) weight.recreate(this.#memory);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#submitter.close();
    this.#memory.close();
    for (const weight of this.#weights) weight.destroy();
    this.#weights.clear();
    this.#device.destroy();
    await this.#verdicts.save();
  }

  #expectOpen(): void {
    if (this.#isClosed) throw new NearfieldError('backend', 'The backend is closed');
  }
}
