/**
 * How much of a program is given to the device at a time, so that neither a page's drawing nor a cancelled step waits for
 * long: work is counted in multiplications, and what one takes is learned from the slices before.
 */

import { known } from '../../base/error.ts';

/** Before anything was measured: a tenth of a second on an adapter that is a program, nothing on a GPU. */
const firstWork = 1e8;
/** Weight of the latest slice in the running mean. */
const latest = 0.5;
/** A slice that was waited for less is counted as this: waiting itself takes as long. The device's clock has steps of a tenth. */
const leastWaitedMs = 1;
const leastDeviceMs = 0.1;

export class TimeSlices {
  readonly #budgetMs: number;
  /** Milliseconds per multiplication; undefined until one was measured. */
  #cost: number | undefined;

  constructor(budgetMs: number) {
    this.#budgetMs = budgetMs;
  }

  /** Work that fits the budget. */
  get workPerSlice(): number {
    return this.#cost === undefined ? firstWork : this.#budgetMs / this.#cost;
  }

  /** End of the slice that begins at launch `start`: at least one launch, then as many as fit. */
  end(works: readonly number[], start: number): number {
    const most = this.workPerSlice;
    let end = start;
    let sum = 0;
    while (end < works.length) {
      sum += works[end] ?? 0;
      if (end > start && sum > most) break;
      end++;
    }
    return end;
  }

  /** `deviceMs`: by the device's own clock, where it has one that can be believed. */
  took(work: number, waitedMs: number, deviceMs?: number): void {
    if (work <= 0) return;
    const isTold = deviceMs !== undefined && deviceMs <= waitedMs + leastWaitedMs;
    const ms = isTold ? Math.max(deviceMs, leastDeviceMs) : Math.max(waitedMs, leastWaitedMs);
    const cost = ms / work;
    const isFirst = this.#cost === undefined;
    // A slice that took too long shortens the next one at once.
    if (isFirst || ms > 2 * this.#budgetMs) this.#cost = cost;
    else this.#cost = known(this.#cost, 'cost') * (1 - latest) + cost * latest;
  }
}
