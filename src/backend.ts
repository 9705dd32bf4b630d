/**
 * Backends: machines that hold bytes and run prepared segments. A backend knows storage and speed; what is computed comes
 * to it as a plan's segments. One backend serves many engines at once.
 */
import type { DrawShape } from './backend/draw-block.ts';
import type { Ticket } from './backend/ticket.ts';
import type { NumberFormat } from './format.ts';
import type { Capability, Plan, Segment } from './plan.ts';
import type { TensorType } from './tensor.ts';

export {
  type AdjustedLogit,
  DrawBlock,
  type DrawRule,
  type DrawShape,
  drawBlockLayout,
  drawnSlots,
  drawnTemperatures,
  mostAdjusted,
  mostUnread,
} from './backend/draw-block.ts';
export {
  automaticBackends,
  type BackendName,
  type BackendOptions,
  backendNames,
  openBackend,
} from './backend/open.ts';
export { drawnToken, StepBlock, type StepBlockLimits, stepBlockLayout } from './backend/step-block.ts';
export { Ticket, type TicketMachine } from './backend/ticket.ts';

/**
 * Bytes on the machine; on one that has several memories, so many in each of them, at the same address. The address is in
 * 4-byte words and unique among the backend's living regions, so that tables of addresses fit 32-bit words.
 */
export interface Region {
  readonly addressWords: number;
  readonly byteLength: number;
}

export type RegionUse = 'pages' | 'bindings';

/** A weight as the machine holds it. */
export interface PackedWeight {
  readonly type: TensorType<NumberFormat>;
  /** Bytes it takes on the machine. */
  readonly byteLength: number;
}

/** Reads `target.byteLength` bytes of a weight's file form, from `offset` within it. */
export type ReadWeight = (offset: number, target: Uint8Array) => Promise<void>;

/** A segment made ready to run; belongs to the backend that made it. */
export interface Program {
  readonly segment: Segment;
  /** Frees what the program holds. Nothing of it may be under way. */
  dispose(): void;
}

/** What a program works on in one submit. */
export interface Bindings {
  /** At least the plan's `arenaBytes` at these symbol values. */
  readonly arena: Region;
  /** A step block (`step-block.ts`). */
  readonly step: Region;
  /** Packed weights in the order of the segment's `weights`. */
  readonly weights: readonly PackedWeight[];
}

/** A draw made ready to run; belongs to the backend that made it. */
export interface DrawProgram {
  /** Whether it can run now, or is still being compiled. */
  readonly isReady: boolean;
  /** Frees what the program holds. Nothing of it may be under way. */
  dispose(): void;
}

/** What a draw works on in one submit: the region of `step` holds drawn tokens and a draw block, too. */
export interface DrawBindings extends Omit<Bindings, 'weights'> {
  /** Where in the region the slot of the drawn token is, which the draw block names by its number. */
  readonly slotBytes: number;
}

/**
 * Draws tokens where the logits are, so that a row can hold a token that the host does not know yet. The rule is that of
 * `DrawBlock`; where rounding, a tie or a logit that is no number might make the token another one than exact arithmetic
 * on the same logits gives, the machine says that it is not sure.
 */
export interface Drawing {
  prepare(plan: Plan, shape: DrawShape): DrawProgram;
  /**
   * Behind the head of a step of one row; its logits are overwritten. The two words of its slot are read from the region of
   * `step` once the ticket has settled, as results are.
   */
  submit(program: DrawProgram, bindings: DrawBindings, ticket: Ticket): void;
}

/** What a machine was asked for since it was opened. */
export interface DeviceWork {
  readonly submits: number;
  readonly dispatches: number;
  /** Between the host and the device. */
  readonly bytesWritten: number;
  readonly bytesRead: number;
}

/** What a machine does at best, measured now. */
export interface MachineRates {
  /** For people. */
  readonly machine: string;
  /** Of a copy within its memory, what is read and what is written together. */
  readonly copyBytesPerSecond: number;
  /** Multiplications and additions of float32 that depend on registers alone. */
  readonly operationsPerSecond: number;
  /** Those of a plain product of matrices in tiles, in the smallest type of floats that the machine computes with. */
  readonly product: { readonly type: 'f16' | 'f32'; readonly operationsPerSecond: number };
  /** Microseconds for a launch that does nothing, among many. */
  readonly launchUs: number;
}

