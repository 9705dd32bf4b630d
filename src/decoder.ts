/**
 * Decoding: proposers suggest tokens, one loop lets the model verify them, commits what it would have said itself and
 * emits it. Output is the same, token for token, whatever the proposer.
 */
import { NearfieldError } from './base/error.ts';
import { AdaptiveFallback } from './decoder/adaptive-fallback.ts';
import { CostFallback, type CostFallbackOptions } from './decoder/cost-fallback.ts';
import type { Fallback } from './decoder/fallback.ts';
import { FixedFallback } from './decoder/fixed-fallback.ts';
import { PlainProposer } from './decoder/plain.ts';
import type { Sampling } from './decoder/sampling-options.ts';
import { TreeProposer } from './decoder/tree-proposer.ts';
import type { Executor } from './executor.ts';
import type { Sequence } from './kv-cache.ts';

export { decode } from './decoder/decode.ts';
export { decodeText } from './decoder/decode-text.ts';

/** Candidate continuations: node i is the child of node `parents[i]`, or of the last known token for -1. Parents come before children. */
export interface TokenTree {
  readonly tokens: readonly number[];
  readonly parents: readonly number[];
}

export interface Proposer {
  readonly name: string;
  /** A decoding begins. What is returned is kept current until the next one does. */
  begin?(terms: DecodingTerms): SpeculationStats;
  /**
   * A tree of at most `limit` candidates to follow `tokens` (everything so far, the last one not yet evaluated). An empty
   * tree means: no idea. `tokens` may have been cut and continued differently since the last call.
   */
  propose(tokens: readonly number[], limit: number, signal?: AbortSignal): Promise<TokenTree> | TokenTree;
  /**
   * Whether a tree costs next to nothing, so that it may go to waste: rows then go to a machine that draws tokens itself
   * ahead of what is known, and a tree proposed meanwhile is withdrawn. False where it is left out.
   */
  readonly isFree?: boolean;
  /** The tree given last is not verified; told before `observe`. */
  withdraw?(): void;
  /** The tree given last is under way through the target, and the machine will be idle at times: it may be used. */
  whileVerifying?(phase: VerifyingPhase): Promise<void>;
  /** The tokens most likely to follow, of the tree given last and of what came while it is verified. */
  foreseen?(): readonly number[];
  /** Told after every pass of the target, of empty trees too. */
  observe?(pass: VerifiedPass): void;
  /** Gives up memory that the target needs; false where there is none to give. */
  relinquish?(): boolean;
  close?(): void;
}

/** What a proposer may know of a decoding. */
export interface DecodingTerms {
  /** Complete, the seed too. */
  readonly sampling: Sampling;
  readonly endIds: ReadonlySet<number>;
  /** Of the target. */
  readonly vocabularySize: number;
}

export interface VerifyingPhase {
  /** Fires at its end; the proposer then settles soon. */
  readonly signal: AbortSignal;
  /** How long the machine is likely to have nothing else to compute in all. */
  readonly idleMs: number;
  /** To be told that `foreseen` has changed. */
  readonly onToken: () => void;
}

/** A pass of the target over the last token and a tree. */
export interface VerifiedPass {
  /** The target's own tokens: those of accepted nodes, from the root down, and one more (none behind an end id). */
  readonly drawn: readonly number[];
  readonly rows: number;
  readonly elapsedMs: number;
}

/** A small model with the target's vocabulary. The executor is its own; the backend may be the target's. */
export interface DraftModel {
  readonly executor: Omit<Executor, 'close'>;
  /** Rows that one of its sequences can hold; decoding beyond them goes on without the draft. */
  readonly contextLength: number;
  openSequence(): Sequence;
  /** Gives back memory that none of its sequences has. */
  trim?(): void;
  /** Of a machine that may be lost; the target's next step brings it back. */
  readonly loss?: MachineLoss | undefined;
}

export interface MachineLoss {
  /** Counts losses: rows computed before the present one are gone. */
  readonly epoch: number;
  /** Whether the machine is gone at present, or on its way back. */
  readonly isLost: boolean;
}

/** When the draft stops and the target verifies. */
const fallbacks = {
  /** By the tree's confidence, as in LLMCad. */
  adaptive: () => new AdaptiveFallback(),
  /** By measured times. */
  cost: (costs) => new CostFallback(costs),
  /** After so many tokens, one after the other or in branches; for comparison with the others. */
  chain: () => new FixedFallback({ nodes: 6, branching: 1 }),
  bush: () => new FixedFallback({ nodes: 12, branching: 0.3 }),
} as const satisfies Record<string, (costs: CostFallbackOptions) => Fallback>;

export type FallbackName = keyof typeof fallbacks;
export const fallbackNames = Object.keys(fallbacks) as readonly FallbackName[];
export const defaultFallback: FallbackName = 'cost';

/** What speculation came to in one decoding; `DecodeStats` has what was proposed and accepted. */
export interface SpeculationStats {
  readonly fallback: FallbackName;
  /** Passes of the target over a tree that was not empty. */
  readonly verifications: number;
  readonly draftPasses: number;
  /** Of those that the target waited for. */
  readonly draftMs: number;
  /** Why the draft did not go on to the end. */
  readonly draftEnd: 'context-full' | 'out-of-budget' | undefined;
  /** Tokens drafted while the target was verifying that were of use, and those that were not. */
  readonly provisionalKept: number;
  readonly provisionalDropped: number;
  /** `adaptive`: the threshold after each verification; of a long text every second, fourth, … one. */
  readonly alpha: readonly number[];
}

