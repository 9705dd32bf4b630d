/**
 * The reference backend: float64, one plain function per operation. Every other backend is judged against it.
 *
 * Same rows, same bits: each row's results are computed from that row and the cache rows it sees, in one fixed order, so
 * they do not depend on what else is in the step or on how a prompt is cut in chunks.
 */
import type {
  Backend,
  BackendOptions,
  Bindings,
  PackedWeight,
  Program,
  ReadWeight,
  Region,
  Ticket,
} from '../../backend.ts';
import { NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { Capability, Plan, Segment } from '../../plan.ts';
import { evaluateDim, type TensorType } from '../../tensor.ts';
import { capability } from './capability.ts';
import { ReferenceProgram, type Run } from './program.ts';
import { Regions } from './regions.ts';
import { readStepTables } from './step-tables.ts';
import { packRows, packWeight, placeWeight, type ReferenceWeight } from './weight.ts';

/** How long kernels run before the event loop gets its turn. */
const sliceMs = 10;

/** Takes no options into account: it computes on the caller's thread. */
export function openReferenceBackend(_options: BackendOptions = {}): Backend {
  return new ReferenceBackend();
}

interface Submit {
  readonly ticket: Ticket;
  cancelled: boolean;
}

class ReferenceBackend implements Backend {
  readonly name = capability.backend;
  readonly threads = 1;
  readonly #regions = new Regions();
  readonly #weights = new Set<ReferenceWeight>();
  /** Weights in regions; they hold nothing of their own. */
  readonly #placed = new WeakSet<ReferenceWeight>();
  readonly #underWay = new Set<Submit>();
  /** Settles, never rejects, when the latest submit is over. */
  #latest: Promise<void> = Promise.resolve();
  #sliceStartMs = 0;

  describe(): Capability {
    return capability;
  }

  allocate(byteLength: number, purpose: string): Region {
    return this.#regions.allocate(byteLength, purpose);
  }

  release(region: Region): void {
    this.#regions.release(region);
  }

  write(region: Region, offsetBytes: number, bytes: Uint8Array): void {
    this.#regions.bytes(region, offsetBytes, bytes.length).set(bytes);
  }

  async read(region: Region, offsetBytes: number, target: Uint8Array): Promise<void> {
    target.set(this.#regions.bytes(region, offsetBytes, target.length));
  }

  async pack(
    type: TensorType<NumberFormat>,
    read: ReadWeight,
    signal?: AbortSignal,
  ): Promise<ReferenceWeight> {
    const weight = await packWeight(type, read, signal);
    this.#weights.add(weight);
    return weight;
  }

  unpack(weight: PackedWeight): void {
    this.#weights.delete(this.#weightOf(weight));
  }

  place(type: TensorType<NumberFormat>, region: Region, offsetBytes: number): ReferenceWeight {
    const weight = placeWeight(type, this.#regions.of(region).buffer, offsetBytes);
    this.#placed.add(weight);
    return weight;
  }

  packRows(
    weight: PackedWeight,
    firstRow: number,
    rowCount: number,
    read: ReadWeight,
    signal?: AbortSignal,
  ): Promise<void> {
    return packRows(this.#weightOf(weight), firstRow, rowCount, read, signal);
  }

  fill(
    region: Region,
    offsetBytes: number,
    byteLength: number,
    read: (target: Uint8Array) => Promise<void>,
  ): Promise<void> {
    return read(this.#regions.bytes(region, offsetBytes, byteLength));
  }

  prepare(segment: Segment, plan: Plan): ReferenceProgram {
    return new ReferenceProgram(segment, plan);
  }

  /** The step block is read when the program's turn comes. A cancelled program stops before its next kernel. */
  submit(program: Program, bindings: Bindings, symbols: readonly number[], ticket: Ticket): void {
    if (!(program instanceof ReferenceProgram)) {
      throw new NearfieldError('internal', 'A program of another backend was submitted to the reference');
    }
    const state = { ticket, cancelled: false };
    this.#underWay.add(state);
    ticket.begin(this);
    const done = this.#latest.then(() => this.#run(program, bindings, symbols, state));
    this.#latest = done.then(
      () => this.#end(state),
      (error: unknown) => this.#end(state, error),
    );
  }

  cancel(ticket: Ticket): void {
    for (const state of this.#underWay) if (state.ticket === ticket) state.cancelled = true;
  }

  memory(): { weightBytes: number; regionBytes: number } {
    let weightBytes = 0;
    for (const weight of this.#weights) weightBytes += weight.byteLength;
    return { weightBytes, regionBytes: this.#regions.heldBytes };
  }

  async close(): Promise<void> {
    await this.#latest;
    this.#weights.clear();
    this.#regions.clear();
  }

  #end(state: Submit, failure?: unknown): void {
    this.#underWay.delete(state);
    state.ticket.end(failure);
  }

  async #run(
    program: ReferenceProgram,
    bindings: Bindings,
    symbols: readonly number[],
    state: Submit,
  ): Promise<void> {
    const run = this.#resolve(program, bindings, symbols);
    for (const kernel of program.segment.kernels) {
      if (performance.now() - this.#sliceStartMs > sliceMs) {
        await new Promise((resolve) => setTimeout(resolve, 0));
        this.#sliceStartMs = performance.now();
      }
      if (state.cancelled) throw new NearfieldError('aborted', 'The step was cancelled');
      program.runKernel(kernel, run);
    }
  }

  #resolve(program: ReferenceProgram, bindings: Bindings, symbols: readonly number[]): Run {
    const arena = this.#regions.of(bindings.arena);
    const neededBytes = evaluateDim(program.plan.arenaBytes, symbols);
    if (arena.byteLength < neededBytes) {
      throw new NearfieldError('internal', `An arena of ${arena.byteLength} bytes; needed: ${neededBytes}`);
    }
    if (bindings.weights.length !== program.segment.weights.length) {
      throw new NearfieldError(
        'internal',
        `${bindings.weights.length} weights are bound; the segment has ${program.segment.weights.length}`,
      );
    }
    const { buffer } = this.#regions.of(bindings.step);
    const step = readStepTables(new Int32Array(buffer), (address) => this.#regions.at(address));
    const weights = bindings.weights.map((weight) => this.#weightOf(weight));
    return { arena: arena.buffer, step, weights, symbols };
  }

  #weightOf(weight: PackedWeight): ReferenceWeight {
    const held = weight as ReferenceWeight;
    if (this.#weights.has(held) || this.#placed.has(held)) return held;
    throw new NearfieldError('internal', 'A weight is used that this backend does not hold');
  }
}
