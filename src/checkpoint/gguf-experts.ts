/**
 * GGUF files of Mixtral from before April 2024 have a tensor for each expert's matrix: `blk.3.ffn_up.5.weight`. Later ones
 * stack the matrices of a layer, `blk.3.ffn_up_exps.weight`; here the former read as the latter.
 */
import { NearfieldError } from '../base/error.ts';
import type { TensorEntry } from '../checkpoint.ts';
import { quote } from './quote.ts';
import { joined } from './transformers/rows.ts';

const expertName = /^(blk\.\d{1,9}\.ffn_(?:gate|up|down))\.(\d{1,9})\.weight$/;

/** A stack stands where its first matrix stood. Throws `bad-file` where one is missing or of another shape than the others. */
export function stackExperts(tensors: readonly TensorEntry[]): TensorEntry[] {
  const stacks = new Map<string, Map<number, TensorEntry>>();
  for (const entry of tensors) {
    const [, block = '', expert] = expertName.exec(entry.name) ?? [];
    if (expert === undefined) continue;
    const matrices = stacks.get(block) ?? new Map<number, TensorEntry>();
    stacks.set(block, matrices.set(Number(expert), entry));
  }
  const twice = tensors.find(({ name }) => stacks.has(name.replace(/_exps\.weight$/, '')));
  if (twice) {
    throw new NearfieldError(
      'bad-file',
      `The matrices of ${quote(twice.name)} are in tensors of their own, too`,
    );
  }
  return tensors.flatMap((entry) => {
    const [, block] = expertName.exec(entry.name) ?? [];
    if (block === undefined) return [entry];
    const matrices = stacks.get(block);
    stacks.delete(block);
    return matrices ? [stack(`${block}_exps.weight`, matrices)] : [];
  });
}

function stack(name: string, matrices: ReadonlyMap<number, TensorEntry>): TensorEntry {
  const ordered = Array.from({ length: matrices.size }, (_, expert) => {
    const entry = matrices.get(expert);
    if (entry) return entry;
    throw new NearfieldError(
      'bad-file',
      `Of the ${matrices.size} matrices of ${quote(name)} that of expert ${expert} is missing: the file is incomplete`,
    );
  });
  const [first] = ordered;
  if (!first) throw new NearfieldError('internal', 'A stack of no matrices');
  for (const { name: other, format, shape } of ordered) {
    const isAlike = format === first.format && shape.join() === first.shape.join();
    if (isAlike) continue;
    throw new NearfieldError(
      'bad-file',
      `Tensor ${quote(other)} is ${format.name} of shape [${shape.join(', ')}], but ${quote(first.name)} is ${first.format.name} of shape [${first.shape.join(', ')}]`,
    );
  }
  const byteLength = ordered.reduce((sum, entry) => sum + entry.byteLength, 0);
  return { ...joined(ordered, [ordered.length, ...first.shape]), name, byteLength };
}
