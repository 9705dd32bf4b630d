/** Opens a device on the host's adapter, with the limits that large models want where the adapter has them. */
import { NearfieldError } from '../../base/error.ts';
import { hostGpu, hostName } from '../../base/platform.ts';
import type { DeviceProfile } from './profile.ts';

/** Values of the GPUBufferUsage and GPUMapMode flags; Node has no such globals. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
export const mapRead = 1;

/** More than a table of pages can address in one buffer; weights beyond it are cut. */
const mostBindingBytes = 2 ** 30;

/** Used where they are there. */
const wantedFeatures = [
  'timestamp-query',
  'subgroups',
  'shader-f16',
] as const satisfies readonly GPUFeatureName[];

export interface DeviceOptions {
  /** The limits that every device has and no features, whatever the adapter's are. */
  readonly defaultLimits?: boolean;
  /** Instead of what the adapter says of itself. */
  readonly parallel?: boolean;
}

export interface OpenDevice {
  readonly device: GPUDevice;
  /** The adapter with its driver, as far as the host tells, and the host. */
  readonly identity: string;
  readonly profile: DeviceProfile;
}

export async function openDevice(options: DeviceOptions = {}): Promise<OpenDevice> {
  const gpu = hostGpu();
  if (!gpu) {
    throw new NearfieldError(
      'unsupported',
      'No WebGPU here: a browser needs it switched on, Node the package webgpu, and on Linux libvulkan1',
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new NearfieldError('unsupported', 'WebGPU finds no adapter on this machine');
  const bindingBytes = Math.min(adapter.limits.maxStorageBufferBindingSize, mostBindingBytes);
  const requiredLimits = options.defaultLimits
    ? {}
    : { maxStorageBufferBindingSize: bindingBytes, maxBufferSize: adapter.limits.maxBufferSize };
  const requiredFeatures = options.defaultLimits
    ? []
    : wantedFeatures.filter((feature) => adapter.features.has(feature));
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  const { limits } = device;
  const { isFallbackAdapter, vendor, architecture, device: model, description } = adapter.info;
  return {
    device,
    identity: [vendor, architecture, model, description, hostName()].join(', '),
    profile: {
      bindingBytes: limits.maxStorageBufferBindingSize,
      bufferBytes: limits.maxBufferSize,
      workgroups: limits.maxComputeWorkgroupsPerDimension,
      parallel: options.parallel ?? isFallbackAdapter !== true,
      emulated: isFallbackAdapter === true,
      subgroupSize: device.features.has('subgroups') ? smallestSubgroup(adapter.info) : 1,
      halves: device.features.has('shader-f16'),
      wrongKernels: new Map(),
    },
  };
}

/** Of a workgroup of 64, a power of two. */
const smallestSubgroup = ({ subgroupMinSize }: { readonly subgroupMinSize?: number }): number =>
  2 ** Math.floor(Math.log2(Math.min(64, Math.max(1, subgroupMinSize ?? 1))));
