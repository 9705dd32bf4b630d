/** Times the ways to multiply on a device, once for each adapter; what is found is kept beside the verdicts on kernels. */
import { formatByName } from '../../format.ts';
import { placeParams } from './check/packed-part.ts';
import { usage } from './device.ts';
import { msPerRepeat } from './device-rates.ts';
import type { Compiled, Pipelines } from './pipelines.ts';
import { type ChosenProduct, checkedTile, inLanes } from './product-choice.ts';
import {
  type ProductWays,
  plainRows,
  plainTiles,
  type RowWay,
  tileWayNames,
  tileWays,
} from './product-ways.ts';
import type { DeviceProfile } from './profile.ts';
import { orderOf, type ProductShape } from './shader/product.ts';
import { blockValuesOf, layoutOf, partLayout } from './weight-layout.ts';

/** The layout that most models come in. */
const layout = layoutOf(formatByName('q4_0'));
const shape: ProductShape = { layouts: [layout], gating: undefined, norm: false, residual: false };

interface Trial {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  /** Weights that take turns: together more than what a device keeps near its processors. */
  readonly weights: number;
}

interface Trials {
  readonly chunk: Trial;
  readonly oneRow: Trial;
}

const trials: Trials = {
  chunk: { rows: 256, inner: 2048, columns: 2048, weights: 1 },
  oneRow: { rows: 1, inner: 4096, columns: 8192, weights: 4 },
};
const trialsOfPrograms: Trials = {
  chunk: { rows: 64, inner: 256, columns: 256, weights: 1 },
  oneRow: { rows: 1, inner: 1024, columns: 256, weights: 1 },
};
const leastMs = 4;
/** A way must be quicker than the plain one by so much, since timings vary. */
const margin = 0.95;

/**
 * Whoever opens the device waits for this. Ways whose kernels take longer to compile are not tried, except for the plain ones:
 * what the others are held against, and what models need in any case.
 */
const mostCompileMs = 5000;

const rowWays: readonly RowWay[] = [
  ...[4, 2, 1].map((columns) => ({ columns, halves: false })),
  ...[4, 2].map((columns) => ({ columns, halves: true })),
];

export async function measureWays(
  device: GPUDevice,
  profile: DeviceProfile,
  pipelines: Pipelines,
): Promise<ProductWays> {
  const { chunk, oneRow } = profile.emulated ? trialsOfPrograms : trials;
  const blocks = oneRow.inner / blockValuesOf(layout);
  const tiles = tileWayNames
    .filter((way) => tileWays[way].isOffered(profile) && tileWays[way].takes(shape, profile))
    .map((way) => ({ way, product: checkedTile(shape, way, profile) }));
  const rows = rowWays
    .filter(({ halves }) => !halves || profile.halves)
    .map((way) => ({ way, product: inLanes(shape, 1, blocks, way, profile.subgroupSize) }));
  const compiled = await compileAll(pipelines, [tiles, rows]);
  const time = async <Way>(trial: Trial, candidates: readonly Candidate<Way>[]): Promise<Timed<Way>[]> => {
    const timed: Timed<Way>[] = [];
    for (const { way, product } of candidates) {
      const kernel = compiled.get(product);
      timed.push({
        way,
        ms: kernel ? await timeProduct(device, kernel, trial, product) : Number.POSITIVE_INFINITY,
      });
    }
    return timed;
  };
  return {
    tiles: quickest(await time(chunk, tiles), plainTiles),
    rows: quickest(await time(oneRow, rows), plainRows),
  };
}

interface Candidate<Way> {
  readonly way: Way;
  readonly product: ChosenProduct;
}

/** All at the same time, the first of each list being plain; without those that are refused, wrong or not ready in time. */
async function compileAll(
  pipelines: Pipelines,
  lists: readonly (readonly Candidate<unknown>[])[],
): Promise<ReadonlyMap<ChosenProduct, Compiled>> {
  const ready = new Map<ChosenProduct, Compiled>();
  const compile = async ({ product }: Candidate<unknown>): Promise<void> => {
    const compiled = pipelines.of(product.kernel);
    await compiled.ready;
    ready.set(product, compiled);
  };
  const plain = Promise.allSettled(lists.flatMap(([first]) => (first ? compile(first) : [])));
  const others = Promise.allSettled(lists.flatMap(([, ...rest]) => rest.map(compile)));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise((resolve) => {
    timer = setTimeout(resolve, mostCompileMs);
  });
  await Promise.all([plain, Promise.race([others, deadline])]);
  clearTimeout(timer);
  return new Map(ready);
}

interface Timed<Way> {
  readonly way: Way;
  /** Infinite where the device does not compute it, or wrongly. */
  readonly ms: number;
}

/** The plain way is the first that was timed, and stands last. */
export function quickest<Way>(timed: readonly Timed<Way>[], plain: readonly Way[]): readonly Way[] {
  const [first] = timed;
  if (!first) return plain;
  const best = timed.reduce((a, b) => (b.ms < a.ms ? b : a));
  return best.ms < margin * first.ms ? [best.way, ...plain] : plain;
}

async function timeProduct(
  device: GPUDevice,
  { pipeline, layout: groupLayout }: Compiled,
  { rows, inner, columns, weights }: Trial,
  { kernel, rows: tileRows, columns: tileColumns }: ChosenProduct,
): Promise<number> {
  if (!pipeline) return Number.POSITIVE_INFINITY;
  const place = partLayout(layout, columns, inner);
  const groups = Math.ceil(columns / tileColumns);
  const tiles = Math.ceil(rows / tileRows);
  const params: Readonly<Record<string, number>> = {
    ...{ rows, k4: inner / 4, x: 0, epsilon: 0, residual: 0 },
    ...orderOf(tiles, groups, false),
    ...{ w0n: columns, w0first: 0, w0end: groups, w0biased: 0, w0out: rows * inner, w0width: columns },
    ...placeParams(place, 'w0'),
  };
  const buffers: GPUBuffer[] = [];
  // Zeros: no time depends on what is multiplied.
  const bufferOf = (size: number, flags: number): GPUBuffer => {
    const buffer = device.createBuffer({ size, usage: flags | usage.copyTarget, label: 'trial' });
    buffers.push(buffer);
    return buffer;
  };
  try {
    const words = Uint32Array.from(kernel.params, (name) => params[name] ?? 0);
    const parameters = bufferOf(words.byteLength, usage.uniform);
    device.queue.writeBuffer(parameters, 0, words);
    const arena = bufferOf(rows * (inner + columns) * 4, usage.storage);
    const bias = bufferOf(16, usage.storage);
    const bindGroups = Array.from({ length: weights }, () => {
      const weight = bufferOf(place.byteLength, usage.storage);
      const bound = [parameters, arena, weight, bias];
      return device.createBindGroup({
        layout: groupLayout,
        entries: bound.map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
    });
    return await msPerRepeat(
      device,
      (encoder, repeats) => {
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        for (let i = 0; i < repeats; i++) {
          pass.setBindGroup(0, bindGroups[i % bindGroups.length] ?? null);
          pass.dispatchWorkgroups(groups * tiles);
        }
        pass.end();
      },
      leastMs,
    );
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}
