/**
 * The one loop: ask the proposer for candidates, let the model verify them in one pass, commit the rows of the tokens the
 * model would have said itself, emit these tokens. What a node's token is depends on the tokens before it, the seed and
 * its position only, so the output is that of plain decoding for every proposer.
 */
import { NearfieldError } from '../base/error.ts';
import type {
  DecodedToken,
  DecodeOptions,
  DecodeStats,
  DecodeTarget,
  Decoding,
  Proposer,
  TokenTree,
} from '../decoder.ts';
import { LogprobReader } from './logprob-reader.ts';
import { Sampler } from './sampler.ts';
import { checkTree, emptyTree } from './token-tree.ts';
import { type Drawing, type Verified, verify } from './verify.ts';

/** Share of the latest pass in what is expected of the next one's idle time. */
const latestIdle = 0.5;

interface LoopState {
  readonly drawing: Drawing;
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
  const state: LoopState = { drawing, idleMs: 0 };
  let isWaitingForConsumer = false;
  try {
    while (!isFinished(target, options, stats)) {
      const drawn = await extend(target, proposer, options, state, stats);
      for (const token of drawn) {
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
    dropBeyond(target);
  }
  return stats;
}

/** Verifies one tree and commits its accepted path; returns the tokens to emit. */
async function extend(
  target: DecodeTarget,
  proposer: Proposer,
  options: DecodeOptions,
  state: LoopState,
  stats: DecodeStats,
): Promise<readonly DecodedToken[]> {
  const { executor, sequence } = target;
  const tree = await proposeTree(target, proposer, options.maxTokens - stats.tokens, options.signal);
  const { verified, elapsedMs } = await retried(proposer, () =>
    verifyAndGoOn(target, proposer, tree, options, state),
  );
  const { drawn, path, accepted } = verified;
  await executor.move(sequence.commit(path));
  stats.steps++;
  stats.proposed += tree.tokens.length;
  stats.accepted += accepted;
  proposer.observe?.({ drawn: drawn.map(({ id }) => id), rows: tree.tokens.length + 1, elapsedMs });
  return drawn;
}

/** The pass of the target, and beside it what the proposer does in the time that the pass leaves. */
async function verifyAndGoOn(
  target: DecodeTarget,
  proposer: Proposer,
  tree: TokenTree,
  options: DecodeOptions,
  state: LoopState,
): Promise<{ readonly verified: Verified; readonly elapsedMs: number }> {
  const { onProvisional, signal } = options;
  const { clock = () => performance.now(), waitedMs = () => 0 } = target;
  const [began, waitedBefore] = [clock(), waitedMs()];
  const pass = verify(target, tree, state.drawing, signal);
  const show = (): void => onProvisional?.(proposer.foreseen?.() ?? []);
  const over = new AbortController();
  let beside: Promise<void> | undefined;
  try {
    if (onProvisional) show();
    if (state.idleMs > 0 && proposer.whileVerifying) {
      const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
      beside = proposer.whileVerifying({ signal: stop, idleMs: state.idleMs, onToken: show });
    }
    const verified = await pass;
    state.idleMs += latestIdle * (waitedMs() - waitedBefore - state.idleMs);
    over.abort();
    await beside;
    return { verified, elapsedMs: clock() - began };
  } catch (error) {
    over.abort();
    // Neither goes on when the other has failed.
    await Promise.allSettled([pass, beside]);
    throw error;
  } finally {
    onProvisional?.([]);
  }
}

/** Once more where the target lacked memory that the proposer can do without. */
async function retried<T>(proposer: Proposer, pass: () => Promise<T>): Promise<T> {
  try {
    return await pass();
  } catch (error) {
    const lacksMemory = error instanceof NearfieldError && error.code === 'out-of-budget';
    if (!lacksMemory || !proposer.relinquish?.()) throw error;
    return pass();
  }
}

async function proposeTree(
  { executor, tokens, contextLength }: DecodeTarget,
  proposer: Proposer,
  wantedTokens: number,
  signal: AbortSignal | undefined,
): Promise<TokenTree> {
  const roomForRows = contextLength - tokens.length;
  const limit = Math.min(largestTree, executor.maxSelected - 1, wantedTokens - 1, roomForRows);
  if (limit <= 0) return emptyTree;
  const tree = await proposer.propose(tokens, limit, signal);
  checkTree(tree, limit, executor.vocabularySize, proposer.name);
  return tree;
}

function isFinished(target: DecodeTarget, options: DecodeOptions, stats: DecodeStats): boolean {
  if (stats.finish) return true;
  if (options.signal?.aborted) stats.finish = 'aborted';
  else if (stats.tokens >= options.maxTokens) stats.finish = 'length';
  else if (target.tokens.length > target.contextLength) stats.finish = 'context';
  return stats.finish !== undefined;
}

function checkStart({ sequence, tokens }: DecodeTarget, { maxTokens }: DecodeOptions): void {
  if (!(maxTokens >= 0) || (Number.isFinite(maxTokens) && !Number.isInteger(maxTokens))) {
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
