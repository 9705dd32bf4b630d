/**
 * Decoding: proposers suggest tokens, one loop lets the model verify them, commits what it would have said itself and
 * emits it. Output is the same, token for token, whatever the proposer.
 */
import { NearfieldError } from './base/error.ts';
import { PlainProposer } from './decoder/plain.ts';
import { PromptLookup } from './decoder/prompt-lookup.ts';
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
  /**
   * A tree of at most `limit` candidates to follow `tokens` (everything so far, the last one not yet evaluated). An empty
   * tree means: no idea. `tokens` may have been cut and continued differently since the last call.
   */
  propose(tokens: readonly number[], limit: number, signal?: AbortSignal): Promise<TokenTree> | TokenTree;
  /** Told after each verification how many candidates the model said too, of a tree of this size (not told of empty ones). */
  observe?(accepted: number, proposed: number): void;
  close?(): void;
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
  readonly executor: Executor;
  readonly sequence: Sequence;
  readonly contextLength: number;
  /** Grows as tokens are emitted. */
  readonly tokens: number[];
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
  /** What one more row adds to a pass of the model, as a share of a pass of one row, where it was measured; in (0, 1). */
  readonly rowCost?: number;
}

/** All ways of proposing, by the name a user says. */
const proposers = {
  plain: () => new PlainProposer(),
  lookup: (options) => new PromptLookup('lookup', options),
  auto: (options) => new PromptLookup('auto', options),
} as const satisfies Record<string, (options: ProposerOptions) => Proposer>;

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
