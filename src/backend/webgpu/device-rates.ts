/** What a device does at best, measured: the marks that speeds of models are held against. */
import type { MachineRates } from '../../backend.ts';
import { usage } from './device.ts';

/** Until so long a stretch of work is timed, it is made longer. */
const leastMs = 30;
const copiedBytes = 32 << 20;
/** Sides of the matrices that are multiplied: the largest of which one product takes no longer. The copied bytes hold them. */
const [leastSide, mostSide] = [256, 2048];
const workgroupSize = 64;
const roundsPerThread = 64;
/** Of four chains of vectors of four: a multiplication and an addition each. */
const operationsPerRound = 2 * 4 * 4;

const emptyShader = `@compute @workgroup_size(${workgroupSize}) fn main() {}`;
const arithmeticShader = `
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(${workgroupSize})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let step = vec4<f32>(f32(id.x) * 1e-9 + 0.5);
  var a = step; var b = step + 1.0; var c = step + 2.0; var d = step + 3.0;
  for (var i = 0u; i < ${roundsPerThread}u; i++) {
    a = fma(a, step, b); b = fma(b, step, c); c = fma(c, step, d); d = fma(d, step, a);
  }
  if (id.x == 0xffffffffu) { result[0] = a + b + c + d; }
}`;

/** The product of two square matrices in tiles of 64 by 64 through workgroup memory, as a first course would have it. */
const productShader = (type: 'f16' | 'f32') => `${type === 'f16' ? 'enable f16;' : ''}
@group(0) @binding(0) var<storage, read_write> c: array<vec4<${type}>>;
@group(0) @binding(1) var<storage, read> a: array<${type}>;
@group(0) @binding(2) var<storage, read> b: array<vec4<${type}>>;
var<workgroup> left: array<array<${type}, 16>, 64>;
var<workgroup> right: array<array<vec4<${type}>, 16>, 16>;
@compute @workgroup_size(16, 16)
fn main(
  @builtin(local_invocation_id) at: vec3<u32>,
  @builtin(workgroup_id) tile: vec3<u32>,
  @builtin(num_workgroups) tiles: vec3<u32>,
) {
  let side = 64u * tiles.x;
  let column = 16u * tile.x + at.x;
  let row = 64u * tile.y + 4u * at.y;
  var s0 = vec4<${type}>(); var s1 = s0; var s2 = s0; var s3 = s0;
  for (var k = 0u; k < side; k += 16u) {
    for (var i = 0u; i < 4u; i++) { left[4u * at.y + i][at.x] = a[(row + i) * side + k + at.x]; }
    right[at.y][at.x] = b[(k + at.y) * side / 4u + column];
    workgroupBarrier();
    for (var i = 0u; i < 16u; i++) {
      let factor = right[i][at.x];
      s0 += left[4u * at.y][i] * factor;
      s1 += left[4u * at.y + 1u][i] * factor;
      s2 += left[4u * at.y + 2u][i] * factor;
      s3 += left[4u * at.y + 3u][i] * factor;
    }
    workgroupBarrier();
  }
  let place = row * side / 4u + column;
  c[place] = s0; c[place + side / 4u] = s1; c[place + side / 2u] = s2; c[place + 3u * side / 4u] = s3;
}`;

export async function measureDevice(device: GPUDevice): Promise<Omit<MachineRates, 'machine'>> {
  const buffers: GPUBuffer[] = [];
  const bufferOf = (size: number): GPUBuffer => {
    const flags = usage.storage | usage.copySource | usage.copyTarget;
    const buffer = device.createBuffer({ size, usage: flags, label: 'rates' });
    buffers.push(buffer);
    return buffer;
  };
  const pipelineOf = (code: string): Promise<GPUComputePipeline> =>
    device.createComputePipelineAsync({
      layout: 'auto',
      compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
    });
  try {
    const bindingOf = (pipeline: GPUComputePipeline, bound: readonly GPUBuffer[]): GPUBindGroup =>
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bound.map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
    const [from, to] = [bufferOf(copiedBytes), bufferOf(copiedBytes)];
    const [empty, arithmetic] = [await pipelineOf(emptyShader), await pipelineOf(arithmeticShader)];
    const bindGroup = bindingOf(arithmetic, [bufferOf(256)]);
    const pass = (encoder: GPUCommandEncoder, work: (pass: GPUComputePassEncoder) => void): void => {
      const open = encoder.beginComputePass();
      work(open);
      open.end();
    };
    const copyMs = await msPerRepeat(device, (encoder, repeats) => {
      for (let i = 0; i < repeats; i++) encoder.copyBufferToBuffer(from, 0, to, 0, copiedBytes);
    });
    const groups = 4096;
    const arithmeticMs = await msPerRepeat(device, (encoder, repeats) =>
      pass(encoder, (open) => {
        open.setPipeline(arithmetic);
        open.setBindGroup(0, bindGroup);
        for (let i = 0; i < repeats; i++) open.dispatchWorkgroups(groups);
      }),
    );
    const emptyMs = await msPerRepeat(device, (encoder, repeats) =>
      pass(encoder, (open) => {
        open.setPipeline(empty);
        for (let i = 0; i < repeats; i++) open.dispatchWorkgroups(1);
      }),
    );
    const type = device.features.has('shader-f16') ? 'f16' : 'f32';
    const product = await pipelineOf(productShader(type));
    const factors = bindingOf(product, [bufferOf(copiedBytes), from, to]);
    const productOf =
      (side: number): Work =>
      (encoder, repeats) =>
        pass(encoder, (open) => {
          open.setPipeline(product);
          open.setBindGroup(0, factors);
          for (let i = 0; i < repeats; i++) open.dispatchWorkgroups(side / 64, side / 64);
        });
    let side = leastSide;
    while (side < mostSide && (await timeMs(device, productOf(side), 1)) < leastMs) side *= 2;
    const productMs = await msPerRepeat(device, productOf(side));
    const operations = groups * workgroupSize * roundsPerThread * operationsPerRound;
    return {
      copyBytesPerSecond: (2 * copiedBytes * 1000) / copyMs,
      operationsPerSecond: (operations * 1000) / arithmeticMs,
      product: { type, operationsPerSecond: (2 * side ** 3 * 1000) / productMs },
      launchUs: emptyMs * 1000,
    };
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

type Work = (encoder: GPUCommandEncoder, repeats: number) => void;

async function timeMs(device: GPUDevice, encode: Work, repeats: number): Promise<number> {
  const encoder = device.createCommandEncoder();
  encode(encoder, repeats);
  const startMs = performance.now();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  return performance.now() - startMs;
}

/** The quickest of three, after as many repeats as take long enough to be timed. */
export async function msPerRepeat(device: GPUDevice, encode: Work, least = leastMs): Promise<number> {
  let repeats = 1;
  while ((await timeMs(device, encode, repeats)) < least && repeats < 1 << 14) repeats *= 2;
  const times: number[] = [];
  for (let i = 0; i < 3; i++) times.push(await timeMs(device, encode, repeats));
  return Math.min(...times) / repeats;
}
