/** Lowers attention: which kernel suits the rows and the device, and the merge of its parts where rows are few. */
import { known } from '../../base/error.ts';
import type { Kernel } from '../../plan.ts';
import { attentionCheck, mergeCheck } from './check/attention-check.ts';
import { arena, type Bound, fewRows, type LaunchList, nodeOf, step } from './launch-list.ts';
import {
  type AttentionShape,
  attentionKernel,
  headsPerGroup,
  mergeKernel,
  partialFloats,
  rowsPerTile,
} from './shader/attention.ts';
import { floatBits, withCheck } from './shader/kernel.ts';

/** Parts that attention is cut in where rows are few: those beyond what a short context has end at once. */
const stretches = 32;
/** Rows seen, for the count of work: only the device knows. */
const guessedContext = 512;

export function lowerAttention(list: LaunchList, kernel: Kernel): void {
  const node = nodeOf(kernel, 'attention');
  const { layer, headCount, keyValueHeadCount, scale, window, softCap } = node.operation;
  const sinks = node.inputs[2];
  const { plan, banks, profile } = list.site;
  const spec = plan.cache.of(layer);
  const { rows } = list;
  const common = {
    ...{ ...spec, headCount, window: window !== undefined, softCap: softCap !== undefined },
    sinks: sinks !== undefined,
  };
  const plain = { shared: profile.parallel, rows: 1, joined: 1, halves: false };
  const merge = withCheck(mergeKernel({ ...common, ...plain }), () => mergeCheck({ ...common, ...plain }));
  const mayCut = profile.parallel && rows <= fewRows && !profile.wrongKernels.has(merge.key);
  const halves = profile.halves && spec.type === 'f16';
  const joined = profile.parallel ? profile.subgroupSize : 1;
  const tiled = { ...plain, rows: rowsPerTile({ ...common, ...plain }, rows) };
  const ways = [tiled, ...(tiled.rows > 1 ? [plain] : [])].flatMap((way) => [
    ...(halves && joined > 1 ? [{ ...way, joined, halves }] : []),
    ...(joined > 1 ? [{ ...way, joined }] : []),
    ...(halves ? [{ ...way, halves }] : []),
    way,
  ]);
  const candidates = [
    ...(mayCut ? ways.map((way) => ({ ...way, split: true })) : []),
    ...[...ways, { ...plain, shared: !plain.shared }].map((way) => ({ ...way, split: false })),
  ].map(({ split, ...way }) => {
    const shape: AttentionShape = { ...common, ...way };
    const check = () => attentionCheck(shape, banks, split);
    return { shape, split, text: withCheck(attentionKernel(shape, banks, split), check) };
  });
  const texts = candidates.map(({ text }) => text);
  const right = list.expectRight(texts, 'attention');
  const { shape, split } = known(candidates[texts.indexOf(right)], 'attention');
  const splits = split ? stretches : 1;
  const out = list.place(kernel.outputs, node.output) / 4;
  const partials: Bound = {
    kind: 'scratch',
    byteLength: rows * headCount * splits * partialFloats(shape) * 4,
  };
  const tiles = headCount / keyValueHeadCount / headsPerGroup(shape);
  list.launch(
    right,
    [
      ...[arena, step, ...(split ? [partials] : [])],
      ...[...(sinks ? [list.vector(sinks)] : []), ...list.bankBounds],
    ],
    {
      ...{ layer: spec.offsetBytes / 4, rows, out, splits, window: window ?? 0 },
      ...{ scale: floatBits(scale), cap: floatBits(softCap ?? 1) },
      x: list.place(kernel.inputs, node.inputs[0]) / 4,
    },
    [keyValueHeadCount * Math.ceil(tiles), Math.ceil(rows / shape.rows), splits],
    rows * headCount * (shape.keySize + shape.valueSize) * guessedContext,
  );
  if (!split) return;
  list.launch(
    merge,
    [arena, partials],
    { rows, out, splits },
    list.threads(rows * headCount * (shape.valueSize / 4)),
  );
}
