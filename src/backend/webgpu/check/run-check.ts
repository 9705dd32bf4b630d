/** Runs a kernel once on a case whose result is known: what a driver computes wrongly is not used on it. */
import { known } from '../../../base/error.ts';
import { mapRead, usage } from '../device.ts';
import type { KernelCheck, KernelText } from '../shader/kernel.ts';

/** Undefined where the kernel is right; else what is wrong. */
export async function runCheck(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  layout: GPUBindGroupLayout,
  kernel: KernelText,
  check: KernelCheck,
): Promise<string | undefined> {
  for (let one: KernelCheck | undefined = check; one; one = one.next) {
    const problem = await runLaunch(device, pipeline, layout, kernel, one);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

async function runLaunch(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  layout: GPUBindGroupLayout,
  kernel: KernelText,
  check: KernelCheck,
): Promise<string | undefined> {
  const made: GPUBuffer[] = [];
  const label = 'check';
  const bufferOf = (data: ArrayBufferView<ArrayBuffer>, flags: number): GPUBuffer => {
    const buffer = device.createBuffer({
      size: Math.max(16, Math.ceil(data.byteLength / 16) * 16),
      usage: flags,
      mappedAtCreation: true,
      label,
    });
    made.push(buffer);
    new Uint8Array(buffer.getMappedRange()).set(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
    buffer.unmap();
    return buffer;
  };
  try {
    const words = Uint32Array.from(kernel.params, (name) => known(check.params[name], name));
    const parameters = bufferOf(words, usage.uniform);
    const buffers = check.buffers.map((data) => bufferOf(data, usage.storage | usage.copySource));
    const byteLength = check.results.reduce((sum, { count }) => sum + 4 * count, 0);
    const staging = device.createBuffer({
      size: byteLength,
      usage: usage.mapRead | usage.copyTarget,
      label,
    });
    made.push(staging);
    const encoder = device.createCommandEncoder({ label });
    const pass = encoder.beginComputePass({ label });
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout,
        entries: [parameters, ...buffers].map((buffer, binding) => ({
          binding,
          resource: binding === 0 ? { buffer, size: words.byteLength } : { buffer },
        })),
      }),
    );
    pass.dispatchWorkgroups(...check.groups);
    pass.end();
    let end = 0;
    for (const { binding, first, count } of check.results) {
      const source = known(buffers[binding], `binding ${binding} of ${kernel.key}`);
      encoder.copyBufferToBuffer(source, first * 4, staging, end, count * 4);
      end += count * 4;
    }
    device.queue.submit([encoder.finish({ label })]);
    await staging.mapAsync(mapRead);
    return problemOf(staging.getMappedRange(), check);
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}

function problemOf(bytes: ArrayBuffer, { valuesOf, expected, bounds }: KernelCheck): string | undefined {
  const actual = valuesOf ? valuesOf(new Uint32Array(bytes)) : new Float32Array(bytes);
  for (let index = 0; index < expected.length; index++) {
    const off = Math.abs((actual[index] ?? Number.NaN) - (expected[index] ?? 0));
    if (!(off <= (bounds[index] ?? 0))) {
      return `value ${index} is ${actual[index]}, not ${expected[index]}`;
    }
  }
  return undefined;
}
