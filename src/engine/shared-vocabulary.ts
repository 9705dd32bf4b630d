/** Whether a draft's ids mean what the target's do. */
import { NearfieldError } from '../base/error.ts';
import type { Metadata } from '../checkpoint.ts';
import type { Tokenizer } from '../tokenizer.ts';

export interface NamedVocabulary {
  readonly tokenizer: Tokenizer;
  readonly metadata: Metadata;
}

/** `tokenizer.ggml.token_type` of an entry that pads the vocabulary to a round size. */
const unusedKind = 5;

/**
 * Throws `bad-argument` naming the first difference: a piece, an id with a role, or an entry that only one of them has and
 * that is not padding.
 */
export function expectSharedVocabulary(target: NamedVocabulary, draft: NamedVocabulary): void {
  const [ours, theirs] = [target.tokenizer, draft.tokenizer];
  const shared = Math.min(ours.vocabularySize, theirs.vocabularySize);
  for (let id = 0; id < shared; id++) {
    if (ours.piece(id) === theirs.piece(id)) continue;
    refuse(`token ${id} is ${quoted(theirs.piece(id))} there and ${quoted(ours.piece(id))} here`);
  }
  for (const [role, here, there] of [
    ['the beginning', ours.bos, theirs.bos],
    ['the end', ours.eos, theirs.eos],
  ] as const) {
    if (here !== there)
      refuse(`${role} of a text is token ${there ?? 'none'} there and ${here ?? 'none'} here`);
  }
  const [longer, place] = ours.vocabularySize > shared ? [target, 'here'] : [draft, 'there'];
  const kinds = longer.metadata.numbers('tokenizer.ggml.token_type');
  for (let id = shared; id < longer.tokenizer.vocabularySize; id++) {
    if (kinds?.[id] !== unusedKind)
      refuse(`token ${id}, ${quoted(longer.tokenizer.piece(id))}, is only ${place}`);
  }
}

function refuse(difference: string): never {
  throw new NearfieldError(
    'bad-argument',
    `The draft has another vocabulary than the model: ${difference}; give a draft of the same family`,
  );
}

const quoted = (piece: string): string =>
  JSON.stringify(piece.length > 40 ? `${piece.slice(0, 40)}…` : piece);