export interface SamplingOptions {
  /** 0 (default): the most likely token, no randomness. */
  readonly temperature?: number;
  /** 0: off. */
  readonly topK?: number;
  /** 1: off. */
  readonly topP?: number;
  /** 0: off. */
  readonly minP?: number;
  /** Divides positive and multiplies negative logits of tokens seen lately (Keskar et al., CTRL). 1: off. */
  readonly repetitionPenalty?: number;
  /** Subtracted once per occurrence, and once for any occurrence. */
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  /** How many of the latest tokens the penalties look at; default 64, -1 for all. */
  readonly penaltyWindow?: number;
  /** Added to the logit of an id; -Infinity bans it. */
  readonly logitBias?: ReadonlyMap<number, number>;
  /** An integer 0…2^53-1; by default one nobody chose, which the statistics name. */
  readonly seed?: number;
}

export interface DecodeOptions {
  /** Infinity: until the text ends or the context is full. */
  readonly maxTokens: number;
  readonly sampling?: SamplingOptions;
  /** Ids that end the text. The ending id joins `target.tokens` but is not emitted. */
  readonly endIds?: ReadonlySet<number>;
  /** Number of log-probabilities wanted per token (0: none). */
  readonly logprobs?: number;
  /**
   * Told what will probably follow, while the target verifies it; each call replaces the one before, and before the
   * target's own tokens are emitted there is one with none.
   */
  readonly onProvisional?: (ids: readonly number[]) => void;
  /** Ends the iteration with `finish: 'aborted'`; tokens emitted before stay. */
  readonly signal?: AbortSignal;
}

export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

export interface DecodedToken {
  readonly id: number;
  /** Natural log of the model's probability of `id` (before bias, penalties and temperature), and of the most likely ids; when asked for. */
  readonly logprob?: number;
  readonly top?: readonly TokenLogprob[];
}

/**
 * `length`: `maxTokens` were emitted; `end`: the model said an end id; `context`: the last token has no room in the
 * context; `aborted`: by the signal; `stop`: by the consumer, who left the iteration, or by a stop string.
 */
export type DecodeFinish = 'length' | 'end' | 'context' | 'aborted' | 'stop';

export interface DecodeStats {
  readonly proposer: string;
  /** Of the random draws; undefined before the first step. */
  seed: number | undefined;
  /** Passes through the model after the prompt. */
  steps: number;
  proposed: number;
  accepted: number;
  /** Tokens emitted. */
  tokens: number;
  /** Of proposers that speculate. */
  speculation: SpeculationStats | undefined;
  /** Undefined while tokens may follow, and after an error. */
  finish: DecodeFinish | undefined;
}

/** Tokens as they are decided; `stats` are current all along. */
export interface Decoding<Item> extends AsyncGenerator<Item, DecodeStats, void> {
  readonly stats: DecodeStats;
}

/**
 * The timeline a loop extends. `tokens` are the ids of all committed rows of `sequence`, and one more: the last, whose row
 * is not evaluated yet. This holds before a decoding and after it, however it ends. In between only the loop may touch
 * `sequence` and `tokens`.
 */
export interface DecodeTarget {
  readonly executor: Omit<Executor, 'close'>;
  readonly sequence: Sequence;
  readonly contextLength: number;
  /** Grows as tokens are emitted. */
  readonly tokens: number[];
  /**
   * Milliseconds so far in which the machine had nothing to compute because weights were read; proposers may use what is
   * to be expected of it. None by default.
   */
  readonly waitedMs?: () => number;
  /** Milliseconds, for measuring passes; the host's clock by default. */
  readonly clock?: () => number;
}

export interface TextOptions extends DecodeOptions {
  /** The text ends before the first of these to be completed; no part of it is emitted. */
  readonly stop?: readonly string[];
}

/** A token and the text that is certain by now. */
export interface DecodedText {
  /** Undefined for the text that is left when the tokens have ended. */
  readonly token: DecodedToken | undefined;
  /** Empty while a character is incomplete or a stop string may have begun. */
  readonly text: string;
}

export interface ProposerOptions {
  readonly draft?: DraftModel | undefined;
  readonly fallback?: FallbackName | undefined;
  /** Milliseconds; `performance.now` by default. */
  readonly clock?: (() => number) | undefined;
}

/** All ways of proposing, by the name a user says. Without a draft, `tree` and `auto` have the text's own past, as `lookup`. */
const proposers = {
  plain: () => new PlainProposer(),
  tree: (options) => new TreeProposer('tree', treeOptions(options)),
  lookup: (options) => new TreeProposer('lookup', { ...treeOptions(options), draft: undefined }),
  auto: (options) => new TreeProposer('auto', { ...treeOptions(options), mustPay: true }),
} as const satisfies Record<string, (options: ProposerOptions) => Proposer>;

/** Throws `unsupported` for a fallback that is not in the table. */
function treeOptions(options: ProposerOptions) {
  const { draft, fallback = defaultFallback, clock = () => performance.now() } = options;
  if (Object.hasOwn(fallbacks, fallback)) {
    return { draft, fallback, openFallback: fallbacks[fallback], clock, mustPay: false };
  }
  throw new NearfieldError(
    'unsupported',
    `There is no fallback named '${fallback}'; choose from ${fallbackNames.join(', ')}`,
  );
}

export type ProposerName = keyof typeof proposers;

export const proposerNames = Object.keys(proposers) as readonly ProposerName[];

/** A proposer serves one timeline. Throws `unsupported` for a name that is not in the table. */
export function openProposer(name: string, options: ProposerOptions = {}): Proposer {
  for (const known of proposerNames) if (known === name) return proposers[known](options);
  throw new NearfieldError(
    'unsupported',
    `There is no decoder named '${name}'; choose from ${proposerNames.join(', ')}`,
  );
}
