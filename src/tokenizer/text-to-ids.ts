/** What the kinds of vocabulary differ in: how ordinary text (no special tokens in it) becomes ids, and ids bytes. */
export interface TextToIds {
  /**
   * Appends the ids of `text` to `ids`. `afterSpecial`: nothing, or a special token, comes before it. The text holds
   * no lone surrogates.
   */
  encode(text: string, afterSpecial: boolean, ids: number[]): void;
  /** Bytes of a piece that is text: learnt, or defined by the model's maker. */
  bytesOfPiece(piece: string, userDefined: boolean): Uint8Array;
}
