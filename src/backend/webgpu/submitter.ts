/** Hands work to the device's queue: programs of a step as one command buffer, with the copy of their result behind them. */
import { known, NearfieldError } from '../../base/error.ts';
import { isSharedBuffer, nextTurn } from '../../base/platform.ts';
import type { Ticket, TicketMachine } from '../ticket.ts';
import { mapRead, usage } from './device.ts';
import type { GpuRegion } from './gpu-memory.ts';
import { NoKernelError } from './launch-list.ts';
import { PassTimer, type Timing } from './pass-timer.ts';
import { WrongKernelError } from './pipelines.ts';
import type { Dispatch, GpuProgram, Instance } from './program.ts';
import { TimeSlices } from './time-slices.ts';
import type { GpuWeight } from './weight.ts';
import { WorkQueue } from './work-queue.ts';

export interface Submit {
  readonly program: GpuProgram;
  readonly arena: GpuRegion;
  readonly step: GpuRegion;
  readonly weights: readonly GpuWeight[];
  readonly symbols: readonly number[];
  /** What the caller reads when this was the last program of a step. */
  readonly result: ResultPlace | undefined;
  readonly ticket: Ticket;
}

interface ResultPlace {
  readonly region: GpuRegion;
  readonly offset: number;
  readonly byteLength: number;
}

/** How the device is shared with whoever else draws or computes with it. */
export interface DevicePace {
  /** Time that one command buffer is to take at most. */
  readonly sliceMs: number;
  /** Time between two command buffers of one step in which the device gets nothing. */
  readonly gapMs: number;
}

/** What a step gave, on the host. */
interface Fetched {
  readonly offset: number;
  readonly byteLength: number;
  readonly staging: GPUBuffer;
}

export class Submitter implements TicketMachine {
  /** What the device was asked for so far. */
  readonly work = { submits: 0, dispatches: 0, bytesWritten: 0, bytesRead: 0 };
  #device: GPUDevice;
  readonly #queue: WorkQueue<Submit>;
  readonly #underWay = new Set<Promise<void>>();
  /** Results of each arena's last step, and tokens that were drawn. */
  readonly #fetched = new Map<GpuRegion, Fetched[]>();
  /** Buffers for results that nobody uses now. */
  readonly #staging: GPUBuffer[] = [];
  /** Of a command the device found wrong, or its loss. */
  #failure: NearfieldError | undefined;
  #isLost = false;
  /** Resolves when the device is lost. */
  #loss: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** The latest that were taken from the queue, and tickets of theirs that were cancelled. */
  #handed: readonly Submit[] = [];
  readonly #cancelled = new Set<Ticket>();
  readonly #pace: DevicePace;
  readonly #slices: TimeSlices;
  /** When the latest commands had run. */
  #lastEndMs = 0;
  #timer: PassTimer | undefined;