export interface Backend {
  readonly name: string;
  describe(): Capability;
  /**
   * Throws `out-of-budget` where the machine has no room. The bytes are zero. `use` says who finds the region: kernels by
   * the addresses that a step block holds (`pages`), or a submit by its bindings, as without it.
   */
  allocate(byteLength: number, purpose: string, use?: RegionUse): Region;
  release(region: Region): void;
  /** Writes are seen by every submit that follows. Without `memory` they go to all memories of the machine. */
  write(region: Region, offsetBytes: number, bytes: Uint8Array, memory?: number): void;
  /** Writes zeros, on machines that have a quicker way than to be given them. Offset and length are multiples of four. */
  clear?(region: Region, offsetBytes: number, byteLength: number): void;
  /**
   * Sees every submit before it that has run. Reads memory 0 unless told. Undefined where `target` is filled already.
   */
  read(region: Region, offsetBytes: number, target: Uint8Array, memory?: number): Promise<void> | undefined;
  /** Turns a weight's file bytes into the machine's layout, a piece at a time, in memory 0 unless told. */
  pack(
    type: TensorType<NumberFormat>,
    read: ReadWeight,
    signal?: AbortSignal,
    memory?: number,
  ): Promise<PackedWeight>;
  unpack(weight: PackedWeight): void;
  /**
   * A weight whose packed bytes are those of a region of memory 0 from `offsetBytes` on, a multiple of the capability's
   * `alignmentBytes`: what lies there when a submit runs. Nothing is allocated, and there is nothing to unpack.
   */
  place(type: TensorType<NumberFormat>, region: Region, offsetBytes: number): PackedWeight;
  /**
   * Packs rows `firstRow`…`firstRow + rowCount - 1` of a placed weight (whole groups of the capability's `packedRows`,
   * counted in each matrix, or to its end); `read` counts from the first of them. A vector is one row.
   */
  packRows(
    weight: PackedWeight,
    firstRow: number,
    rowCount: number,
    read: ReadWeight,
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * Has `read` write so many bytes of a region of memory 0, in place wherever the machine's memory can be written to.
   * Several may be under way.
   */
  fill(
    region: Region,
    offsetBytes: number,
    byteLength: number,
    read: (target: Uint8Array) => Promise<void>,
  ): Promise<void>;
  /** Programs of this plan will be prepared: what takes long, such as compiling, may begin while weights come. */
  expect?(plan: Plan): void;
  prepare(segment: Segment, plan: Plan): Program;
  /**
   * Programs run in the order of their submits; a short one may have run when this returns. `symbols` are the values of the
   * graph's symbols: `[T, R]`. A failure is the ticket's; throws `internal` for a program of another backend.
   */
  submit(program: Program, bindings: Bindings, symbols: readonly number[], ticket: Ticket): void;
  /** Undefined where tokens are drawn on the host alone. */
  readonly drawing?: Drawing;
  /** Of machines beside the host's processors. */
  work?(): DeviceWork;
  /**
   * The device is gone (a driver that crashed, a browser that took it) or refuses its work (no room, no kernel that is
   * right): every ticket fails until `recover`, with code `backend` where that may help.
   */
  readonly isLost?: boolean;
  /**
   * Of machines that can be lost: opens the device anew. Regions are there under their addresses, all zero; programs run
   * again; packed weights have room and must be packed again (`packRows`). Rejects where the device does not come back.
   */
  recover?(): Promise<void>;
  /** For people: what this machine was seen to do wrongly and is not asked for any more, a line each. */
  remarks?(): readonly string[];
  /** For benchmarks; takes a second or so, in which nothing else should be asked of the machine. */
  measureRates?(): Promise<MachineRates>;
  /** Threads that compute, for reports; where the backend chooses their number, those of a short step at present. */
  readonly threads: number;
  /** Bytes now held, by purpose. */
  memory(): { readonly weightBytes: number; readonly regionBytes: number };
  close(): Promise<void>;
}
