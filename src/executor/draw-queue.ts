/** Rows whose tokens the machine draws itself, one behind the other: each is queued before the token it holds is known here. */
import {
  type Backend,
  DrawBlock,
  type DrawProgram,
  type DrawRule,
  type DrawShape,
  drawBlockLayout,
  drawnToken,
  type Region,
  type StepBlock,
} from '../backend.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { DrawnToken, DrawQueue, DrawStep } from '../executor.ts';
import type { Sequence } from '../kv-cache.ts';
import type { Plan } from '../plan.ts';
import { DrawSlots, type SlotRow } from './draw-slots.ts';
import type { Pace } from './pace.ts';
import type { StageRunner } from './stage-runner.ts';
import type { TurnQueue } from './turn-queue.ts';

export interface DrawParts {
  readonly backend: Backend;
  readonly plan: Plan;
  readonly runner: StageRunner;
  readonly block: StepBlock;
  readonly arena: Region;
  readonly step: Region;
  readonly pace: Pace | undefined;
}

const stages = ['body', 'head'] as const;
const symbols: readonly number[] = [1, 1];

/** What all queues of an executor share. */
export class Draws {
  readonly parts: DrawParts;
  readonly turns: TurnQueue;
  readonly block = new DrawBlock();
  readonly #slots = new DrawSlots();
  readonly #programs = new Map<string, DrawProgram>();
  readonly #open = new Set<QueuedDraws>();

  constructor(parts: DrawParts, turns: TurnQueue) {
    this.parts = parts;
    this.turns = turns;
  }

  open(sequence: Sequence, rule: DrawRule, shape: DrawShape): DrawQueue | undefined {
    const program = this.#programOf(shape);
    const row = program.isReady ? this.#slots.take() : undefined;
    if (!row) return undefined;
    const queue = new QueuedDraws(this, program, row, sequence, rule);
    this.#open.add(queue);
    return queue;
  }

  closed(queue: QueuedDraws, row: SlotRow): void {
    this.#open.delete(queue);
    this.#slots.giveBack(row);
  }

  /** Cancels what is under way; resolves when nothing is. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((queue) => queue.close()));
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
  }

  #programOf(shape: DrawShape): DrawProgram {
    const key = JSON.stringify(shape);
    const { backend, plan } = this.parts;
    const program = this.#programs.get(key) ?? known(backend.drawing, 'drawing').prepare(plan, shape);
    this.#programs.set(key, program);
    return program;
  }
}

interface Queued {
  readonly cacheRow: number;
  readonly settled: Promise<void>;
}

class QueuedDraws implements DrawQueue {
  readonly #draws: Draws;
  readonly #program: DrawProgram;
  readonly #slots: SlotRow;
  readonly #sequence: Sequence;
  readonly #rule: DrawRule;
  /** In the order of their rows; those not taken. */
  readonly #queued: Queued[] = [];
  /** Rows so far. */
  #rows = 0;
  #closing: Promise<void> | undefined;
  /** The latest, which may wait for its turn. */
  #pushing: Promise<boolean> | undefined;
  readonly #words = new Uint32Array(drawBlockLayout.drawnWords);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  constructor(draws: Draws, program: DrawProgram, slots: SlotRow, sequence: Sequence, rule: DrawRule) {
    this.#draws = draws;
    this.#program = program;
    this.#slots = slots;
    this.#sequence = sequence;
    this.#rule = rule;
  }

  get length(): number {
    return this.#queued.length;
  }

  get cacheRows(): readonly number[] {
    return this.#queued.map(({ cacheRow }) => cacheRow);
  }

  push(step: DrawStep, signal?: AbortSignal): Promise<boolean> {
    const pushing = this.#push(step, signal);
    this.#pushing = pushing;
    return pushing;
  }

  async #push(step: DrawStep, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#queued.length >= this.#slots.length - 1) {
      throw new NearfieldError('internal', `At most ${this.#slots.length - 1} draws wait to be taken`);
    }
    const { turns, parts } = this.#draws;
    // Those under way are taken first: nobody waits for a token until a gap is over.
    if (parts.pace?.isDue && this.#queued.length > 0) return false;
    await turns.enter(signal);
    try {
      await parts.pace?.gap();
      parts.runner.throwIfStopped(signal);
      if (this.#closing || this.#sequence.prepareToAppend().length > 0) return false;
      this.#queue(step);
      return true;
    } finally {
      turns.leave();
    }
  }

  async take(): Promise<DrawnToken> {
    const { settled } = known(this.#queued[0], 'queued draw');
    await settled;
    const place = this.#slotOf(this.#rows - this.#queued.length);
    const { backend, step } = this.#draws.parts;
    await backend.read(step, this.#placeOf(place.number), this.#bytes);
    this.#queued.shift();
    const [id = 0, isUnsure = 0] = this.#words;
    return { id, isSure: isUnsure === 0 };
  }

  async settled(): Promise<void> {
    await this.#pushing?.catch(() => {});
    await this.#quiet();
  }

  async #quiet(): Promise<void> {
    await Promise.allSettled(this.#queued.map(({ settled }) => settled));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const { ticket } of this.#slots) ticket.cancel();
    await this.#quiet();
    this.#draws.closed(this, this.#slots);
  }

  /** The row goes behind all rows of the sequence; the machine is asked for it and for the token that follows. */
  #queue({ token, position, uniform, adjusted, seenUnread }: DrawStep): void {
    const sequence = this.#sequence;
    const { parts, block: drawBlock } = this.#draws;
    const { backend, runner, block, arena, step } = parts;
    const length = sequence.committed + sequence.pending;
    const placed = sequence.append(length - 1);
    try {
      const slot = this.#slotOf(this.#rows);
      block.clear();
      const index = block.addSequence(sequence.pageAddresses, sequence.committed);
      const before = this.#slotOf(this.#rows + this.#slots.length - 1);
      block.addRow({ ...placed, position, sequence: index, token: token ?? drawnToken(before.number) });
      block.select(0);
      drawBlock.begin(slot.number, this.#rule, uniform);
      drawBlock.lookBack(this.#latest(seenUnread));
      drawBlock.adjust(adjusted);
      backend.write(step, 0, block.bytes);
      backend.write(step, 4 * block.drawBlockWord, drawBlock.bytes);
      runner.submit(stages, symbols, slot.ticket);
      known(backend.drawing, 'drawing').submit(
        this.#program,
        { arena, step, slotBytes: this.#placeOf(slot.number) },
        slot.ticket,
      );
      const settled = slot.ticket.settled() ?? Promise.resolve();
      // Heard of when it is taken.
      settled.catch(() => {});
      parts.pace?.follow(settled);
      this.#queued.push({ cacheRow: placed.cacheRow, settled });
      this.#rows++;
    } catch (error) {
      sequence.forget(length);
      throw error;
    }
  }

  /** Slots of the tokens drawn last, which the row before this one may be the latest of. */
  #latest(count: number): number[] {
    return Array.from({ length: count }, (_, index) => {
      return this.#slotOf(this.#rows + 2 * this.#slots.length - 1 - index).number;
    });
  }

  #slotOf(row: number) {
    return known(this.#slots[row % this.#slots.length], 'slot');
  }

  #placeOf(slot: number): number {
    const { block } = this.#draws.parts;
    return 4 * (block.drawnTokensWord + slot * drawBlockLayout.drawnWords);
  }
}
