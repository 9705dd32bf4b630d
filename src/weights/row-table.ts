/** Rows of a large matrix that are read when a step wants them: groups of them in a table, those used last are kept. */
import type { Backend, PackedWeight, ReadWeight } from '../backend.ts';
import { known, throwIfAborted } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import type { WeightValue } from '../graph.ts';
import type { RowLookup } from '../weights.ts';
import { locateWeight, type WeightLocation } from './locate.ts';
import type { UnitPlace } from './pack-unit.ts';
import { groupsInFlight, groupType, type RowTableSize } from './residency.ts';
import type { TrafficMeter } from './stream-traffic.ts';

export interface RowTableOptions {
  readonly matrix: WeightValue;
  readonly table: RowTableSize;
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
  readonly meter: TrafficMeter;
}

export class RowTable implements RowLookup {
  /** The table as a weight; `place` tells which of its rows is which of the matrix. */
  readonly weight: PackedWeight;
  readonly #options: RowTableOptions;
  readonly #location: WeightLocation;
  readonly #rowCount: number;
  /** Place in the table of each group of the matrix that is there, least recently used first. */
  readonly #places = new Map<number, number>();
  readonly #free: number[];
  /** Groups that the latest step needs and that were not there. */
  readonly #missing = new Set<number>();

  constructor(options: RowTableOptions, { region, offsetBytes }: UnitPlace) {
    const { matrix, table, checkpoint, backend } = options;
    this.#options = options;
    this.#location = locateWeight(matrix, checkpoint);
    this.#rowCount = matrix.type.shape[0] ?? 0;
    this.#free = Array.from({ length: table.groups }, (_, place) => table.groups - 1 - place);
    this.weight = backend.place(tableType(matrix, table), region, offsetBytes);
  }

  bring(count: number, idAt: (index: number) => number, signal?: AbortSignal): Promise<void> | undefined {
    const { rowsPerGroup } = this.#options.table;
    this.#missing.clear();
    for (let index = 0; index < count; index++) {
      const group = Math.floor(idAt(index) / rowsPerGroup);
      const place = this.#places.get(group);
      if (place === undefined) {
        this.#missing.add(group);
      } else {
        this.#places.delete(group);
        this.#places.set(group, place);
      }
    }
    return this.#missing.size > 0 ? this.#readMissing(signal) : undefined;
  }

  place(id: number): number {
    const { rowsPerGroup } = this.#options.table;
    const group = Math.floor(id / rowsPerGroup);
    return known(this.#places.get(group), `row ${id} in the table`) * rowsPerGroup + (id % rowsPerGroup);
  }

  /** Rejects with the first failure once nothing is packed any more. */
  async #readMissing(signal: AbortSignal | undefined): Promise<void> {
    const { meter } = this.#options;
    const groups = [...this.#missing];
    const begunMs = meter.beginRead();
    const lane = async (): Promise<void> => {
      for (let group = groups.pop(); group !== undefined; group = groups.pop())
        await this.#read(group, signal);
    };
    const lanes = await Promise.allSettled(Array.from({ length: groupsInFlight }, lane));
    meter.endRead(begunMs, 0);
    for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #read(group: number, signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    const { checkpoint, backend, meter, table } = this.#options;
    const [firstRow, place] = [group * table.rowsPerGroup, this.#takePlace()];
    const { entry, offsetBytes, byteLength } = this.#location;
    const firstByte = offsetBytes + firstRow * (byteLength / this.#rowCount);
    const rows = Math.min(table.rowsPerGroup, this.#rowCount - firstRow);
    try {
      const read: ReadWeight = (offset, target) => checkpoint.read(entry, firstByte + offset, target, signal);
      await backend.packRows(this.weight, place * table.rowsPerGroup, rows, read, signal);
    } catch (error) {
      this.#free.push(place);
      throw error;
    }
    this.#places.set(group, place);
    meter.count('rowGroupsRead');
  }

  /** A free place, or that of the group unused for longest: never one of this step, which has at most as many groups. */
  #takePlace(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const [oldest, place] = known(this.#places.entries().next().value, 'group in the table');
    this.#places.delete(oldest);
    return place;
  }
}

/** The type of the table: a matrix of fewer rows. */
export function tableType(matrix: WeightValue, { groups, rowsPerGroup }: RowTableSize): WeightValue['type'] {
  return groupType(matrix, groups * rowsPerGroup);
}
