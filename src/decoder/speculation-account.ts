/**
 * Keeps speculation from costing more than it may, by an account in passes of the target over one row. Whatever a proposal
 * took beyond such a pass is paid from it, in time as it was measured; an accepted candidate earns the pass it saves; every
 * token of the text earns a small allowance, so that after a bad stretch a short try is made from time to time. Nothing is
 * begun that the account cannot pay, so where nothing is ever accepted, decoding is slower than without by
 * `initialPasses + allowance · tokens` passes at most, and by what one step took longer than was foreseen.
 */

const allowance = 1 / 48;
const initialPasses = 6;
/** No more than this is saved up for bad times. */
const mostPasses = 16;

export class SpeculationAccount {
  #passes = initialPasses;

  get passes(): number {
    return this.#passes;
  }

  /** The text grew by `tokenCount` tokens. */
  grow(tokenCount: number): void {
    this.#add(tokenCount * allowance);
  }

  settle(accepted: number, passesSpent: number): void {
    this.#add(accepted - passesSpent);
  }

  #add(passes: number): void {
    this.#passes = Math.min(this.#passes + passes, mostPasses);
  }
}
