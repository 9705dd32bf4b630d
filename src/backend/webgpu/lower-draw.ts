/** Lowers a draw to launches. */
import type { Plan } from '../../plan.ts';
import { evaluateDim } from '../../tensor.ts';
import type { DrawShape } from '../draw-block.ts';
import {
  adjustCheck,
  firstCheck,
  greatestCheck,
  pickCheck,
  selectCheck,
  weighCheck,
} from './check/draw-checks.ts';
import { arena, type Bound, type Launch, step } from './launch-list.ts';
import type { DeviceProfile } from './profile.ts';
import {
  adjustKernel,
  firstKernel,
  greatestKernel,
  pickKernel,
  selectKernel,
  weighKernel,
} from './shader/draw.ts';
import { type DrawGrid, drawScratchBytes } from './shader/draw-parts.ts';
import { type KernelCheck, type KernelText, withCheck } from './shader/kernel.ts';

/** Logits of a stripe at least, and stripes at most: every workgroup reads what all have left. */
const [leastStripe, mostStripes] = [2048, 16];
/** Digits of a key. */
const digits = 4;
const measures = { nothing: 0, ids: 1, weights: 2 } as const;

type Step = readonly [(grid: DrawGrid) => KernelText, (grid: DrawGrid) => KernelCheck];

/** For a step of one row. */
export function drawLaunches(plan: Plan, shape: DrawShape, profile: DeviceProfile): readonly Launch[] {
  const width = evaluateDim(plan.logits.value.type.shape[1] ?? 0, [1, 1]);
  const groups = Math.min(mostStripes, Math.ceil(width / leastStripe));
  const grid: DrawGrid = { groups, threads: profile.parallel ? 256 : 64 };
  const scratch: Bound = { kind: 'scratch', byteLength: drawScratchBytes(grid) };
  const common = {
    ...{ width, stripe: Math.ceil(width / groups), adjusted: shape.isAdjusted ? 1 : 0 },
    x: evaluateDim(plan.logits.offset, [1, 1]) / 4,
  };
  const launches: Launch[] = [];
  const launch = (
    [kernelOf, checkOf]: Step,
    count: number,
    more: Readonly<Record<string, number>> = {},
  ): void => {
    const params = { ...common, ...more };
    const kernel = withCheck(kernelOf(grid), () => checkOf(grid));
    launches.push({ kernel, bound: [arena, step, scratch], params, groups: [count, 1, 1], work: width });
  };
  if (shape.isAdjusted) launch([adjustKernel, adjustCheck], 1);
  launch([greatestKernel, greatestCheck], groups);
  if (shape.isGreedy) {
    launch([firstKernel, firstCheck], 1);
    return launches;
  }
  let before = { launch: 0, before: measures.nothing as number, digitBefore: 0 };
  const select = (measure: number): void => {
    for (let digit = 0; digit < digits; digit++) {
      launch([selectKernel, selectCheck], groups, { ...before, measure, digit });
      before = { launch: before.launch + 1, before: measure, digitBefore: digit };
    }
  };
  if (shape.hasTopK) select(measures.ids);
  if (shape.hasTopP) select(measures.weights);
  launch([weighKernel, weighCheck], groups, before);
  launch([pickKernel, pickCheck], 1, { launch: before.launch, hasTopP: shape.hasTopP ? 1 : 0 });
  return launches;
}
