/**
 * GPT-2's way to spell any byte as a visible character: printable Latin-1 stands for itself, the other 68 bytes, in
 * ascending order, for U+0100 and up. Vocabularies of byte-level BPE are written in it.
 */

/** The character of each byte. */
export const byteCharacters: readonly string[] = spell();

const byteOfUnit: ReadonlyMap<number, number> = new Map(
  byteCharacters.map((character, byte) => [character.charCodeAt(0), byte]),
);

/** The bytes a piece spells; a character outside the alphabet stands for its own UTF-8. */
export function bytesOfSpelling(piece: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of piece) {
    const byte = character.length === 1 ? byteOfUnit.get(character.charCodeAt(0)) : undefined;
    if (byte === undefined) bytes.push(...new TextEncoder().encode(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function spell(): string[] {
  let spare = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    if (printable) return String.fromCharCode(byte);
    spare += 1;
    return String.fromCharCode(spare - 1);
  });
}
