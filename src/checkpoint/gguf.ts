/** The GGUF container: one file, or a split model whose files each have a header. */
import { NearfieldError } from '../base/error.ts';
import type { ByteSource, CheckpointFiles, Container, TensorEntry } from '../checkpoint.ts';
import { stackExperts } from './gguf-experts.ts';
import { type GgufHeader, ggufMagic, readGgufHeader } from './gguf-header.ts';
import { splitCount, splitFileName, splitNumber } from './gguf-split.ts';
import { PartsCheckpoint } from './parts-checkpoint.ts';
import { quote } from './quote.ts';

interface Part extends GgufHeader {
  readonly source: ByteSource;
}

export const ggufContainer: Container = {
  name: 'gguf',
  recognises(head) {
    return (
      head.byteLength >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0, true) === ggufMagic
    );
  },
  async open(files, signal) {
    const parts = await readParts(files, signal);
    const [first] = parts;
    if (!first) throw new NearfieldError('internal', 'A GGUF checkpoint without files');
    const tensors = joinTensors(parts);
    const total =
      parts.length > 1 ? first.metadata.number('split.tensors.count', tensors.length) : tensors.length;
    if (total !== tensors.length) {
      throw new NearfieldError(
        'bad-file',
        `${first.source.name}: its ${parts.length} files hold ${tensors.length} tensors, not ${total}; they are not of one model`,
      );
    }
    const sources = parts.map(({ source }) => source);
    return new PartsCheckpoint({
      container: 'gguf',
      metadata: first.metadata,
      parts: sources,
      tensors: stackExperts(tensors),
      files,
    });
  },
};

/** All files, ordered by the number each bears. */
async function readParts(files: CheckpointFiles, signal: AbortSignal | undefined): Promise<Part[]> {
  const parts: Part[] = [];
  const add = async (source: ByteSource) => {
    parts.push({ source, ...(await readGgufHeader(source, signal)) });
  };
  for (const source of files.given) await add(source);
  const [first] = parts;
  if (!first) return [];
  const count = splitCount(first);
  if (parts.length === 1 && count > 1) {
    const own = splitNumber(first, count);
    for (let number = 0; number < count; number++) {
      if (number !== own)
        await add(await files.sibling(splitFileName(first, files.fileName, number, count), signal));
    }
  }
  return orderParts(parts, count);
}

function orderParts(parts: readonly Part[], count: number): Part[] {
  const name = parts[0]?.source.name;
  if (parts.length !== count) {
    const problem = count === 1 ? 'is a whole model' : `is one of the ${count} files of a model`;
    throw new NearfieldError(
      'bad-argument',
      `${name} ${problem}, but ${parts.length} files were given; give exactly ${count}`,
    );
  }
  if (count === 1) return [...parts];
  const ordered = new Map<number, Part>();
  for (const part of parts) {
    const number = splitNumber(part, count);
    const same = ordered.get(number)?.source.name;
    if (same !== undefined) {
      throw new NearfieldError(
        'bad-argument',
        `${part.source.name} and ${same} are both file ${number + 1} of ${count}`,
      );
    }
    ordered.set(number, part);
  }
  return [...ordered].sort(([a], [b]) => a - b).map(([, part]) => part);
}

function joinTensors(parts: readonly Part[]): TensorEntry[] {
  const tensors = parts.flatMap((part, index) => part.tensors.map((entry) => ({ ...entry, part: index })));
  const names = new Set<string>();
  for (const { name, part } of tensors) {
    if (names.has(name)) {
      const file = parts[part]?.source.name;
      throw new NearfieldError(
        'bad-file',
        `${file}: tensor ${quote(name)} is in another file of the model, too`,
      );
    }
    names.add(name);
  }
  return tensors;
}
