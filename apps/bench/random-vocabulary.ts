/** Made-up vocabularies of any size that tokenizers accept: every text can be encoded, most pieces mean nothing. */
import { NearfieldError } from '../../src/base/error.ts';
import type { GgufValue } from '../../src/checkpoint.ts';
import type { ModelShape } from './model-shapes.ts';

/** `tokenizer.ggml.token_type`. */
const kind = { normal: 1, unknown: 2, control: 3, unused: 5, byte: 6 } as const;

interface Piece {
  readonly text: string;
  readonly kind: number;
}

/** The `tokenizer.*` part of a file's metadata. */
export function randomVocabulary(shape: ModelShape): Map<string, GgufValue> {
  if (shape.vocabulary < 260) {
    throw new NearfieldError(
      'bad-argument',
      `A vocabulary of ${shape.vocabulary} has no room for all bytes; make it 260`,
    );
  }
  return shape.tokenizer === 'spm' ? sentencePiece(shape) : byteLevel(shape);
}

/** SentencePiece: unknown, begin, end, 256 bytes, printable characters, words. */
function sentencePiece({ vocabulary, preTokenizer = 'default' }: ModelShape): Map<string, GgufValue> {
  const pieces: Piece[] = [
    { text: '<unk>', kind: kind.unknown },
    { text: '<s>', kind: kind.control },
    { text: '</s>', kind: kind.control },
  ];
  for (let byte = 0; byte < 256; byte++) {
    pieces.push({ text: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, kind: kind.byte });
  }
  pieces.push({ text: '▁', kind: kind.normal });
  for (let code = 33; code < 127; code++) {
    pieces.push({ text: String.fromCharCode(code), kind: kind.normal });
  }
  for (let word = 0; pieces.length < vocabulary; word++) {
    pieces.push({ text: `▁${letters(word)}`, kind: kind.normal });
  }
  pieces.length = vocabulary;
  const scores = Float32Array.from(pieces, (piece, id) => (piece.kind === kind.normal ? -id : 0));
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.pre', preTokenizer],
    ...piecesMetadata(pieces),
    ['tokenizer.ggml.scores', scores],
    ['tokenizer.ggml.unknown_token_id', { type: 'uint32', value: 0 }],
    ...endsMetadata(1, 2),
  ]);
}

/** Byte-level BPE: 256 bytes, merges of two of them, unused pieces, begin and end. */
function byteLevel({ vocabulary, preTokenizer = 'default' }: ModelShape): Map<string, GgufValue> {
  const bytes = byteCharacters();
  const pieces: Piece[] = bytes.map((text) => ({ text, kind: kind.normal }));
  const merges: string[] = [];
  const ends = vocabulary - 2;
  for (const left of bytes) {
    for (const right of bytes) {
      if (pieces.length >= ends) break;
      merges.push(`${left} ${right}`);
      pieces.push({ text: left + right, kind: kind.normal });
    }
  }
  while (pieces.length < ends) pieces.push({ text: `<|unused_${pieces.length}|>`, kind: kind.unused });
  pieces.push(
    { text: '<|begin_of_text|>', kind: kind.control },
    { text: '<|end_of_text|>', kind: kind.control },
  );
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', preTokenizer],
    ...piecesMetadata(pieces),
    ['tokenizer.ggml.merges', merges],
    ...endsMetadata(ends, ends + 1),
  ]);
}

function piecesMetadata(pieces: readonly Piece[]): [string, GgufValue][] {
  return [
    ['tokenizer.ggml.tokens', pieces.map((piece) => piece.text)],
    ['tokenizer.ggml.token_type', Int32Array.from(pieces, (piece) => piece.kind)],
  ];
}

function endsMetadata(begin: number, end: number): [string, GgufValue][] {
  return [
    ['tokenizer.ggml.bos_token_id', { type: 'uint32', value: begin }],
    ['tokenizer.ggml.eos_token_id', { type: 'uint32', value: end }],
    ['tokenizer.ggml.add_bos_token', true],
  ];
}

/** Two letters or more, another for each number. */
function letters(number: number): string {
  let text = '';
  for (let rest = number + 27; rest > 0; rest = Math.floor((rest - 1) / 26)) {
    text = String.fromCharCode(97 + ((rest - 1) % 26)) + text;
  }
  return text;
}

/** GPT-2's printable stand-in for each byte: itself where it prints, else a character from U+0100 on. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const prints = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCharCode(prints ? byte : next++);
  });
}
