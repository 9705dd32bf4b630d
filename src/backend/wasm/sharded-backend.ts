/**
 * A machine of several WebAssembly memories, for models that one memory does not hold: each has threads of its own and
 * the layers that the plan put there. One of them computes at a time; the threads of the others sleep. Where a segment
 * reads what a segment of another memory made, those rows are copied before it runs.
 */
import type { Backend, Bindings, PackedWeight, Program, ReadWeight, Region } from '../../backend.ts';
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { Capability, Operand, Plan, Segment } from '../../plan.ts';
import { evaluateDim, type TensorType } from '../../tensor.ts';
import { Ticket } from '../ticket.ts';

/** A backend of one memory, of which the sharded one needs to know where regions lie. */
export interface Shard extends Backend {
  /** The lowest byte offset from `from` on where so many bytes are free or would be if the memory grew. */
  freeOffset(byteLength: number, from: number): number;
  /** Takes the bytes at an offset that `freeOffset` gave; else as `allocate`. */
  allocateAt(offset: number, byteLength: number, purpose: string): Region;
  /** Lost when the memory grows. */
  view(region: Region, offsetBytes: number, byteLength: number): Uint8Array;
}

/** Rejects as `open` does; what was open by then is closed. */
export async function openShards(count: number, open: () => Promise<Shard>): Promise<Backend> {
  const shards: Shard[] = [];
  try {
    do shards.push(await open());
    while (shards.length < count);
    const { mostMemories } = known(shards[0], 'memory').describe();
    if (!Number.isInteger(count) || count < 1 || count > mostMemories) {
      throw new NearfieldError(
        'bad-argument',
        `memories is a whole number from 1 to ${mostMemories}, not ${count}`,
      );
    }
    return new ShardedBackend(shards);
  } catch (error) {
    await Promise.allSettled(shards.map((shard) => shard.close()));
    throw error;
  }
}

interface ShardedRegion extends Region {
  /** One in each memory, at the same offset. */
  readonly parts: readonly Region[];
}

interface Submit {
  readonly program: ShardedProgram;
  readonly bindings: Bindings;
  readonly symbols: readonly number[];
  readonly ticket: Ticket;
  isCancelled: boolean;
}

class ShardedBackend implements Backend {
  readonly name: string;
  readonly #shards: readonly Shard[];
  readonly #first: Shard;
  readonly #memoryOf = new WeakMap<PackedWeight, number>();
  /** In order of arrival; the first runs. */
  readonly #underWay: Submit[] = [];
  /** Of the first. */
  readonly #running = new Ticket();
  readonly #goOn = (): void => this.#endFirst();
  readonly #goOnAfter = (failure: unknown): void => this.#endFirst(failure);

  constructor(shards: readonly Shard[]) {
    this.#shards = shards;
    this.#first = known(shards[0], 'memory');
    this.name = this.#first.name;
  }

  get threads(): number {
    return this.#first.threads;
  }

  describe(): Capability {
    return this.#first.describe();
  }

  allocate(byteLength: number, purpose: string): ShardedRegion {
    const parts: Region[] = [];
    try {
      const offset = this.#commonOffset(byteLength);
      for (const shard of this.#shards) parts.push(shard.allocateAt(offset, byteLength, purpose));
    } catch (error) {
      this.#releaseParts(parts);
      throw error;
    }
    const { addressWords } = known(parts[0], 'part');
    return { addressWords, byteLength, parts };
  }

  /** The lowest offset that has room in every memory. */
  #commonOffset(byteLength: number): number {
    let offset = 0;
    for (;;) {
      const next = Math.max(...this.#shards.map((shard) => shard.freeOffset(byteLength, offset)));
      if (next === offset) return offset;
      offset = next;
    }
  }

  release(region: Region): void {
    this.#releaseParts((region as ShardedRegion).parts);
  }

  #releaseParts(parts: readonly Region[]): void {
    parts.forEach((part, memory) => {
      this.#shard(memory).release(part);
    });
  }

  write(region: Region, offsetBytes: number, bytes: Uint8Array, memory?: number): void {
    (region as ShardedRegion).parts.forEach((part, index) => {
      if (memory === undefined || memory === index) this.#shard(index).write(part, offsetBytes, bytes);
    });
  }

  read(region: Region, offsetBytes: number, target: Uint8Array, memory = 0): Promise<void> | undefined {
    return this.#shard(memory).read(partOf(region, memory), offsetBytes, target);
  }

  async pack(
    type: TensorType<NumberFormat>,
    read: ReadWeight,
    signal?: AbortSignal,
    memory = 0,
  ): Promise<PackedWeight> {
    const weight = await this.#shard(memory).pack(type, read, signal);
    this.#memoryOf.set(weight, memory);
    return weight;
  }

  unpack(weight: PackedWeight): void {
    this.#shard(this.#placeOf(weight)).unpack(weight);
    this.#memoryOf.delete(weight);
  }

  place(type: TensorType<NumberFormat>, region: Region, offsetBytes: number): PackedWeight {
    const weight = this.#first.place(type, partOf(region, 0), offsetBytes);
    this.#memoryOf.set(weight, 0);
    return weight;
  }

  packRows(
    weight: PackedWeight,
    firstRow: number,
    rowCount: number,
    read: ReadWeight,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#first.packRows(weight, firstRow, rowCount, read, signal);
  }

