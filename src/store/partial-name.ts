/** How a file that is not finished is told from one that is: by the end of its name. */
import type { StoredEntry } from '../store.ts';

const suffix = '.partial';

export const partialName = (name: string): string => `${name}${suffix}`;

/** The entry of a file as it lies in the store's folder. */
export function storedEntry(fileName: string, byteLength: number): StoredEntry {
  const isWhole = !fileName.endsWith(suffix);
  return { name: isWhole ? fileName : fileName.slice(0, -suffix.length), byteLength, isWhole };
}
