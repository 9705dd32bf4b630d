/**
 * The one loop: ask the proposer for candidates, let the model verify them in one pass, commit the rows of the tokens the
 * model would have said itself, emit these tokens. What a node's token is depends on the tokens before it, the seed and
 * its position only, so the output is that of plain decoding for every proposer.
 */
import { known, NearfieldError } from '../base/error.ts';
import { monotonicMs } from '../base/platform.ts';
import type {
  DecodedToken,
  DecodeOptions,
  DecodeStats,
  DecodeTarget,
  Decoding,
  Proposer,
  TokenTree,
} from '../decoder.ts';
import { DrawAhead } from './draw-ahead.ts';
import { LogprobReader } from './logprob-reader.ts';
import { Sampler } from './sampler.ts';
import { checkTree, emptyTree } from './token-tree.ts';
import { type Drawing, Verifier } from './verify.ts';

/** Share of the latest pass in what is expected of the next one's idle time. */
const latestIdle = 0.5;

interface LoopState {
  readonly verifier: Verifier;
  /** Expected of a pass. */
  idleMs: number;
}

/** The rows of a tree, the last token's among them, are seen through a mask of 64 bits. */
const largestTree = 63;

/**
 * Nothing happens before the first `next()`. Errors, of the options too, come out of `next()`; the target is consistent
 * after them (see `DecodeTarget`) and keeps the tokens emitted before. A consumer that leaves the iteration keeps what it
 * was given: tokens already verified beyond that are forgotten.
 */
export function decode(
  target: DecodeTarget,
  proposer: Proposer,
  options: DecodeOptions,
): Decoding<DecodedToken> {
  const stats: DecodeStats = {
    proposer: proposer.name,
    seed: undefined,
    steps: 0,
    proposed: 0,
    accepted: 0,
    tokens: 0,
    speculation: undefined,
    finish: undefined,
  };
  return Object.assign(run(target, proposer, options, stats), { stats });
}

async function* run(
  target: DecodeTarget,
  proposer: Proposer,
  options: DecodeOptions,
  stats: DecodeStats,
): AsyncGenerator<DecodedToken, DecodeStats, void> {
  checkStart(target, options);
  const drawing = openDrawing(target, options);
  stats.seed = drawing.sampler.sampling.seed;
  stats.speculation = proposer.begin?.({
    sampling: drawing.sampler.sampling,
    endIds: drawing.endIds,
    vocabularySize: target.executor.vocabularySize,
  });
  const { signal } = options;
  const { clock = monotonicMs, waitedMs = never } = target;
  const verifier = new Verifier(target, drawing, signal);
  const state: LoopState = { verifier, idleMs: 0 };
  const ahead = openAhead(target, drawing, options);
  let isWaitingForConsumer = false;
  try {
    // All in this frame: each further one, and its promise, would be garbage of every step.
    while (!isFinished(target, options, stats)) {
      const limit = largestTreeNow(target, options.maxTokens - stats.tokens);
      const proposed = limit === 0 ? emptyTree : proposer.propose(target.tokens, limit, signal);
      let tree = proposed instanceof Promise ? await proposed : proposed;
      checkTree(tree, limit, target.executor.vocabularySize, proposer.name);
      let elapsedMs = 0;
      let isDrawn = false;
      if (ahead && proposer.isFree && (tree.tokens.length === 0 || ahead.length > 0)) {
        const beganMs = clock();
        // Nothing more goes ahead of a tree that is to be verified.
        const mostRows = tree.tokens.length === 0 ? options.maxTokens - stats.tokens : 0;
        const id = await ahead.next(mostRows);
        isDrawn = id !== undefined;
        if (id !== undefined) {
          verifier.accept(id);
          if (tree.tokens.length > 0) proposer.withdraw?.();
          tree = emptyTree;
          elapsedMs = clock() - beganMs;
        }
      }
      for (let isRetried = false; !isDrawn; isRetried = true) {
        try {
          const beganMs = clock();
          const waitedBefore = waitedMs();
          if (options.onProvisional || (state.idleMs > 0 && proposer.whileVerifying)) {
            await verifyAndGoOn(target, proposer, tree, options, state);
          } else {
            verifier.draw(tree, await verifier.run(tree));
            expectIdle(state, waitedMs() - waitedBefore);
          }
          elapsedMs = clock() - beganMs;
          break;
        } catch (error) {
          if (isRetried || !hasMadeRoom(error, proposer)) throw error;
        }
      }
      const moving = isDrawn ? undefined : target.executor.move(target.sequence.commit(verifier.path));
      if (moving) await moving;
      account(proposer, tree, verifier, elapsedMs, stats);
      for (let index = 0; index < verifier.drawn.length; index++) {
        const token = known(verifier.drawn[index], 'drawn token');
        target.tokens.push(token.id);
        if (drawing.endIds.has(token.id)) {
          stats.finish = 'end';
          break;
        }
        stats.tokens++;
        isWaitingForConsumer = true;
        yield token;
        isWaitingForConsumer = false;
        if (signal?.aborted) break;
      }
    }
  } catch (error) {
    isWaitingForConsumer = false;
    if (!signal?.aborted || !isAbort(error, signal)) throw error;
    stats.finish = 'aborted';
  } finally {
    if (isWaitingForConsumer) stats.finish = 'stop';
    void ahead?.close();
    dropBeyond(target);
  }
  return stats;
}

