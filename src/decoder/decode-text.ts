/** Decoding as text: tokens with the text that is certain by now, ended by stop strings. */
import type { DecodedText, DecodeStats, DecodeTarget, Decoding, Proposer, TextOptions } from '../decoder.ts';
import type { DetokenizerStream } from '../tokenizer.ts';
import { decode } from './decode.ts';
import { StopMatcher } from './stop-matcher.ts';

/**
 * As `decode`; `detokenizer` is a fresh stream. The tokens of a stop string are emitted and stay in `target.tokens`, its
 * text is not emitted. All texts joined are the text of the generation.
 */
export function decodeText(
  target: DecodeTarget,
  proposer: Proposer,
  detokenizer: DetokenizerStream,
  options: TextOptions,
): Decoding<DecodedText> {
  const tokens = decode(target, proposer, options);
  return Object.assign(run(tokens, detokenizer, options.stop ?? []), { stats: tokens.stats });
}

async function* run(
  tokens: ReturnType<typeof decode>,
  detokenizer: DetokenizerStream,
  stops: readonly string[],
): AsyncGenerator<DecodedText, DecodeStats, void> {
  const matcher = new StopMatcher(stops);
  for await (const token of tokens) {
    yield { token, text: matcher.push(detokenizer.push(token.id)) };
    if (matcher.found !== undefined) break;
  }
  const text = matcher.push(detokenizer.flush()) + matcher.flush();
  if (text !== '') yield { token: undefined, text };
  return tokens.stats;
}
