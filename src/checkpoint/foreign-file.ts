/** What a file that is no model looks like, judged by its first bytes, with what to do about it. */

interface Signature {
  /** Any of these begins the file, each byte a character. */
  readonly begins?: readonly string[];
  readonly pattern?: RegExp;
  readonly looks: string;
}

const webPage = /^\s*<(?:!doctype|html|head|\?xml)/i;

/** Some servers answer with their page to every address where no file is. */
export function isWebPage(head: Uint8Array): boolean {
  return webPage.test(String.fromCharCode(...head.subarray(0, 64)));
}

const signatures: readonly Signature[] = [
  {
    begins: ['PK\x03\x04'],
    looks: 'is a zip archive (PyTorch files are, too), not a model this engine reads',
  },
  { pattern: webPage, looks: 'is a web page; use the direct link to the model file' },
  {
    begins: ['version https://git-lfs'],
    looks: 'is a Git LFS pointer, not the model; fetch it with git lfs pull',
  },
  {
    pattern: /^.{8}\{\s*"/s,
    looks: 'begins like a safetensors file but ends within its header; it is cut short, get it again',
  },
  { begins: ['lmgg', 'fmgg', 'tjgg', 'algg'], looks: 'is of a format older than GGUF; get a newer file' },
  { begins: ['FUGG'], looks: 'is a byte-swapped GGUF file; get the little-endian one' },
  {
    begins: ['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'],
    looks: 'is a Python pickle; convert it to GGUF',
  },
  { begins: ['\x89HDF'], looks: 'is an HDF5 file; convert it to GGUF' },
  {
    begins: ['\x1f\x8b', '\xfd7zXZ', '\x28\xb5\x2f\xfd', 'BZh', '7z\xbc\xaf', 'Rar!'],
    looks: 'is an archive; unpack it',
  },
  { begins: ['\x7fELF', 'MZ', '\xcf\xfa\xed\xfe'], looks: 'is a program, not a model' },
  { begins: ['\0\0\0\0\0\0\0\0'], looks: 'begins with zeros: an unfinished download? Get it again' },
  { pattern: /^\s*[[{]/, looks: 'is JSON, not a model' },
  { pattern: /^[\t\n\r\x20-\x7e]+$/, looks: 'is a text file, not a model' },
];

/** To follow the file's name in a message. `head` holds the first bytes, at most 64. */
export function foreignFile(head: Uint8Array): string {
  if (head.byteLength === 0) return 'is empty; get it again';
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join('');
  const signature = signatures.find(({ begins, pattern }) => {
    return begins?.some((start) => text.startsWith(start)) || pattern?.test(text);
  });
  return signature?.looks ?? 'is not a model file that is known here';
}
