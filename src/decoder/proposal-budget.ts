/**
 * Decides how many candidates are worth verifying, by an account kept in passes of the model. A candidate costs
 * `rowCost` (what one more row adds to a pass, as a share of a pass of one row); an accepted one earns the pass it saves;
 * every token of the text earns a small allowance, so that after a bad stretch a short try is made from time to time.
 * The account is never overdrawn: where a row costs what was assumed, speculation that always fails is at most
 * `initialPasses + allowance · tokens` passes slower than none.
 */

export interface BudgetTerms {
  readonly rowCost: number;
  /** Passes earned per token of the text. */
  readonly allowance: number;
  readonly initialPasses: number;
  /** No more than this is saved up for bad times. */
  readonly mostPasses: number;
}

export class ProposalBudget {
  readonly #terms: BudgetTerms;
  #passes: number;

  constructor(terms: BudgetTerms) {
    this.#terms = terms;
    this.#passes = terms.initialPasses;
  }

  /** Candidates that can be afforded now. */
  get affordable(): number {
    return Math.floor(this.#passes / this.#terms.rowCost);
  }

  /** The text grew by `tokenCount` tokens. */
  grow(tokenCount: number): void {
    this.#add(tokenCount * this.#terms.allowance);
  }

  settle(accepted: number, proposed: number): void {
    this.#add(accepted - proposed * this.#terms.rowCost);
  }

  #add(passes: number): void {
    this.#passes = Math.min(this.#passes + passes, this.#terms.mostPasses);
  }
}
