/** What a device does at best, measured: the marks that speeds of models are held against. */
import type { MachineRates } from '../../backend.ts';
import { usage } from './device.ts';

/** Until so long a stretch of work is timed, it is made longer. */
const leastMs = 30;
const copiedBytes = 32 << 20;
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

export async function measureDevice(device: GPUDevice): Promise<MachineRates> {
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
    const [from, to] = [bufferOf(copiedBytes), bufferOf(copiedBytes)];
    const [empty, arithmetic] = [await pipelineOf(emptyShader), await pipelineOf(arithmeticShader)];
    const bindGroup = device.createBindGroup({
      layout: arithmetic.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: bufferOf(256) } }],
    });
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
    const operations = groups * workgroupSize * roundsPerThread * operationsPerRound;
    return {
      copyBytesPerSecond: (2 * copiedBytes * 1000) / copyMs,
      operationsPerSecond: (operations * 1000) / arithmeticMs,
      launchUs: emptyMs * 1000,
    };
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

/** The quickest of three, after as many repeats as take long enough to be timed. */
export async function msPerRepeat(
  device: GPUDevice,
  encode: (encoder: GPUCommandEncoder, repeats: number) => void,
  least = leastMs,
): Promise<number> {
  const timed = async (repeats: number): Promise<number> => {
    const encoder = device.createCommandEncoder();
    encode(encoder, repeats);
    const startMs = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - startMs;
  };
  let repeats = 1;
  while ((await timed(repeats)) < least && repeats < 1 << 14) repeats *= 2;
  const times = [await timed(repeats), await timed(repeats), await timed(repeats)];
  return Math.min(...times) / repeats;
}
