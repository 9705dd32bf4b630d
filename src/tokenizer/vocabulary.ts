/** A vocabulary as GGUF metadata states it: the pieces with their kinds and scores, and the ids that play a role. */
import { NearfieldError } from '../base/error.ts';
import type { Metadata } from '../checkpoint.ts';
import { PieceIndex } from './piece-index.ts';
import {
  endExceptions,
  endPieces,
  fillInMiddleRoles,
  shownPieces,
  swallowingModels,
} from './special-pieces.ts';

/** The codes of `tokenizer.ggml.token_type`. */
export const tokenKind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** What a kind of vocabulary (`tokenizer.ggml.model`) assumes where the metadata is silent. */
export interface VocabularyDefaults {
  readonly bos?: number;
  readonly eos?: number;
  readonly unknown?: number;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly addSpacePrefix: boolean;
}

export interface Vocabulary {
  readonly pieces: readonly string[];
  /** One `tokenKind` code per piece. */
  readonly kinds: Uint8Array;
  /** Log-probabilities or merge priorities, one per piece; zeros where the file has none. */
  readonly scores: Float32Array;
  readonly index: PieceIndex;
  /** UTF-16 units of the longest piece. */
  readonly longestPiece: number;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly unknown: number | undefined;
  readonly endIds: ReadonlySet<number>;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** A space goes before the first word, so that it is spelled as inside a sentence. */
  readonly addSpacePrefix: boolean;
  /** Special tokens after which white space is dropped. */
  readonly swallowing: ReadonlySet<number>;
  readonly warnings: readonly string[];
}

/** A search may walk a whole piece at every place of a text, so a file must not make pieces of any length. */
const maxPieceLength = 8192;

/** Throws `bad-file` where arrays are missing or of unequal length; a role id out of range is a warning. */
export function readVocabulary(metadata: Metadata, defaults: VocabularyDefaults): Vocabulary {
  const pieces = metadata.strings('tokenizer.ggml.tokens');
  if (pieces.length === 0)
    throw new NearfieldError('bad-file', 'The vocabulary (tokenizer.ggml.tokens) is empty');
  const kinds = new Uint8Array(pieces.length).fill(tokenKind.normal);
  kinds.set(perPiece(metadata, 'tokenizer.ggml.token_type', pieces.length) ?? []);
  const scores = new Float32Array(pieces.length);
  scores.set(perPiece(metadata, 'tokenizer.ggml.scores', pieces.length) ?? []);
  // Plain loops over a vocabulary: they run before they are compiled, where an iterator costs seven times as much.
  let longestPiece = 0;
  for (let id = 0; id < pieces.length; id++) {
    const length = pieces[id]?.length ?? 0;
    if (length > maxPieceLength) {
      throw new NearfieldError(
        'bad-file',
        `Token ${id} of the vocabulary is ${length} units long; at most ${maxPieceLength} are accepted`,
      );
    }
    if (length > longestPiece) longestPiece = length;
  }

  const index = new PieceIndex(pieces);

  const warnings: string[] = [];
  const role = (name: string, fallback?: number): number | undefined => {
    const key = `tokenizer.ggml.${name}_token_id`;
    if (metadata.has(key)) {
      const id = metadata.number(key);
      if (Number.isInteger(id) && id >= 0 && id < pieces.length) return id;
      // 2^32 - 1 is how files say that there is none.
      if (id === -1 || id === 0xffffffff) return undefined;
      warnings.push(`${key} is ${id}, outside the vocabulary of ${pieces.length}; ignored`);
    }
    return fallback !== undefined && fallback < pieces.length ? fallback : undefined;
  };
  const bos = role('bos', defaults.bos);
  const eos = role('eos', defaults.eos);
  const unknown = role('unknown', defaults.unknown);
  const endIds = markSpecialPieces(metadata, index, kinds, [eos, role('eot'), role('eom')]);

  const add = (which: 'bos' | 'eos', id: number | undefined, fallback: boolean): boolean => {
    const wanted = metadata.boolean(`tokenizer.ggml.add_${which}_token`, fallback);
    if (wanted && id === undefined) {
      warnings.push(`The vocabulary asks for ${which.toUpperCase()} but names no such token; none is added`);
    }
    return wanted && id !== undefined;
  };
  return {
    pieces,
    kinds,
    scores,
    index,
    longestPiece,
    bos,
    eos,
    unknown,
    endIds,
    addBos: add('bos', bos, defaults.addBos),
    addEos: add('eos', eos, defaults.addEos),
    addSpacePrefix: metadata.boolean('tokenizer.ggml.add_space_prefix', defaults.addSpacePrefix),
    swallowing: swallowingIds(metadata, pieces, kinds),
    warnings,
  };
}

/** Whether ordinary text may become this token: control, unknown and byte tokens have spellings that text must not reach. */
export function isTextual(kind: number | undefined): boolean {
  return kind !== tokenKind.control && kind !== tokenKind.unknown && kind !== tokenKind.byte;
}

function perPiece(metadata: Metadata, key: string, count: number): ArrayLike<number> | undefined {
  const values = metadata.numbers(key);
  if (values === undefined || values.length === count) return values;
  if (values.length < count) {
    throw new NearfieldError('bad-file', `${key} has ${values.length} values for ${count} tokens`);
  }
  return Array.from({ length: count }, (_, index) => values[index] ?? 0);
}

/** Corrects `kinds` by what pieces are known to be, and gathers the ids that end a generation. */
function markSpecialPieces(
  metadata: Metadata,
  index: PieceIndex,
  kinds: Uint8Array,
  roles: readonly (number | undefined)[],
): ReadonlySet<number> {
  const ends = new Set<number>();
  for (const role of fillInMiddleRoles) {
    const key = role.keys.find((candidate) => metadata.has(candidate));
    const found = role.pieces.map((piece) => index.get(piece)).find((id) => id >= 0) ?? -1;
    const id = key === undefined ? found : metadata.number(key);
    if (!(id >= 0 && id < kinds.length)) continue;
    if (key === undefined) kinds[id] = tokenKind.control;
    if (role.ends) ends.add(id);
  }
  for (const piece of endPieces) {
    const id = index.get(piece);
    if (id < 0) continue;
    ends.add(id);
    kinds[id] = tokenKind.control;
  }
  for (const piece of shownPieces) {
    const id = index.get(piece);
    if (id >= 0) kinds[id] = tokenKind.userDefined;
  }
  for (const id of roles) if (id !== undefined) ends.add(id);
  for (const { having, spared, kind } of endExceptions) {
    const id = index.get(spared);
    if (id < 0 || !having.every((piece) => ends.has(index.get(piece)))) continue;
    ends.delete(id);
    kinds[id] = tokenKind[kind];
  }
  return ends;
}

function swallowingIds(
  metadata: Metadata,
  pieces: readonly string[],
  kinds: Uint8Array,
): ReadonlySet<number> {
  const ids = new Set<number>();
  const name = metadata.string('general.name', '').toLowerCase();
  for (const rule of swallowingModels) {
    if (!rule.names.some((part) => name.includes(part))) continue;
    for (const [id, piece] of pieces.entries()) {
      const special =
        kinds[id] === tokenKind.control ||
        kinds[id] === tokenKind.unknown ||
        kinds[id] === tokenKind.userDefined;
      if (special && !rule.except.includes(piece)) ids.add(id);
    }
  }
  return ids;
}
