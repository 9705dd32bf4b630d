/** Weights of which some layers are resident and the others come through slots, pass after pass, from the sidecar. */
import type { Backend, PackedWeight, Region } from '../backend.ts';
import type { Reservation } from '../base/budget.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { WeightValue } from '../graph.ts';
import type { Segment } from '../plan.ts';
import type { RowLookup, Weights } from '../weights.ts';
import type { ImageReader } from './image-reader.ts';
import type { UnitPlace } from './pack-unit.ts';
import type { Residency } from './residency.ts';
import type { RowTable } from './row-table.ts';
import type { Sidecar } from './sidecar.ts';
import { SlotRing } from './slot-ring.ts';
import type { StreamTraffic, TrafficMeter } from './stream-traffic.ts';
import type { StreamUnit } from './stream-units.ts';

export interface StreamedParts {
  readonly backend: Backend;
  readonly residency: Residency;
  /** Weights that are always there, but for those of resident layers; by tensor name. */
  readonly kept: ReadonlyMap<string, PackedWeight>;
  /** Where each resident layer lies, by its index. */
  readonly residentPlaces: ReadonlyMap<number, UnitPlace>;
  readonly slots: readonly UnitPlace[];
  readonly rowTable: RowTable | undefined;
  readonly sidecar: Sidecar;
  readonly reader: ImageReader;
  readonly meter: TrafficMeter;
  readonly region: Region;
  readonly reservation: Reservation;
}

/** What a segment is bound to: its weights, for each slot its layer may be in; one entry where it needs no slot. */
interface Binding {
  /** Index in the order of the streamed layers; undefined where all is resident. */
  readonly position: number | undefined;
  readonly bySlot: readonly (readonly PackedWeight[])[];
  /** Slots in use, in the order of their binds. */
  readonly used: number[];
}

export class StreamedWeights implements Weights {
  readonly isStreamed = true;
  readonly #parts: StreamedParts;
  readonly #ring: SlotRing;
  readonly #bindings = new WeakMap<Segment, Binding>();
  #closing: Promise<void> | undefined;

  /** Takes everything over; begins to read the first layers. */
  constructor(parts: StreamedParts) {
    this.#parts = parts;
    const { streamed } = parts.residency;
    this.#ring = new SlotRing(streamed.length, parts.slots.length, (position, slot) =>
      parts.reader.read(known(streamed[position], 'streamed layer'), known(parts.slots[slot], 'slot')),
    );
  }

  get packedBytes(): number {
    return this.#parts.residency.residentBytes;
  }

  get rows(): RowLookup | undefined {
    return this.#parts.rowTable;
  }

  traffic(): StreamTraffic {
    return this.#parts.meter.traffic;
  }

  bind(segment: Segment): readonly PackedWeight[] | Promise<readonly PackedWeight[]> {
    if (this.#closing) throw new NearfieldError('internal', 'Weights are used after they were closed');
    const binding = this.#bindings.get(segment) ?? this.#bindingOf(segment);
    const { position } = binding;
    if (position === undefined) return this.#grant(binding, 0);
    if (position === 0) this.#parts.meter.count('passes');
    const slot = this.#ring.take(position);
    return typeof slot === 'number'
      ? this.#grant(binding, slot)
      : slot.then((taken) => this.#grant(binding, taken));
  }

  release(segment: Segment): void {
    const binding = known(this.#bindings.get(segment), 'bound segment');
    this.#parts.meter.endCompute();
    const slot = known(binding.used.shift(), 'bind before a release');
    if (binding.position !== undefined) this.#ring.release(slot);
  }

  abandon(): void {
    this.#ring.abandon();
  }

  resident(weight: WeightValue): PackedWeight {
    return known(this.#parts.kept.get(weight.name), `weight ${weight.name} on the machine`);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { backend, region, sidecar, reservation } = this.#parts;
    await this.#ring.close();
    backend.release(region);
    reservation.release();
    await sidecar.close();
  }

  #grant(binding: Binding, slot: number): readonly PackedWeight[] {
    this.#parts.meter.beginCompute();
    binding.used.push(slot);
    return known(binding.bySlot[slot], 'weights of a slot');
  }

  #bindingOf(segment: Segment): Binding {
    const { residency, residentPlaces, slots } = this.#parts;
    const { unitOf, units } = residency;
    const indices = new Set(segment.weights.map(({ name }) => unitOf.get(name)));
    const [unit] = [...indices].filter((index) => index !== undefined);
    const streamedAt = unit === undefined ? -1 : residency.streamed.indexOf(unit);
    const place = unit === undefined ? undefined : residentPlaces.get(unit);
    const places = streamedAt >= 0 ? slots : [place];
    const image = unit === undefined ? undefined : units[unit];
    const binding = {
      position: streamedAt >= 0 ? streamedAt : undefined,
      bySlot: places.map((at) => segment.weights.map((weight) => this.#weightAt(weight, image, at))),
      used: [],
    };
    this.#bindings.set(segment, binding);
    return binding;
  }

  #weightAt(weight: WeightValue, image: StreamUnit | undefined, place: UnitPlace | undefined): PackedWeight {
    const own = image?.weights.find((each) => each.weight.name === weight.name);
    if (!own || !place) return this.resident(weight);
    return this.#parts.backend.place(weight.type, place.region, place.offsetBytes + own.offsetBytes);
  }
}
