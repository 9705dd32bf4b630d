/**
 * SentencePiece's `precompiled_charsmap`: rules that replace a text's prefixes, as compiled from a normalisation form.
 *
 * Layout, little-endian: uint32 size in bytes of a double array trie, the trie, then the replacements as UTF-8 strings
 * that end in a zero byte. A trie unit: bits 0–7 and 31 the label (bit 31 set: the unit is a value, bits 0–30), bit 8
 * has a value, bits 10–30 the offset of its children, shifted by 8 more where bit 9 is set. The child of node `n` along
 * byte `c` is at `n ^ offset(n) ^ c`, its value at `n ^ offset(n)`. (Source: S. Yata's darts-clone, as used there.)
 */
import { NearfieldError } from '../base/error.ts';

export class CharacterMap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;

  /** Throws `bad-file` where the sizes do not fit. */
  constructor(charsmap: Uint8Array) {
    const view = new DataView(charsmap.buffer, charsmap.byteOffset, charsmap.byteLength);
    const trieBytes = charsmap.byteLength >= 4 ? view.getUint32(0, true) : 0;
    if (trieBytes === 0 || trieBytes % 4 !== 0 || 4 + trieBytes > charsmap.byteLength) {
      throw new NearfieldError(
        'bad-file',
        `tokenizer.ggml.precompiled_charsmap: a table of ${trieBytes} bytes does not fit its ${charsmap.byteLength}`,
      );
    }
    this.#units = Uint32Array.from({ length: trieBytes / 4 }, (_, index) =>
      view.getUint32(4 + index * 4, true),
    );
    this.#replacements = charsmap.subarray(4 + trieBytes);
  }

  /** Every longest prefix that a rule covers replaced; what no rule covers stays. */
  apply(text: string): string {
    const utf8 = new TextEncoder().encode(text);
    const normalized: number[] = [];
    for (let at = 0; at < utf8.length; ) {
      const rule = this.#longestRule(utf8, at);
      if (rule !== undefined) {
        for (let from = rule.value; this.#replacements[from]; from++) {
          normalized.push(this.#replacements[from] ?? 0);
        }
        at += rule.length;
        continue;
      }
      const lead = utf8[at] ?? 0;
      const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
      for (let byte = at; byte < at + length; byte++) normalized.push(utf8[byte] ?? 0);
      at += length;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(normalized));
  }

  #longestRule(utf8: Uint8Array, from: number): { length: number; value: number } | undefined {
    let longest: { length: number; value: number } | undefined;
    let node = childOffset(this.#units[0] ?? 0);
    for (let at = from; at < utf8.length; at++) {
      const byte = utf8[at] ?? 0;
      node = (node ^ byte) >>> 0;
      const unit = this.#units[node];
      // A zero byte cannot be told from the end of a rule.
      if (unit === undefined || byte === 0 || (unit & 0x800000ff) !== byte) break;
      node = (node ^ childOffset(unit)) >>> 0;
      if ((unit & 0x100) === 0) continue;
      const value = (this.#units[node] ?? 0) & 0x7fffffff;
      if (value < this.#replacements.length) longest = { length: at - from + 1, value };
    }
    return longest;
  }
}

function childOffset(unit: number): number {
  return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
}
