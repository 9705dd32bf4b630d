/** Lays buffers out in one arena: lifetimes, reuse where one size provably holds another, symbolic offsets. */
import { addDims, alignDim, type Dim, dimBounds, isAtLeast, maximumDim } from '../tensor.ts';

export interface BufferRequest {
  readonly bytes: Dim;
  /** Numbers of the kernels that write it first and read it last. */
  readonly first: number;
  readonly last: number;
  /** Index of the earlier request whose slot it takes over, in place. */
  readonly takesOver: number | undefined;
}

export interface ArenaLayout {
  /** Per request, in order. */
  readonly places: readonly { readonly slot: number; readonly offset: Dim }[];
  readonly bytes: Dim;
}

interface Slot {
  bytes: Dim;
  /** Last kernel that uses what is in it now. */
  busyUntil: number;
}

/**
 * Requests must be ordered by `first`. A free slot is reused when its size provably holds the request (the tightest such
 * one), else one that the request provably exceeds grows to it, else the largest grows to the maximum of both.
 */
export function layOutArena(requests: readonly BufferRequest[], alignmentBytes: number): ArenaLayout {
  const slots: Slot[] = [];
  const slotOf: number[] = [];
  const sizes = new SizeTable(alignmentBytes);
  requests.forEach((request, index) => {
    const bytes = sizes.aligned(request.bytes);
    const inherited = request.takesOver === undefined ? undefined : slotOf[request.takesOver];
    const chosen = inherited ?? chooseSlot(slots, bytes, request.first, sizes);
    const slot = slots[chosen];
    if (slot) {
      if (!sizes.isAtLeast(slot.bytes, bytes)) slot.bytes = maximumDim(slot.bytes, bytes);
      slot.busyUntil = Math.max(slot.busyUntil, request.last);
    } else {
      slots.push({ bytes, busyUntil: request.last });
    }
    slotOf[index] = chosen;
  });
  const offsets: Dim[] = [];
  let end: Dim = 0;
  for (const slot of slots) {
    offsets.push(end);
    end = addDims(end, slot.bytes);
  }
  const places = slotOf.map((slot) => ({ slot, offset: offsets[slot] ?? 0 }));
  return { places, bytes: end };
}

/** Layers are alike: a few sizes come again and again, and so do the questions which holds which. */
class SizeTable {
  readonly #alignmentBytes: number;
  readonly #aligned = new Map<string, Dim>();
  readonly #answers = new Map<Dim, Map<Dim, boolean>>();

  constructor(alignmentBytes: number) {
    this.#alignmentBytes = alignmentBytes;
  }

  /** The same object for equal sizes. */
  aligned(bytes: Dim): Dim {
    const text = `${bytes}`;
    const known = this.#aligned.get(text) ?? alignDim(bytes, this.#alignmentBytes);
    this.#aligned.set(text, known);
    return known;
  }

  isAtLeast(left: Dim, right: Dim): boolean {
    const answers = this.#answers.get(left) ?? new Map<Dim, boolean>();
    this.#answers.set(left, answers);
    const answer = answers.get(right) ?? isAtLeast(left, right);
    answers.set(right, answer);
    return answer;
  }
}

function chooseSlot(slots: readonly Slot[], bytes: Dim, now: number, sizes: SizeTable): number {
  const free = slots.map((slot, index) => ({ slot, index })).filter(({ slot }) => slot.busyUntil < now);
  const bySize = (a: { slot: Slot }, b: { slot: Slot }) =>
    dimBounds(a.slot.bytes).max - dimBounds(b.slot.bytes).max;
  free.sort(bySize);
  const holding = free.find(({ slot }) => sizes.isAtLeast(slot.bytes, bytes));
  const growing = free.findLast(({ slot }) => sizes.isAtLeast(bytes, slot.bytes));
  return (holding ?? growing ?? free.at(-1))?.index ?? slots.length;
}