/** Whether the target lacked memory that the proposer has now given up. */
function hasMadeRoom(error: unknown, proposer: Proposer): boolean {
  const lacksMemory = error instanceof NearfieldError && error.code === 'out-of-budget';
  return lacksMemory && proposer.relinquish?.() === true;
}

function account(
  proposer: Proposer,
  tree: TokenTree,
  { drawn, accepted }: Verifier,
  elapsedMs: number,
  stats: DecodeStats,
): void {
  stats.steps++;
  stats.proposed += tree.tokens.length;
  stats.accepted += accepted;
  proposer.observe?.({ drawn: idsOf(drawn), rows: tree.tokens.length + 1, elapsedMs });
}

const idsOf = (tokens: readonly DecodedToken[]): number[] => tokens.map(({ id }) => id);

const never = (): number => 0;

function expectIdle(state: LoopState, waitedMs: number): void {
  state.idleMs += latestIdle * (waitedMs - state.idleMs);
}

/** A pass of the target, and beside it what the proposer does in the time that the pass leaves. */
async function verifyAndGoOn(
  target: DecodeTarget,
  proposer: Proposer,
  tree: TokenTree,
  options: DecodeOptions,
  state: LoopState,
): Promise<void> {
  const { onProvisional, signal } = options;
  const { waitedMs = never } = target;
  const waitedBefore = waitedMs();
  const { verifier } = state;
  const pass = verifier.run(tree).then((result) => verifier.draw(tree, result));
  const show = (): void => onProvisional?.(proposer.foreseen?.() ?? []);
  const over = new AbortController();
  let beside: Promise<void> | undefined;
  try {
    if (onProvisional) show();
    if (state.idleMs > 0 && proposer.whileVerifying) {
      const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
      beside = proposer.whileVerifying({ signal: stop, idleMs: state.idleMs, onToken: show });
    }
    await pass;
    expectIdle(state, waitedMs() - waitedBefore);
    over.abort();
    await beside;
  } catch (error) {
    over.abort();
    // Neither goes on when the other has failed.
    await Promise.allSettled([pass, beside]);
    throw error;
  } finally {
    onProvisional?.([]);
  }
}

/** Nodes that a tree may have. */
function largestTreeNow({ executor, tokens, contextLength }: DecodeTarget, wantedTokens: number): number {
  const roomForRows = contextLength - tokens.length;
  return Math.max(0, Math.min(largestTree, executor.maxSelected - 1, wantedTokens - 1, roomForRows));
}

function isFinished(target: DecodeTarget, options: DecodeOptions, stats: DecodeStats): boolean {
  if (stats.finish) return true;
  if (options.signal?.aborted) stats.finish = 'aborted';
  else if (stats.tokens >= options.maxTokens) stats.finish = 'length';
  else if (target.tokens.length > target.contextLength) stats.finish = 'context';
  return stats.finish !== undefined;
}

function checkStart({ sequence, tokens }: DecodeTarget, { maxTokens }: DecodeOptions): void {
  const isCount = Number.isInteger(maxTokens) || maxTokens === Number.POSITIVE_INFINITY;
  if (!isCount || maxTokens < 0) {
    throw new NearfieldError('bad-argument', `maxTokens is ${maxTokens}; it must be an integer, 0 or more`);
  }
  if (tokens.length === 0) {
    throw new NearfieldError('bad-argument', 'There is no token to continue from; give a prompt');
  }
  if (sequence.committed !== tokens.length - 1 || sequence.pending > 0) {
    throw new NearfieldError(
      'internal',
      `Decoding starts after ${tokens.length} tokens with ${sequence.committed} committed rows and ${sequence.pending} pending ones`,
    );
  }
}

function openDrawing({ executor, tokens }: DecodeTarget, options: DecodeOptions): Drawing {
  const { vocabularySize } = executor;
  const count = options.logprobs ?? 0;
  return {
    sampler: new Sampler(options.sampling ?? {}, vocabularySize, tokens),
    logprobs: count === 0 ? undefined : new LogprobReader(count, vocabularySize),
    endIds: options.endIds ?? new Set(),
  };
}

/** Log-probabilities take the logits, and what is foreseen takes a pass that is waited for. */
function openAhead(
  target: DecodeTarget,
  { sampler, logprobs }: Drawing,
  { onProvisional, signal }: DecodeOptions,
): DrawAhead | undefined {
  return logprobs || onProvisional ? undefined : DrawAhead.of(target, sampler.sampling, signal);
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  if (error === signal.reason) return true;
  if (error instanceof NearfieldError) return error.code === 'aborted';
  return error instanceof Error && error.name === 'AbortError';
}

/** Forgets rows of tokens that were not emitted. */
function dropBeyond({ sequence, tokens }: DecodeTarget): void {
  const length = tokens.length - 1;
  if (sequence.committed > length || sequence.pending > 0) sequence.forget(length);
}
