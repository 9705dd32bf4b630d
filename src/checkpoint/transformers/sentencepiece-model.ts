/**
 * tokenizer.model, the file of SentencePiece: a protobuf message ModelProto. Fields used: 1 pieces (1 piece, 2 score, 3
 * type), 2 the trainer's settings (3 model type), 3 the normalizer (2 character map, 3 add_dummy_prefix, 4
 * remove_extra_whitespaces).
 */
import { NearfieldError } from '../../base/error.ts';
import type { ReadVocabulary } from './tokenizer-json.ts';
import { type AddedToken, type PieceKind, pieceKinds, VocabularyDraft } from './vocabulary-draft.ts';

/** Of a field: its number and its value, either a number or bytes. */
interface Field {
  readonly number: number;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const unigramType = 1;
const kindNames = Object.keys(pieceKinds) as readonly PieceKind[];

export function readSentencePieceModel(
  fileName: string,
  bytes: Uint8Array,
  added: readonly AddedToken[],
): ReadVocabulary {
  const pieces = new VocabularyDraft(fileName);
  // What the message leaves out.
  const stated = { isUnigram: true, prefix: true, mergesSpaces: true, charsmap: new Uint8Array(0) };
  const decoder = new TextDecoder();
  for (const field of fieldsOf(fileName, bytes)) {
    if (field.number === 1) {
      const piece = { text: '', score: 0, type: 1 };
      for (const { number, value, bytes: text } of fieldsOf(fileName, field.bytes)) {
        if (number === 1) piece.text = decoder.decode(text);
        else if (number === 2) piece.score = floatOf(text);
        else if (number === 3) piece.type = value;
      }
      // SentencePiece numbers the kinds as GGUF does.
      pieces.set(pieces.size, piece.text, kindNames[piece.type - 1] ?? 'normal', piece.score);
    } else if (field.number === 2) {
      for (const { number, value } of fieldsOf(fileName, field.bytes))
        if (number === 3) stated.isUnigram = value === unigramType;
    } else if (field.number === 3) {
      for (const { number, value, bytes: map } of fieldsOf(fileName, field.bytes)) {
        if (number === 2) stated.charsmap = map.slice();
        else if (number === 3) stated.prefix = value !== 0;
        else if (number === 4) stated.mergesSpaces = value !== 0;
      }
    }
  }
  if (pieces.size === 0)
    throw new NearfieldError(
      'bad-file',
      `${fileName} holds no pieces; the file is damaged or of another kind`,
    );
  for (const token of added) if (pieces.kindOf(token.id) !== 'unknown') pieces.add(token, -1000);
  const { isUnigram, prefix, mergesSpaces, charsmap } = stated;
  return {
    pieces,
    hasScores: true,
    write(metadata) {
      metadata.set('tokenizer.ggml.model', 'string', isUnigram ? 't5' : 'llama');
      metadata.set('tokenizer.ggml.pre', 'string', 'default');
      metadata.set('tokenizer.ggml.add_space_prefix', 'bool', prefix);
      if (!isUnigram) return;
      metadata.set('tokenizer.ggml.remove_extra_whitespaces', 'bool', mergesSpaces);
      if (charsmap.byteLength > 0)
        metadata.set('tokenizer.ggml.precompiled_charsmap', 'array of uint8', charsmap);
    },
  };
}

/** The fields of a message, in order. Throws `bad-file` where they do not fill it. */
function* fieldsOf(fileName: string, bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const cut = (): never => {
    throw new NearfieldError('bad-file', `${fileName} is damaged or no SentencePiece model; get it again`);
  };
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 10; shift++) {
      const byte = bytes[at++] ?? cut();
      value += (byte & 127) * 2 ** (7 * shift);
      if (byte < 128) return value;
    }
    return cut();
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (wire === 0) {
      yield { number, value: varint(), bytes: bytes.subarray(0, 0) };
      continue;
    }
    const length = wire === 2 ? varint() : wire === 5 ? 4 : wire === 1 ? 8 : cut();
    if (number === 0 || length > bytes.length - at) cut();
    yield { number, value: 0, bytes: bytes.subarray(at, at + length) };
    at += length;
  }
}

function floatOf(bytes: Uint8Array): number {
  return bytes.byteLength === 4 ? new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true) : 0;
}
