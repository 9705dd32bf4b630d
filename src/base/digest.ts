/** SHA-256, for names of files that must differ when their contents do. */
import { NearfieldError } from './error.ts';

/** In hexadecimal. Throws `unsupported` on insecure pages, naming what it was for. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>, purpose: string): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new NearfieldError('unsupported', `${purpose} only on secure pages (https or localhost)`);
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
