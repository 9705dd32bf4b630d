/**
 * Slots that streamed layers take turns in. The order of use is a circle, pass after pass, so whatever slot is free is filled
 * with the layer that comes next, also with those of the pass to come.
 */
import { known, NearfieldError } from '../base/error.ts';
import type { ImageRead } from './image-reader.ts';

/** Makes an image come to a slot. */
export type ReadIntoSlot = (position: number, slot: number) => ImageRead;

const nowhere = -1;

interface Slot {
  readonly index: number;
  /** Which layer of the circle is there or on its way, or `nowhere`. */
  position: number;
  state: 'empty' | 'reading' | 'ready' | 'failed';
  read: ImageRead | undefined;
  /** Uses that were granted or wait for the read. */
  users: number;
  readonly waiting: Waiting[];
}

interface Waiting {
  readonly position: number;
  resolve(slot: number): void;
  reject(error: unknown): void;
}

export class SlotRing {
  readonly #count: number;
  readonly #readInto: ReadIntoSlot;
  readonly #slots: readonly Slot[];
  /** Uses for which no slot was free. */
  readonly #waiting: Waiting[] = [];
  /** Position that is expected to be asked for next. */
  #next = 0;
  #closed = false;

  /** `count` positions in the circle, more than there are slots. */
  constructor(count: number, slots: number, readInto: ReadIntoSlot) {
    this.#count = count;
    this.#readInto = readInto;
    this.#slots = Array.from({ length: slots }, (_, index) => ({
      ...{ index, position: nowhere, read: undefined, users: 0, waiting: [] },
      state: 'empty' as const,
    }));
    this.#fill();
  }

  /**
   * The slot where a layer is, or a promise of it, which rejects when the layer cannot be read, and with `aborted` after
   * `abandon`. Each that resolves is followed by one `release`.
   */
  take(position: number): number | Promise<number> {
    if (this.#closed)
      throw new NearfieldError('internal', 'Streamed weights are used after they were closed');
    this.#next = (position + 1) % this.#count;
    const slot = this.#slots.find((each) => each.position === position && each.state !== 'failed');
    if (slot?.state === 'ready') {
      slot.users++;
      this.#fill();
      return slot.index;
    }
    return new Promise((resolve, reject) => {
      const waiting = { position, resolve, reject };
      if (slot) {
        slot.users++;
        slot.waiting.push(waiting);
      } else {
        this.#waiting.push(waiting);
      }
      this.#fill();
    });
  }

  release(slotIndex: number): void {
    const slot = known(this.#slots[slotIndex], 'slot');
    if (slot.users < 1) throw new NearfieldError('internal', 'A slot is given back that nobody uses');
    slot.users--;
    this.#fill();
  }

  /** Rejects those that wait; what is on its way still comes. */
  abandon(): void {
    const error = new NearfieldError('aborted', 'Aborted by the caller');
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    for (const slot of this.#slots) {
      for (const { reject } of slot.waiting.splice(0)) {
        slot.users--;
        reject(error);
      }
    }
  }

  /** Resolves when nothing is read into a slot any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.abandon();
    const reads = this.#slots.map(({ read }) => read);
    for (const read of reads) read?.cancel();
    await Promise.allSettled(reads.map((read) => read?.done));
  }

  /** Puts every free slot to use. */
  #fill(): void {
    if (this.#closed) return;
    const wanted = this.#wanted();
    for (const position of wanted) {
      const isThere = (slot: Slot): boolean => slot.position === position && !this.#isToBeReadAgain(slot);
      if (this.#slots.some(isThere)) continue;
      const isFree = (slot: Slot): boolean =>
        slot.users === 0 && (!wanted.includes(slot.position) || this.#isToBeReadAgain(slot));
      const idle = this.#slots.find((slot) => isFree(slot) && slot.state !== 'reading');
      if (idle) {
        this.#read(idle, position);
        continue;
      }
      // What it is being filled with is not wanted any more; it is free once nothing writes to it.
      const busy = this.#slots.find((slot) => isFree(slot) && slot.position !== nowhere);
      if (!busy) return;
      busy.position = nowhere;
      busy.read?.cancel();
    }
  }

  /** What could not be read ahead is tried again when somebody asks for it. */
  #isToBeReadAgain({ state, position }: Slot): boolean {
    return state === 'failed' && this.#waiting.some((waiting) => waiting.position === position);
  }

  /** What should be in the slots that nobody uses, most urgent first. */
  #wanted(): number[] {
    const wanted: number[] = [];
    const room = this.#slots.filter(({ users }) => users === 0).length;
    const used = new Set(this.#slots.filter(({ users }) => users > 0).map(({ position }) => position));
    const add = (position: number): void => {
      if (wanted.length < room && !used.has(position) && !wanted.includes(position)) wanted.push(position);
    };
    for (const { position } of this.#waiting) add(position);
    for (let ahead = 0; ahead < this.#count; ahead++) add((this.#next + ahead) % this.#count);
    return wanted;
  }

  #read(slot: Slot, position: number): void {
    slot.position = position;
    slot.state = 'reading';
    const read = this.#readInto(position, slot.index);
    slot.read = read;
    for (let index = 0; index < this.#waiting.length; ) {
      const waiting = known(this.#waiting[index], 'waiting use');
      if (waiting.position !== position) {
        index++;
        continue;
      }
      this.#waiting.splice(index, 1);
      slot.users++;
      slot.waiting.push(waiting);
    }
    read.done.then(
      () => this.#end(slot, 'ready', undefined),
      (error: unknown) => this.#end(slot, 'failed', error),
    );
  }

  #end(slot: Slot, state: 'ready' | 'failed', error: unknown): void {
    slot.read = undefined;
    slot.state = slot.position === nowhere ? 'empty' : state;
    const waiting = slot.waiting.splice(0);
    if (state === 'failed') slot.users -= waiting.length;
    for (const each of waiting) {
      if (state === 'ready') each.resolve(slot.index);
      else each.reject(error);
    }
    this.#fill();
  }
}
