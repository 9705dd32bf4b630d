/**
 * MXFP4 as gpt-oss has it, as blocks of GGUF. There the nibbles and the exponents of a tensor are apart, `[experts, rows,
 * blocks, 16]` and `[experts, rows, blocks]` bytes, and byte j of a block has values 2j and 2j + 1, the first in its lower
 * half; here a block is the exponent and 16 bytes, of which byte j has values j and j + 16.
 */
import { NearfieldError } from '../../base/error.ts';
import type { Reading } from '../../checkpoint.ts';
import { formatByName } from '../../format.ts';
import { allocateBytes } from '../byte-range.ts';
import { quote } from '../quote.ts';
import { readPart } from '../read-tensor.ts';
import type { StoredTensor } from '../safetensors-header.ts';
import type { Rows } from './rows.ts';
import type { TileShelf } from './tile-shelf.ts';

const mxfp4 = formatByName('mxfp4');
const codeBytes = 16;
const tileRowsBytes = 1 << 20;

/** Every `step`-th row from `first` on. */
export function mxfp4Rows(
  sources: readonly StoredTensor[],
  first: number,
  step: number,
  shelf: TileShelf,
): Rows {
  const [codes, scales] = sources;
  const [experts = 0, allRows = 0, blocks = 0, width = 0] = codes?.shape ?? [];
  const isPair = codes?.dtype === 'U8' && scales?.dtype === 'U8' && width === codeBytes;
  if (!isPair || scales.byteLength * codeBytes !== codes.byteLength || allRows % step !== 0 || blocks === 0) {
    const name = quote((codes ?? scales)?.name ?? '');
    throw new NearfieldError(
      'bad-file',
      `Tensor ${name} and its scales are no MXFP4 of experts; the file is damaged`,
    );
  }
  const rowCount = (experts * allRows) / step;
  const rowBytes = blocks * mxfp4.blockBytes;
  const tileBytes = Math.max(1, Math.floor(tileRowsBytes / rowBytes)) * rowBytes;
  const content = shelf.tiled(rowCount * rowBytes, tileBytes, async (reading, offset, target) => {
    const firstRow = (offset / rowBytes) * step;
    const count = (target.byteLength / rowBytes) * step;
    const [nibbles, exponents] = await Promise.all([
      readRows(codes, reading, firstRow, count, blocks * codeBytes),
      readRows(scales, reading, firstRow, count, blocks),
    ]);
    let to = 0;
    for (let row = first; row < count; row += step) {
      for (let block = row * blocks; block < (row + 1) * blocks; block++) {
        target[to] = exponents[block] ?? 0;
        regroup(nibbles, block * codeBytes, target, to + 1);
        to += mxfp4.blockBytes;
      }
    }
  });
  const shape = [experts, allRows / step, blocks * mxfp4.blockValues];
  return { name: codes.name, format: mxfp4, shape, part: codes.part, byteOffset: codes.byteOffset, content };
}

/** Value j and value j + 16 of a block to byte j. */
function regroup(source: Uint8Array, at: number, target: Uint8Array, to: number): void {
  for (let pair = 0; pair < codeBytes / 2; pair++) {
    const low = source[at + pair] ?? 0;
    const high = source[at + codeBytes / 2 + pair] ?? 0;
    target[to + 2 * pair] = (low & 15) | ((high & 15) << 4);
    target[to + 2 * pair + 1] = (low >> 4) | (high & 0xf0);
  }
}

async function readRows(
  tensor: StoredTensor,
  { parts, signal }: Reading,
  firstRow: number,
  count: number,
  rowBytes: number,
): Promise<Uint8Array> {
  const bytes = allocateBytes(count * rowBytes, 'rows of a tensor');
  // Two places of the file take turns.
  await readPart({ parts, signal, readsOnTo: undefined }, tensor, firstRow * rowBytes, bytes);
  return bytes;
}
