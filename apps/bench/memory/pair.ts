/**
 * A pair of models whose agreement is their own: the target has random weights in a true shape, what its later layers add
 * is scaled down, and the draft is its first layers with the same embedding and head. How often the two agree follows from
 * the scale, token by token, as with a trained pair.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { floatFromHalf, halfFromFloat } from '../../../src/base/half.ts';
import {
  type Checkpoint,
  copyOfMetadata,
  fileSink,
  openCheckpoint,
  type TensorEntry,
  writeGguf,
} from '../../../src/checkpoint.ts';
import { formatByName } from '../../../src/format.ts';
import { type ModelShapeName, modelShapes } from '../model-shapes.ts';
import { writeRandomModel } from '../random-model.ts';

export interface PairRecipe {
  readonly shape: ModelShapeName;
  readonly format: string;
  /** The draft's. */
  readonly firstLayers: number;
  /** Of what the other layers add. */
  readonly laterGain: number;
  /** Of the head: how sure of itself the draft is. */
  readonly headGain: number;
}

export interface ModelPair {
  readonly target: string;
  readonly draft: string;
  /** The target as llama.cpp runs it without a copy. */
  readonly wideTarget: string;
  /** The target with little attention: after words that it has said before it goes on much as before. */
  readonly quotingTarget: string;
}

/** By the name that `--pair` takes; scales chosen for a greedy agreement near 0.8, measured with every run. */
export const pairRecipes = {
  '1.1b': { shape: 'tinyllama-1.1b', format: 'q4_0', firstLayers: 1, laterGain: 0.03, headGain: 4 },
  '134m': { shape: '134m', format: 'q4_0', firstLayers: 1, laterGain: 0.06, headGain: 4 },
} as const satisfies Record<string, PairRecipe>;

const quotingAttention = 0.02;
/** Part of the file names; counts up when the same recipe gives other bytes. */
const generation = 1;

/** Paths of both files, which are made once; `onMake` is told of each. */
export async function modelPair(recipe: PairRecipe, onMake: (path: string) => void): Promise<ModelPair> {
  const { shape: name, format, firstLayers, laterGain, headGain } = recipe;
  const folder = join(tmpdir(), 'nearfield-bench');
  const stem = `${name}-${format}-${firstLayers}-${laterGain}-${headGain}-${generation}`;
  const path = (part: string): string => join(folder, `${stem}-${part}.gguf`);
  const pair = {
    ...{ target: path('target'), draft: path('draft') },
    ...{ wideTarget: path('target-q4_1'), quotingTarget: path('quoting') },
  };
  await mkdir(folder, { recursive: true });
  const layer = (index: number): number => (index < firstLayers ? 1 : laterGain);
  for (const [file, attention] of [
    [pair.target, 1],
    [pair.quotingTarget, quotingAttention],
  ] as const) {
    if (existsSync(file)) continue;
    onMake(file);
    const gains = { layer, attention, head: headGain };
    await writeRandomModel(file, { shape: modelShapes[name], format: formatByName(format), gains });
  }
  if (!existsSync(pair.draft)) {
    onMake(pair.draft);
    await writeFirstLayers(pair.target, pair.draft, firstLayers);
  }
  if (!existsSync(pair.wideTarget)) {
    onMake(pair.wideTarget);
    await writeAsQ41(pair.target, pair.wideTarget);
  }
  return pair;
}

/** The same model without its later layers. */
export async function writeFirstLayers(source: string, target: string, layers: number): Promise<void> {
  const checkpoint = await openCheckpoint(source);
  try {
    const architecture = checkpoint.metadata.string('general.architecture');
    const metadata = new Map(copyOfMetadata(checkpoint.metadata));
    metadata.set(`${architecture}.block_count`, { type: 'uint32', value: layers });
    const kept = [...checkpoint.tensors.values()].filter(({ name }) => layerOf(name) < layers);
    const tensors = kept.map((entry) => {
      const read = (offset: number, length: number) => readPart(checkpoint, entry, offset, length);
      return { name: entry.name, format: entry.format, shape: entry.shape, data: read };
    });
    await writeGguf(await fileSink(target), { metadata, tensors });
  } finally {
    await checkpoint.close();
  }
}

/**
 * The same weights, bit for bit, as blocks of Q4_1: llama.cpp repacks Q4_0 into memory of its own when it loads it, which
 * here would be killed, and leaves these where they are mapped. A block of 32 has two bytes more.
 */
export async function writeAsQ41(source: string, target: string): Promise<void> {
  const checkpoint = await openCheckpoint(source);
  const [from, to] = [formatByName('q4_0'), formatByName('q4_1')];
  try {
    const metadata = new Map(copyOfMetadata(checkpoint.metadata));
    const tensors = [...checkpoint.tensors.values()].map((entry) => {
      const { name, shape, format } = entry;
      const read = async (offset: number, length: number): Promise<Uint8Array> => {
        if (format !== from) return readPart(checkpoint, entry, offset, length);
        const first = Math.floor(offset / to.blockBytes);
        const blocks = Math.ceil((offset + length) / to.blockBytes) - first;
        const bytes = await readPart(checkpoint, entry, first * from.blockBytes, blocks * from.blockBytes);
        const start = offset - first * to.blockBytes;
        return widened(bytes, blocks, from.blockBytes, to.blockBytes).subarray(start, start + length);
      };
      return { name, shape, format: format === from ? to : format, data: read };
    });
    await writeGguf(await fileSink(target), { metadata, tensors });
  } finally {
    await checkpoint.close();
  }
}

/** d, 16 bytes of codes, as d, m, 16 bytes of codes: d · (q − 8) = d · q + m with m = −8 · d, exact in halves. */
function widened(bytes: Uint8Array, blocks: number, fromBytes: number, toBytes: number): Uint8Array {
  const wide = new Uint8Array(blocks * toBytes);
  const [narrowView, wideView] = [new DataView(bytes.buffer, bytes.byteOffset), new DataView(wide.buffer)];
  for (let block = 0; block < blocks; block++) {
    const [at, to] = [block * fromBytes, block * toBytes];
    const scale = narrowView.getUint16(at, true);
    wideView.setUint16(to, scale, true);
    wideView.setUint16(to + 2, halfFromFloat(-8 * floatFromHalf(scale)), true);
    wide.set(bytes.subarray(at + 2, at + fromBytes), to + 4);
  }
  return wide;
}

async function readPart(
  checkpoint: Checkpoint,
  entry: TensorEntry,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await checkpoint.read(entry, offset, bytes);
  return bytes;
}

/** -1 for what belongs to none. */
function layerOf(tensor: string): number {
  return Number(/^blk\.(\d+)\./.exec(tensor)?.[1] ?? -1);
}
