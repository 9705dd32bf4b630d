import { findSoftwareGpu } from './test/fixture/software-gpu.ts';
import { openDevice } from './src/backend/webgpu/device.ts';
import { KernelVerdicts } from './src/backend/webgpu/kernel-verdicts.ts';
import { Pipelines } from './src/backend/webgpu/pipelines.ts';
import { withCheck } from './src/backend/webgpu/shader/kernel.ts';
import { productCheck } from './src/backend/webgpu/check/product-check.ts';
import { tileWays } from './src/backend/webgpu/product-ways.ts';
import { inLanes } from './src/backend/webgpu/lower-products.ts';
import { layoutOf } from './src/backend/webgpu/weight-layout.ts';
import { formatByName } from './src/format.ts';
console.log(await findSoftwareGpu());
const { device, profile } = await openDevice({ parallel: true });
const pipelines = new Pipelines(device, profile.wrongKernels, await KernelVerdicts.open(undefined, ''));
const [only, fm, bound] = process.argv.slice(2);
for (const kind of ['packed', 'halves', 'row'] as const) {
  if (only && kind !== only) continue;
  if (kind !== 'row' && !tileWays[kind].isOffered(profile)) { console.log(kind, 'not here'); continue; }
  for (const [fmt, shape] of [
    ['q4_0', { gating: undefined, norm: false, residual: true }], ['q8_0', { gating: undefined, norm: true, residual: false }],
    ['q4_0', { gating: { activation: 'silu' }, norm: true, residual: false }],
    ['q4_k', {}], ['q6_k', {}], ['q5_0', {}], ['q5_1', {}], ['q3_k', {}], ['q2_k', {}], ['iq4_nl', {}], ['iq1_s', {}], ['tq1_0', {}], ['q1_0', {}], ['mxfp4', {}],['nvfp4', {}],['iq3_s', {}],['iq2_s', {}],
  ] as const) {
    if (fm && fm !== fmt) continue;
    const layout = layoutOf(formatByName(fmt));
    const full = { gating: undefined, norm: false, residual: false, ...(shape as any), layouts: (shape as any).gating ? [layout, layout] : [layout] };
    const t = performance.now();
    const bounds = bound ? bound.split(',').map((r: string) => ({ rounding: Number(r) })) : [kind === 'row' ? {} : tileWays[kind].precision];
    for (const b of bounds) {
    const made = kind === 'row' ? inLanes(full, 1, 3, { columns: 2, halves: true }, profile.subgroupSize) : { kernel: tileWays[kind].kernel(full, profile), rows: 64, columns: 64 };
    const kernel = { ...made.kernel, key: made.kernel.key + b };
    try {
      await pipelines.of(withCheck(kernel, () => productCheck(full, { ...made, ...b }))).ready;
      console.log(kind, fmt, JSON.stringify(shape), 'right', b, Math.round(performance.now() - t), kernel.key);
    } catch (e) { console.log(kind, fmt, JSON.stringify(shape), b, String(e).slice(0, 300)); }
    }
  }
}
device.destroy();
