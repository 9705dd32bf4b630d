/** Weights that are all on the machine for as long as the model is open. */
import type { Backend, PackedWeight } from '../backend.ts';
import type { Reservation } from '../base/budget.ts';
import { known } from '../base/error.ts';
import type { WeightValue } from '../graph.ts';
import type { Segment } from '../plan.ts';
import type { Weights } from '../weights.ts';

export class ResidentWeights implements Weights {
  readonly isStreamed = false;
  readonly rows = undefined;
  readonly #backend: Backend;
  readonly #packed: Map<string, PackedWeight>;
  readonly #reservation: Reservation;
  #bySegment = new WeakMap<Segment, readonly PackedWeight[]>();

  /** Takes over `packed` (by tensor name) and the reservation that covers it. */
  constructor(backend: Backend, packed: Map<string, PackedWeight>, reservation: Reservation) {
    this.#backend = backend;
    this.#packed = packed;
    this.#reservation = reservation;
  }

  get packedBytes(): number {
    return this.#reservation.bytes;
  }

  bind(segment: Segment): readonly PackedWeight[] {
    return this.#bySegment.get(segment) ?? this.#collect(segment);
  }

  #collect(segment: Segment): readonly PackedWeight[] {
    const bound = segment.weights.map((weight) => this.resident(weight));
    this.#bySegment.set(segment, bound);
    return bound;
  }

  release(): void {}

  abandon(): void {}

  traffic(): undefined {
    return undefined;
  }

  resident(weight: WeightValue): PackedWeight {
    return known(this.#packed.get(weight.name), `weight ${weight.name} on the machine`);
  }

  close(): void {
    for (const weight of this.#packed.values()) this.#backend.unpack(weight);
    this.#packed.clear();
    this.#bySegment = new WeakMap();
    this.#reservation.release();
  }
}
