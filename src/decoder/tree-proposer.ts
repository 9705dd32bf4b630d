/**
 * Proposes a tree of candidates: branches that a small draft model grows, and branches from the conversation's own past,
 * merged where they agree. A fallback says how far the draft goes before the target verifies, and which nodes it verifies.
 */
import { known } from '../base/error.ts';
import { nextTurn } from '../base/platform.ts';
import type {
  DecodingTerms,
  DraftModel,
  FallbackName,
  Proposer,
  SpeculationStats,
  TokenTree,
  VerifiedPass,
  VerifyingPhase,
} from '../decoder.ts';
import { CandidateTree } from './candidate-tree.ts';
import type { CostFallbackOptions } from './cost-fallback.ts';
import type { Fallback } from './fallback.ts';
import { IdleGain } from './idle-gain.ts';
import { PastBranches } from './past-branches.ts';
import { SpeculationAccount } from './speculation-account.ts';
import { SpeculationRecord } from './speculation-record.ts';
import { StepCosts } from './step-costs.ts';
import { emptyTree } from './token-tree.ts';
import { TreeDrafter } from './tree-drafter.ts';

export interface TreeProposerOptions {
  /** Without one, only the past proposes. */
  readonly draft?: DraftModel | undefined;
  /** For reports. */
  readonly fallback: FallbackName;
  readonly openFallback: (costs: CostFallbackOptions) => Fallback;
  /** Whether it keeps an account, so that it costs little where it is of no use. */
  readonly mustPay: boolean;
  /** Milliseconds. */
  readonly clock: () => number;
}

/** Rows that a draft which must pay is given before its speed is known; later on at a time, at least and at most. */
const [firstRows, fewestRows, mostRowsAtATime] = [4, 16, 64];

export class TreeProposer implements Proposer {
  readonly name: string;
  readonly #options: TreeProposerOptions;
  readonly #drafter: TreeDrafter | undefined;
  readonly #past = new PastBranches();
  readonly #targetCosts = new StepCosts();
  readonly #idleGain = new IdleGain();
  /** Passes of the draft beside the verification under way. */
  #idlePasses = 0;
  readonly #fallback: Fallback;
  readonly #account: SpeculationAccount | undefined;
  #terms: DecodingTerms | undefined;
  #record: SpeculationRecord;
  #tree: CandidateTree | undefined;
  #chosen: readonly number[] = [];
  #seenTokens: number | undefined;
  /** What the draft had spent when the tree was begun. */
  #spentBefore = 0;

