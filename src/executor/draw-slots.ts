/** Slots for drawn tokens, in rows of as many as one queue needs; each with the ticket of the draw that fills it. */
import { drawnSlots, mostUnread, Ticket } from '../backend.ts';

/** Tokens that may be looked back on, and the one that is being drawn. */
const slotsOfQueue = mostUnread + 1;

export interface DrawSlot {
  readonly number: number;
  readonly ticket: Ticket;
}

export type SlotRow = readonly DrawSlot[];

export class DrawSlots {
  readonly #free: SlotRow[] = Array.from({ length: Math.floor(drawnSlots / slotsOfQueue) }, (_, row) =>
    Array.from({ length: slotsOfQueue }, (_, slot) => ({
      number: row * slotsOfQueue + slot,
      ticket: new Ticket(),
    })),
  );

  /** Undefined where all are in use. */
  take(): SlotRow | undefined {
    return this.#free.pop();
  }

  /** Nothing may be under way with their tickets. */
  giveBack(row: SlotRow): void {
    this.#free.push(row);
  }
}