  fill(
    region: Region,
    offsetBytes: number,
    byteLength: number,
    read: (target: Uint8Array) => Promise<void>,
  ): Promise<void> {
    return this.#first.fill(partOf(region, 0), offsetBytes, byteLength, read);
  }

  prepare(segment: Segment, plan: Plan): Program {
    const inner = this.#shard(segment.memory).prepare(segment, plan);
    return new ShardedProgram(inner, arrivals(segment, plan));
  }

  /** A program waits on the host until the one before it is done: then what it reads from another memory is copied. */
  submit(program: Program, bindings: Bindings, symbols: readonly number[], ticket: Ticket): void {
    if (!(program instanceof ShardedProgram)) {
      throw new NearfieldError('internal', 'A program of another backend');
    }
    const isAlone = this.#underWay.length === 0;
    this.#underWay.push({ program, bindings, symbols, ticket, isCancelled: false });
    ticket.begin(this);
    if (isAlone) this.#runFirst();
  }

  cancel(ticket: Ticket): void {
    for (const submit of this.#underWay) if (submit.ticket === ticket) submit.isCancelled = true;
    if (this.#underWay[0]?.isCancelled) this.#running.cancel();
  }

  /** And those behind it, as long as they are over at once. */
  #runFirst(): void {
    while (this.#underWay.length > 0) {
      try {
        this.#run(known(this.#underWay[0], 'submit'));
      } catch (error) {
        this.#running.fail(error);
      }
      const running = this.#running.settled();
      if (running) {
        running.then(this.#goOn, this.#goOnAfter);
        return;
      }
      this.#underWay.shift()?.ticket.end();
    }
  }

  #endFirst(failure?: unknown): void {
    this.#underWay.shift()?.ticket.end(failure);
    this.#runFirst();
  }

  #run({ program, bindings, symbols, isCancelled }: Submit): void {
    if (isCancelled) throw new NearfieldError('aborted', 'Aborted by the caller');
    const { memory } = program.segment;
    const shard = this.#shard(memory);
    for (const { operand, from } of program.arrivals) {
      const offset = evaluateDim(operand.offset, symbols);
      const byteLength = evaluateDim(operand.bytes, symbols);
      const bytes = this.#shard(from).view(partOf(bindings.arena, from), offset, byteLength);
      shard.write(partOf(bindings.arena, memory), offset, bytes);
    }
    shard.submit(program.inner, program.bind(bindings, this.#memoryOf), symbols, this.#running);
  }

  memory(): { weightBytes: number; regionBytes: number } {
    const held = this.#shards.map((shard) => shard.memory());
    return {
      weightBytes: held.reduce((sum, { weightBytes }) => sum + weightBytes, 0),
      regionBytes: held.reduce((sum, { regionBytes }) => sum + regionBytes, 0),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.close()));
  }

  #shard(memory: number): Shard {
    return known(this.#shards[memory], 'memory that the plan is spread over');
  }

  #placeOf(weight: PackedWeight): number {
    return known(this.#memoryOf.get(weight), 'weight in any of the memories');
  }
}

const partOf = (region: Region, memory: number): Region =>
  known((region as ShardedRegion).parts[memory], 'part of a region in a memory');

/** An activation that a segment of another memory has made. */
interface Arrival {
  readonly operand: Operand;
  readonly from: number;
}

function arrivals(segment: Segment, plan: Plan): Arrival[] {
  const keyOf = ({ value, form }: Operand): string => `${value.id}:${form.name}`;
  const madeIn = new Map<string, number>();
  for (const { kernels, memory } of plan.segments) {
    for (const { outputs } of kernels) for (const operand of outputs) madeIn.set(keyOf(operand), memory);
  }
  const found = new Map<string, Arrival>();
  for (const operand of segment.kernels.flatMap((kernel) => kernel.inputs)) {
    const from = known(madeIn.get(keyOf(operand)), `maker of ${operand.value.name}`);
    if (from !== segment.memory) found.set(keyOf(operand), { operand, from });
  }
  return [...found.values()];
}

class ShardedProgram implements Program {
  readonly segment: Segment;
  readonly inner: Program;
  readonly arrivals: readonly Arrival[];
  /** Of the latest submit, and what they are in the segment's own memory. */
  #bindings: { readonly whole: Bindings; readonly own: Bindings } | undefined;

  constructor(inner: Program, arriving: readonly Arrival[]) {
    this.segment = inner.segment;
    this.inner = inner;
    this.arrivals = arriving;
  }

  bind(whole: Bindings, memoryOf: WeakMap<PackedWeight, number>): Bindings {
    if (this.#bindings?.whole === whole) return this.#bindings.own;
    const { memory } = this.segment;
    const stray = whole.weights.findIndex((weight) => memoryOf.get(weight) !== memory);
    if (stray >= 0) {
      const { name } = known(this.segment.weights[stray], 'weight');
      throw new NearfieldError('internal', `${name} is not in memory ${memory}, where it is used`);
    }
    const own = {
      arena: partOf(whole.arena, memory),
      step: partOf(whole.step, memory),
      weights: whole.weights,
    };
    this.#bindings = { whole, own };
    return own;
  }

  dispose(): void {
    this.inner.dispose();
  }
}
