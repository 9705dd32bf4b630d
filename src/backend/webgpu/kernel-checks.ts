/** Runs kernels once on a case whose result is known: what a driver computes wrongly is not used on it. */
import { known } from '../../base/error.ts';
import { mapRead, usage } from './device.ts';
import type { KernelCheck, KernelText } from './shader/kernel.ts';

/** Undefined where the kernel is right; else what is wrong. */
export async function checkKernel(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  layout: GPUBindGroupLayout,
  kernel: KernelText,
  check: KernelCheck,
): Promise<string | undefined> {
  const made: GPUBuffer[] = [];
  const bufferOf = (data: ArrayBufferView<ArrayBuffer>, flags: number): GPUBuffer => {
    const buffer = device.createBuffer({
      size: Math.max(16, Math.ceil(data.byteLength / 16) * 16),
      usage: flags,
      mappedAtCreation: true,
      label: 'check',
    });
    new Uint8Array(buffer.getMappedRange()).set(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
    buffer.unmap();
    made.push(buffer);
    return buffer;
  };
  const words = Uint32Array.from(kernel.params, (name) => known(check.params[name], name));
  const parameters = bufferOf(words, usage.uniform);
  const arena = bufferOf(check.arena, usage.storage | usage.copySource);
  const others = check.buffers.map((data) => bufferOf(data, usage.storage));
  const byteLength = check.expected.length * 4;
  const staging = device.createBuffer({
    size: byteLength,
    usage: usage.mapRead | usage.copyTarget,
    label: 'check',
  });
  made.push(staging);
  try {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout,
        entries: [parameters, arena, ...others].map((buffer, binding) => ({
          binding,
          resource: binding === 0 ? { buffer, size: words.byteLength } : { buffer },
        })),
      }),
    );
    pass.dispatchWorkgroups(...check.groups);
    pass.end();
    encoder.copyBufferToBuffer(arena, check.outAt * 4, staging, 0, byteLength);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(mapRead);
    return problemOf(new Float32Array(staging.getMappedRange()), check);
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}

function problemOf(actual: Float32Array, { expected, bounds }: KernelCheck): string | undefined {
  for (let index = 0; index < expected.length; index++) {
    const off = Math.abs((actual[index] ?? Number.NaN) - (expected[index] ?? 0));
    if (!(off <= (bounds[index] ?? 0))) {
      return `value ${index} is ${actual[index]}, not ${expected[index]}`;
    }
  }
  return undefined;
}