  constructor(device: GPUDevice, pace: DevicePace) {
    this.#device = device;
    this.#timer = PassTimer.of(device);
    this.#pace = pace;
    this.#slices = new TimeSlices(pace.sliceMs);
    this.#queue = new WorkQueue(
      (submits) => this.#hand(submits),
      (cause) => this.fail(new NearfieldError('backend', 'The GPU refused a command', { cause })),
    );
    this.#listenTo(device);
  }

  /** Nothing that is asked for is done any more. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** What follows fails with it, until the device is opened anew. */
  fail(failure: NearfieldError): void {
    this.#failure ??= failure;
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }

  throwIfLost(): void {
    if (this.#isLost) throw this.#failure;
  }

  /** After a loss; nothing of the old device is used any more. */
  restart(device: GPUDevice): void {
    this.#timer?.close();
    this.#timer = PassTimer.of(device);
    this.#device = device;
    this.#failure = undefined;
    this.#isLost = false;
    this.#fetched.clear();
    this.#staging.length = 0;
    this.#listenTo(device);
  }

  #listenTo(device: GPUDevice): void {
    device.onuncapturederror = ({ error }) => {
      if (device !== this.#device) return;
      const [reason] = error.message.split('\n');
      this.#failure ??= new NearfieldError('backend', `The GPU refused a command: ${reason}`);
    };
    this.#loss = device.lost.then(({ message }) => {
      if (this.#isClosed || device !== this.#device) return;
      this.#isLost = true;
      this.#failure = new NearfieldError('backend', `The GPU was lost (${message || 'no reason given'})`);
    });
  }

  inOrder(run: () => void): void {
    this.#queue.run(run);
  }

  write({ store, offset, byteLength }: GpuRegion, offsetBytes: number, bytes: Uint8Array): void {
    if (offsetBytes + bytes.length > byteLength) {
      throw new NearfieldError(
        'internal',
        `${bytes.length} bytes from ${offsetBytes} on exceed a region of ${byteLength}`,
      );
    }
    // Dawn in Node takes no shared memory, and no buffer's queue a length that is no multiple of four.
    const whole = bytes.length % 4 === 0 ? bytes : padded(bytes);
    const own = isSharedBuffer(whole.buffer) ? new Uint8Array(whole) : (whole as Uint8Array<ArrayBuffer>);
    // What has to wait is copied: the caller writes to its bytes again.
    const now = this.#queue.isEmpty ? own : own.slice();
    this.work.bytesWritten += now.length;
    this.#queue.run(() => this.#device.queue.writeBuffer(store.buffer, offset + offsetBytes, now));
  }

  clear({ store, offset }: GpuRegion, offsetBytes: number, byteLength: number): void {
    this.#queue.run(() => {
      const encoder = this.#device.createCommandEncoder();
      encoder.clearBuffer(store.buffer, offset + offsetBytes, byteLength);
      this.work.submits++;
      this.#device.queue.submit([encoder.finish()]);
    });
  }

  submit(submit: Submit): void {
    submit.ticket.begin(this);
    this.#queue.add(submit);
  }

  cancel(ticket: Ticket): void {
    if (this.#handed.some((submit) => submit.ticket === ticket)) this.#cancelled.add(ticket);
    const aborted = new NearfieldError('aborted', 'The step was cancelled');
    for (const submit of this.#queue.remove((candidate) => candidate.ticket === ticket))
      submit.ticket.end(aborted);
  }

  read(region: GpuRegion, offsetBytes: number, target: Uint8Array): Promise<void> | undefined {
    const fetched = this.#fetched.get(region)?.find(({ offset }) => offset === offsetBytes);
    if (fetched && target.length <= fetched.byteLength) {
      target.set(new Uint8Array(fetched.staging.getMappedRange(0, align(target.length)), 0, target.length));
      this.forget(region, offsetBytes);
      return undefined;
    }
    return this.#readBack(region, offsetBytes, target);
  }

  /** Results that lie in this region, or in one place of it, are not given out any more. */
  forget(region: GpuRegion, place?: number): void {
    const fetched = this.#fetched.get(region) ?? [];
    for (let index = fetched.length - 1; index >= 0; index--) {
      const { offset, staging } = known(fetched[index], 'result');
      if (place !== undefined && offset !== place) continue;
      fetched.splice(index, 1);
      staging.unmap();
      this.#staging.push(staging);
    }
    if (fetched.length === 0) this.#fetched.delete(region);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#underWay);
    for (const region of [...this.#fetched.keys()]) this.forget(region);
    for (const staging of this.#staging.splice(0)) staging.destroy();
    this.#timer?.close();
  }

  async #readBack(region: GpuRegion, offsetBytes: number, target: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    const staging = this.#device.createBuffer({
      size: align(target.length),
      usage: usage.mapRead | usage.copyTarget,
    });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#queue.run(() => {
          const encoder = this.#device.createCommandEncoder();
          encoder.copyBufferToBuffer(
            region.store.buffer,
            region.offset + offsetBytes,
            staging,
            0,
            staging.size,
          );
          this.#device.queue.submit([encoder.finish()]);
          this.work.submits++;
          this.work.bytesRead += staging.size;
          staging.mapAsync(mapRead).then(resolve, reject);
        });
      });
      target.set(new Uint8Array(staging.getMappedRange(), 0, target.length));
    } catch (cause) {
      throw this.#failure ?? new NearfieldError('backend', 'The GPU could not be read from', { cause });
    } finally {
      staging.destroy();
    }
  }

  /** Programs that follow each other: as few command buffers as the budget of time allows, with gaps between them. */
  async #hand(submits: Submit[]): Promise<void> {
    this.#handed = submits;
    try {
      for (const { arena } of submits) this.forget(arena);
      const dispatches = await this.#dispatches(submits);
      const works = dispatches.map(({ work }) => work);
      for (let start = 0; start < dispatches.length || start === 0; ) {
        this.#throwIfStopped(submits);
        const end = this.#slices.end(works, start);
        const isLast = end === dispatches.length;
        const timing = this.#timer?.begin();
        const done = this.#encode(dispatches.slice(start, end), isLast ? submits : [], timing);
        const measured = this.#measure(works.slice(start, end), done, isLast, timing);
        if (isLast) {
          this.#follow(submits, measured);
          return;
        }
        await measured;
        start = end;
        if (this.#pace.gapMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#pace.gapMs));
      }
    } catch (cause) {
      if (cause instanceof NoKernelError) this.fail(cause);
      // What a lost device does not answer may be heard of before its loss.
      if (!(cause instanceof NearfieldError)) await nextTurn();
      this.#end(submits, this.#failureOf(cause));
    }
  }

  /** Launches with kernels that have been compiled, and checked on this device. */
  async #dispatches(submits: readonly Submit[]): Promise<Dispatch[]> {
    for (;;) {
      const instances = submits.map(({ program, arena, step, weights, symbols }) =>
        program.instance(arena, step, weights, symbols),
      );
      try {
        for (const instance of instances) await this.#compiled(instance);
        return instances.flatMap(({ dispatches }) => dispatches);
      } catch (error) {
        if (!(error instanceof WrongKernelError)) throw error;
        // Another kernel stands in for it.
        for (const { program } of submits) program.renew();
      }
    }
  }

  async #compiled(instance: Instance): Promise<void> {
    if (!instance.compiling) return;
    // A device that is lost may leave it open for ever.
    await Promise.race([instance.compiling, this.#loss]);
    this.throwIfLost();
    instance.compiling = undefined;
  }

  #throwIfStopped(submits: readonly Submit[]): void {
    if (this.#failure) throw this.#failure;
    if (submits.some(({ ticket }) => this.#cancelled.has(ticket))) {
      throw new NearfieldError('aborted', 'The step was cancelled');
    }
  }

  /** By the device's own clock where it has one. Whoever waits for the last commands does not wait for that. */
  async #measure(
    works: readonly number[],
    done: Promise<void>,
    isLast: boolean,
    timing: Timing | undefined,
  ): Promise<void> {
    const work = works.reduce((sum, each) => sum + each, 0);
    const startMs = performance.now();
    const told = timing?.milliseconds();
    await done;
    const endMs = performance.now();
    // What went behind other work began when that was done.
    const waitedMs = endMs - Math.max(startMs, this.#lastEndMs);
    this.#lastEndMs = endMs;
    const noted = (async () => this.#slices.took(work, waitedMs, await told))();
    if (!isLast) await noted;
  }

  /** The last commands are with the device; what follows may go behind them. */
  #follow(submits: readonly Submit[], done: Promise<void>): void {
    const over = done.then(
      () => this.#end(submits, this.#failure),
      (cause) => this.#end(submits, this.#failureOf(cause)),
    );
    this.#underWay.add(over);
    void over.then(() => this.#underWay.delete(over));
  }

  #end(submits: readonly Submit[], failure: unknown): void {
    if (this.#handed === submits) this.#handed = [];
    for (const { ticket } of submits) {
      this.#cancelled.delete(ticket);
      ticket.end(failure);
    }
  }

  #failureOf(cause: unknown): unknown {
    if (this.#failure || cause instanceof NearfieldError) return this.#failure ?? cause;
    return new NearfieldError('backend', 'The GPU failed', { cause });
  }

  /** Behind the last of a step's commands its result is copied to where the host can read it. */
  #encode(
    dispatches: readonly Dispatch[],
    ending: readonly Submit[],
    timing: Timing | undefined,
  ): Promise<void> {
    this.work.submits++;
    this.work.dispatches += dispatches.length;
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass(timing ? { timestampWrites: timing.writes } : {});
    for (const { compiled, bindGroup, groups } of dispatches) {
      if (!compiled.pipeline) continue;
      pass.setPipeline(compiled.pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...groups);
    }
    pass.end();
    timing?.resolve(encoder);
    const place = ending.at(-1)?.result;
    if (!place || place.byteLength === 0) {
      this.#device.queue.submit([encoder.finish()]);
      return this.#device.queue.onSubmittedWorkDone().then(() => {});
    }
    const staging = this.#stagingOf(place.byteLength);
    const size = align(place.byteLength);
    this.work.bytesRead += size;
    const { region, offset, byteLength } = place;
    encoder.copyBufferToBuffer(region.store.buffer, region.offset + offset, staging, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    return staging.mapAsync(mapRead, 0, size).then(() => {
      this.forget(region, offset);
      const fetched = this.#fetched.get(region);
      if (fetched) fetched.push({ offset, byteLength, staging });
      else this.#fetched.set(region, [{ offset, byteLength, staging }]);
    });
  }

  #stagingOf(byteLength: number): GPUBuffer {
    const fitting = this.#staging.findIndex(({ size }) => size >= byteLength);
    const [found] = fitting < 0 ? [] : this.#staging.splice(fitting, 1);
    if (found) return found;
    // The one that is too small is of no use any more.
    this.#staging.pop()?.destroy();
    return this.#device.createBuffer({
      size: align(byteLength),
      usage: usage.mapRead | usage.copyTarget,
      label: 'results',
    });
  }
}

const align = (bytes: number): number => Math.ceil(bytes / 4) * 4;

function padded(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(align(bytes.length));
  whole.set(bytes);
  return whole;
}