  constructor(name: string, options: TreeProposerOptions) {
    const { draft, clock, mustPay, fallback, openFallback } = options;
    this.name = name;
    this.#options = options;
    this.#drafter = draft && new TreeDrafter(draft, clock);
    this.#fallback = openFallback({
      target: this.#targetCosts,
      draft: () => this.#activeDrafter?.timeline.costs,
    });
    this.#account = mustPay ? new SpeculationAccount() : undefined;
    this.#record = new SpeculationRecord(fallback, this.#drafter);
  }

  begin(terms: DecodingTerms): SpeculationStats {
    this.#terms = terms;
    this.#record = new SpeculationRecord(this.#options.fallback, this.#drafter);
    this.#tree = undefined;
    // Of a prompt's tokens nobody knows whether speculation would have paid.
    this.#seenTokens = undefined;
    this.#drafter?.begin(terms);
    return this.#record.stats;
  }

  async propose(tokens: readonly number[], limit: number, signal?: AbortSignal): Promise<TokenTree> {
    this.#account?.grow(Math.max(0, tokens.length - (this.#seenTokens ?? tokens.length)));
    this.#seenTokens = tokens.length;
    this.#spentBefore = this.#draftSpentMs;
    const kept = await this.#activeDrafter?.carryOver(tokens);
    const tree = kept ?? new CandidateTree(lastOf(tokens), this.#endIds);
    this.#tree = tree;
    if (!kept && this.#fallback.wantsDraft()) await this.#plant(tree, signal);
    this.#past.addTo(tree, tokens, limit);
    while (computedNodes(tree) <= limit && (await this.#grow(tree, signal)));
    this.#chosen = this.#fallback.choose(tree, Math.min(limit, this.#affordableNodes()));
    return this.#chosen.length === 0 ? emptyTree : tree.chosen(this.#chosen);
  }

  /** What is looked up costs nothing. */
  get isFree(): boolean {
    return !this.#activeDrafter;
  }

  withdraw(): void {
    this.#chosen = [];
  }

  async whileVerifying({ signal, idleMs, onToken }: VerifyingPhase): Promise<void> {
    const [tree, drafter] = [this.#tree, this.#activeDrafter];
    if (!tree || !drafter?.timeline.costs.isKnown) return;
    const { costs } = drafter.timeline;
    if (!this.#idleGain.isWorth(costs.at(1))) return;
    const pass = { signal, isIdle: true };
    let leftMs = idleMs;
    const work = async (): Promise<boolean> => {
      const isPlanted = tree.root.row >= 0;
      const rows = Math.min(rowsWithin(costs, leftMs), isPlanted ? 1 : drafter.behind);
      if (rows === 0) return false;
      leftMs -= costs.at(rows);
      this.#idlePasses++;
      if (!isPlanted) {
        if (await drafter.plant(tree, rows, pass)) this.#branch(tree, 0);
        return drafter.isFollowing;
      }
      const tip = this.#tip(tree);
      if (tip === undefined || !(await drafter.compute([tip], pass))) return false;
      const [likeliest] = this.#branch(tree, tip);
      if (likeliest !== undefined) tree.at(likeliest).isProvisional = true;
      onToken();
      return true;
    };
    // The target's reads are heard of between turns of the event loop, which short passes would not give back.
    while (!signal.aborted && (await unlessAborted(work()))) await nextTurn();
  }

  /** The likeliest branch of what is being verified, and what was generated behind it since. */
  foreseen(): readonly number[] {
    const tree = this.#tree;
    const ids: number[] = [];
    const isShown = new Set(this.#chosen);
    for (let at = 0; tree; ) {
      let next = -1;
      for (const [index, { parent, isProvisional, confidence }] of tree.nodes.entries()) {
        if (parent !== at || !(isShown.has(index) || isProvisional)) continue;
        if (next < 0 || confidence > tree.at(next).confidence) next = index;
      }
      if (next < 0) break;
      ids.push(tree.at(next).token);
      at = next;
    }
    return ids;
  }

  observe({ drawn, rows, elapsedMs }: VerifiedPass): void {
    const [tree, chosen] = [this.#tree, this.#chosen];
    this.#tree = undefined;
    const idlePasses = this.#idlePasses;
    this.#idlePasses = 0;
    this.#idleGain.observe(idlePasses, elapsedMs - this.#targetCosts.at(rows));
    this.#targetCosts.observe(rows, Math.max(0, elapsedMs - this.#idleGain.extraOf(idlePasses)));
    // Where only one more token was wanted, nothing had been asked of it.
    if (!tree) return;
    const draftMs = this.#draftSpentMs - this.#spentBefore;
    let [reached, accepted] = [0, 0];
    const isChosen = new Set(chosen);
    for (const token of drawn) {
      const child = tree.child(reached, token);
      if (!isChosen.has(child)) break;
      reached = child;
      accepted++;
    }
    this.#past.learn(tree, drawn);
    this.#drafter?.learn(tree, drawn);
    this.#fallback.observe({ tree, chosen, reached, drawn, elapsedMs: elapsedMs + draftMs });
    const plainMs = this.#targetCosts.at(1);
    if (this.#account && plainMs > 0 && (rows > 1 || draftMs > 0)) {
      this.#account.settle(accepted, (elapsedMs + draftMs - plainMs) / plainMs);
    }
    this.#idleGain.settle(...this.#record.countProvisional(tree, drawn));
    this.#record.verified({ chosen: chosen.length, alpha: this.#fallback.alpha });
    this.#record.drafted(this.#drafter);
  }

  relinquish(): boolean {
    const drafter = this.#drafter;
    if (!drafter?.close()) return false;
    drafter.end = 'out-of-budget';
    return true;
  }

  close(): void {
    this.#drafter?.close();
  }

  get #activeDrafter(): TreeDrafter | undefined {
    return this.#drafter?.end ? undefined : this.#drafter;
  }

  get #endIds(): ReadonlySet<number> {
    return this.#terms?.endIds ?? new Set();
  }

  get #draftSpentMs(): number {
    return this.#drafter?.timeline.spent.ms ?? 0;
  }

  /** Computes the root of a tree, and what leads there, as far as may be paid for. */
  async #plant(tree: CandidateTree, signal: AbortSignal | undefined): Promise<void> {
    for (const drafter = this.#drafter; drafter?.isFollowing; ) {
      const most = this.#affordableRows();
      // Row by row, a draft that has fallen behind would cost what a try could be made with, and never catch up.
      const { isKnown, reach } = drafter.timeline.costs;
      if (most < Math.min(drafter.behind, isKnown ? Math.min(fewestRows, reach) : 1)) return;
      if (await drafter.plant(tree, most, { signal, isIdle: false })) {
        this.#branch(tree, 0);
        return;
      }
    }
  }

  /** One pass of the draft; false where it is time to verify. */
  async #grow(tree: CandidateTree, signal: AbortSignal | undefined): Promise<boolean> {
    const drafter = this.#activeDrafter;
    if (!drafter || tree.root.row < 0) return false;
    const indices = this.#fallback.next(tree);
    if (indices.length === 0 || this.#draftBudgetMs() < drafter.timeline.costs.at(indices.length)) {
      return false;
    }
    const isComputed = await drafter.compute(indices, { signal, isIdle: false });
    if (isComputed) for (const index of indices) this.#branch(tree, index);
    return isComputed;
  }

  /** Makes children of what the draft says may follow a node it has computed; the draft's first choice comes first. */
  #branch(tree: CandidateTree, index: number): readonly number[] {
    return this.#fallback.branches(tree.at(index).candidates).map((branch) => tree.add(index, branch));
  }

  /** The end of the most confident branch that the draft can go on with. */
  #tip(tree: CandidateTree): number | undefined {
    const tips = tree.frontier();
    return tips.reduce<number | undefined>((best, tip) => {
      return best === undefined || tree.at(tip).confidence > tree.at(best).confidence ? tip : best;
    }, undefined);
  }

  /** Milliseconds that may still be spent on this tree. */
  #budgetMs(): number {
    if (!this.#account) return Number.POSITIVE_INFINITY;
    const spent = this.#draftSpentMs - this.#spentBefore;
    return this.#account.passes * this.#targetCosts.at(1) - spent;
  }

  /** The same, less what verifying one node takes: without it the draft would have computed for nothing. */
  #draftBudgetMs(): number {
    return this.#budgetMs() - this.#extraMs(1);
  }

  /** What so many nodes add to a pass of the target. */
  #extraMs(nodes: number): number {
    return this.#targetCosts.at(1 + nodes) - this.#targetCosts.at(1);
  }

  #affordableNodes(): number {
    if (!this.#account) return Number.POSITIVE_INFINITY;
    const budgetMs = this.#targetCosts.isKnown ? this.#budgetMs() : 0;
    let nodes = 0;
    while (nodes < mostRowsAtATime && budgetMs > 0 && this.#extraMs(nodes + 1) <= budgetMs) nodes++;
    return nodes;
  }

  #affordableRows(): number {
    const costs = this.#drafter?.timeline.costs;
    if (!this.#account || !costs) return Number.POSITIVE_INFINITY;
    return this.#targetCosts.isKnown ? rowsWithin(costs, this.#draftBudgetMs()) : 0;
  }
}

/** Rows of one pass of the draft that so many milliseconds are enough for. */
function rowsWithin(costs: StepCosts, ms: number): number {
  if (ms <= costs.at(1)) return 0;
  if (!costs.isKnown) return firstRows;
  const more = (ms - costs.at(1)) / Math.max(costs.rowMs, 1e-9);
  return Math.min(mostRowsAtATime, costs.reach, 1 + Math.floor(more));
}

const lastOf = (tokens: readonly number[]): number => known(tokens.at(-1), 'last token');

/** False for work that was cut short by its signal. */
async function unlessAborted(work: Promise<boolean>): Promise<boolean> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'aborted') return false;
    throw error;
  }
}

const computedNodes = (tree: CandidateTree): number => tree.nodes.filter(({ row }) => row >= 0).length;
