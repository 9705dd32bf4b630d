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
  requests.forEach((request, index) => {
    const bytes = alignDim(request.bytes, alignmentBytes);
    const inherited = request.takesOver === undefined ? undefined : slotOf[request.takesOver];
    const chosen = inherited ?? chooseSlot(slots, bytes, request.first);
    const slot = slots[chosen];
    if (slot) {
      slot.bytes = maximumDim(slot.bytes, bytes);
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

function chooseSlot(slots: readonly Slot[], bytes: Dim, now: number): number {
  const free = slots.map((slot, index) => ({ slot, index })).filter(({ slot }) => slot.busyUntil < now);
  const bySize = (a: { slot: Slot }, b: { slot: Slot }) =>
    dimBounds(a.slot.bytes).max - dimBounds(b.slot.bytes).max;
  free.sort(bySize);
  const holding = free.find(({ slot }) => isAtLeast(slot.bytes, bytes));
  const growing = free.findLast(({ slot }) => isAtLeast(bytes, slot.bytes));
  return (holding ?? growing ?? free.at(-1))?.index ?? slots.length;
}
