/** Runs a decoding over the toy model to its end, and checks the timeline it leaves. */
import assert from 'node:assert/strict';
import {
  type DecodedToken,
  type DecodeOptions,
  type DecodeStats,
  decode,
  type Proposer,
} from '../../src/decoder.ts';
import type { ToyTarget } from './toy-executor.ts';

export interface ToyRun {
  readonly tokens: readonly DecodedToken[];
  readonly ids: readonly number[];
  readonly stats: DecodeStats;
}

export async function collect(
  target: ToyTarget,
  proposer: Proposer,
  options: DecodeOptions,
): Promise<ToyRun> {
  const decoding = decode(target, proposer, options);
  const tokens: DecodedToken[] = [];
  for await (const token of decoding) tokens.push(token);
  return { tokens, ids: tokens.map(({ id }) => id), stats: decoding.stats };
}

/** What `DecodeTarget` promises, and that the cache holds these very tokens. */
export function checkConsistent({ executor, sequence, tokens }: ToyTarget, note: string): void {
  assert.equal(sequence.committed, tokens.length - 1, note);
  assert.equal(sequence.pending, 0, note);
  assert.deepEqual(executor.committedTokens(sequence), tokens.slice(0, -1), note);
}
