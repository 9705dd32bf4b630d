/**
 * Prompt lookup: where the last tokens occurred before, what followed them then is proposed again, as one chain. Costs
 * nothing to speak of, and pays on texts that quote: summaries, edits, code, dialogue (after Saxena, "Prompt lookup
 * decoding", 2023).
 */
import { NearfieldError } from '../base/error.ts';
import type { Proposer, TokenTree } from '../decoder.ts';
import { Acceptance } from './acceptance.ts';
import { ProposalBudget } from './proposal-budget.ts';
import { type EarlierMatch, longestMatch, SuffixIndex } from './suffix-index.ts';
import { emptyTree } from './token-tree.ts';

const longestProposal = 10;

const terms = { allowance: 1 / 32, initialPasses: 4, mostPasses: 16 } as const;

/** What one more row adds to a pass unless the caller knows: high for large models, so that speculation errs on the safe side. */
const assumedRowCost = 0.4;

export class PromptLookup implements Proposer {
  readonly name: string;
  readonly #rowCost: number;
  readonly #index = new SuffixIndex();
  readonly #budget: ProposalBudget;
  /** By length of the match. */
  readonly #acceptance = new Acceptance(longestMatch + 1);
  #matchLength = 0;
  #seenTokens: number | undefined;

  /** `rowCost`: what one more row adds to a pass, as a share of a pass of one row, above 0 and below 1. */
  constructor(name: string, { rowCost = assumedRowCost }: { readonly rowCost?: number } = {}) {
    if (!(rowCost > 0 && rowCost < 1)) {
      throw new NearfieldError('bad-argument', `rowCost is ${rowCost}; it must be above 0 and below 1`);
    }
    this.name = name;
    this.#rowCost = rowCost;
    this.#budget = new ProposalBudget({ ...terms, rowCost });
  }

  propose(tokens: readonly number[], limit: number): TokenTree {
    this.#budget.grow(Math.max(0, tokens.length - (this.#seenTokens ?? tokens.length)));
    this.#seenTokens = tokens.length;
    const match = this.#index.find(tokens);
    if (!match) return emptyTree;
    const worthwhile = this.#acceptance.worthwhileLength(match.length, this.#rowCost);
    if (worthwhile === 0) this.#acceptance.leave(match.length);
    this.#matchLength = match.length;
    const count = Math.min(worthwhile, this.#budget.affordable, longestProposal, limit);
    return chainAfter(tokens, match, count);
  }

  observe(accepted: number, proposed: number): void {
    this.#acceptance.learn(this.#matchLength, accepted, proposed);
    this.#budget.settle(accepted, proposed);
  }
}

/** What followed the match; where that reaches the end of the tokens it goes on with the candidates themselves, so a period repeats. */
function chainAfter(tokens: readonly number[], { next }: EarlierMatch, count: number): TokenTree {
  const chain: number[] = [];
  const parents: number[] = [];
  for (let node = 0; node < count; node++) {
    const source = next + node;
    const token = source < tokens.length ? tokens[source] : chain[source - tokens.length];
    if (token === undefined) break;
    chain.push(token);
    parents.push(node - 1);
  }
  return { tokens: chain, parents };
}
