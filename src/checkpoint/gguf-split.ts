/** Split GGUF models: metadata `split.no` and `split.count`, file names `…-00001-of-00003.gguf`. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, Metadata } from '../checkpoint.ts';

interface SplitFile {
  readonly source: ByteSource;
  readonly metadata: Metadata;
}

/** Files of the model this file belongs to; 1 for a whole model. */
export function splitCount({ source, metadata }: SplitFile): number {
  const count = metadata.number('split.count', 1);
  // Five digits in the name.
  if (Number.isInteger(count) && count >= 0 && count <= 99_999) return Math.max(count, 1);
  throw new NearfieldError(
    'bad-file',
    `${source.name}: metadata "split.count" is ${count}; the file is corrupt`,
  );
}

/** Which of the `count` files this is, from 0. */
export function splitNumber({ source, metadata }: SplitFile, count: number): number {
  const number = metadata.number('split.no');
  const ownCount = metadata.number('split.count');
  if (ownCount !== count) {
    throw new NearfieldError(
      'bad-file',
      `${source.name} is of a model in ${ownCount} files, the first is of one in ${count}`,
    );
  }
  if (Number.isInteger(number) && number >= 0 && number < count) return number;
  throw new NearfieldError(
    'bad-file',
    `${source.name}: metadata "split.no" is ${number} of ${count}; the file is corrupt`,
  );
}

/** Name of file `number` (from 0), made from that of the given one. */
export function splitFileName(
  given: SplitFile,
  fileName: string | undefined,
  number: number,
  count: number,
): string {
  const own = splitNumber(given, count);
  const { name } = given.source;
  if (fileName === undefined) {
    throw new NearfieldError(
      'bad-argument',
      `${name} is file ${own + 1} of ${count} of a model; give all ${count} in an array`,
    );
  }
  const suffix = splitSuffix(own, count);
  if (fileName.endsWith(suffix)) return fileName.slice(0, -suffix.length) + splitSuffix(number, count);
  throw new NearfieldError(
    'bad-argument',
    `${name} is file ${own + 1} of ${count} of a model, but its name does not end in ${suffix}; rename the files or give all ${count} in an array`,
  );
}

function splitSuffix(number: number, count: number): string {
  return `-${String(number + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`;
}
