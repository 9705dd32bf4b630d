/** The pieces `<0x00>` … `<0xFF>` by which SentencePiece vocabularies spell bytes they have no character for. */
import type { Vocabulary } from './vocabulary.ts';

/** The id of each byte, or undefined unless the vocabulary has all 256. */
export function bytePieceIds(vocabulary: Vocabulary): Int32Array | undefined {
  const ids = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const id = vocabulary.index.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    if (id < 0) return undefined;
    ids[byte] = id;
  }
  return ids;
}

/** The byte that a piece `<0xHH>` spells, or undefined for any other piece. */
export function byteOfPiece(piece: string): number | undefined {
  const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}
