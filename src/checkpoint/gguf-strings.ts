/**
 * Arrays of strings, each a 64-bit length and that many bytes of UTF-8. A vocabulary has hundreds of thousands: they are
 * decoded a window at a time, lengths included, with one call of the decoder, and then cut apart.
 */
import { type HeaderReader, peekUint64 } from './header-reader.ts';

const lengthBytes = 8;
const strictDecoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });
const lenientDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** What is not UTF-8 becomes U+FFFD. */
export async function readStrings(reader: HeaderReader, count: number, what: string): Promise<string[]> {
  reader.expect(count * lengthBytes, what);
  const strings = new Array<string>(count);
  for (let index = 0; index < count; ) {
    await reader.fill(lengthBytes, what);
    await reader.fill(lengthBytes + peekUint64(reader.view, reader.cursor), what);
    index = takeStrings(reader, strings, index);
  }
  return strings;
}

/** Takes the strings that lie whole in the window, at least one, as those from `index` on; where the next one goes. */
function takeStrings(reader: HeaderReader, strings: string[], index: number): number {
  const { window, view } = reader;
  const start = reader.cursor;
  const byteCounts = new Uint32Array(
    Math.min(strings.length - index, (window.byteLength - start) / lengthBytes),
  );
  let taken = 0;
  let at = start;
  while (taken < byteCounts.length && window.byteLength - at >= lengthBytes) {
    const byteCount = peekUint64(view, at);
    if (byteCount > window.byteLength - at - lengthBytes) break;
    // Zeros are UTF-8, other lengths may not be; either way no character reaches from one string into the next.
    if (byteCount >= 0x80) view.setUint32(at, 0, true);
    byteCounts[taken++] = byteCount;
    at += lengthBytes + byteCount;
  }
  const bytes = window.subarray(start, at);
  const counts = byteCounts.subarray(0, taken);
  if (!cutWhole(bytes, counts, strings, index)) decodeEach(bytes, counts, strings, index);
  reader.cursor = at;
  return index + taken;
}

/** False where some string is not UTF-8. */
function cutWhole(bytes: Uint8Array, byteCounts: Uint32Array, strings: string[], index: number): boolean {
  let whole: string;
  try {
    whole = strictDecoder.decode(bytes);
  } catch {
    return false;
  }
  let byteAt = 0;
  let unitAt = 0;
  for (let i = 0; i < byteCounts.length; i++) {
    byteAt += lengthBytes;
    unitAt += lengthBytes;
    const byteEnd = byteAt + (byteCounts[i] ?? 0);
    const unitStart = unitAt;
    // One unit of UTF-16 for each byte that begins a character, two where the character takes four bytes.
    for (; byteAt < byteEnd; byteAt++) {
      const byte = bytes[byteAt] ?? 0;
      if ((byte & 0xc0) !== 0x80) unitAt += byte >= 0xf0 ? 2 : 1;
    }
    strings[index + i] = whole.slice(unitStart, unitAt);
  }
  return true;
}

function decodeEach(bytes: Uint8Array, byteCounts: Uint32Array, strings: string[], index: number): void {
  let at = 0;
  for (let i = 0; i < byteCounts.length; i++) {
    at += lengthBytes;
    const end = at + (byteCounts[i] ?? 0);
    strings[index + i] = lenientDecoder.decode(bytes.subarray(at, end));
    at = end;
  }
}
