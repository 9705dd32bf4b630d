/** Opens a device on the host's adapter, with the limits that large models want where the adapter has them. */
import { NearfieldError } from '../../base/error.ts';
import { hostGpu, hostName } from '../../base/platform.ts';
import { type ProductWays, plainRows, plainTiles } from './product-ways.ts';
import type { DeviceProfile } from './profile.ts';
import { dividesTile, type MatrixUnit } from './shader/matrix-product.ts';

/** Values of the GPUBufferUsage and GPUMapMode flags; Node has no such globals. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
export const mapRead = 1;

/** More than a table of pages can address in one buffer; weights beyond it are cut. */
const mostBindingBytes = 2 ** 30;

/** Tiles of kernels for many rows want so much. */
const mostWorkgroupBytes = 32768;

/** Dawn's name of units for matrices; not in the standard yet. */
const matrixFeature = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

/** Used where they are there. */
const wantedFeatures: readonly GPUFeatureName[] = [
  'timestamp-query',
  'subgroups',
  'shader-f16',
  matrixFeature,
];

/** What an adapter of Dawn's says of its units for matrices. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

export interface DeviceOptions {
  /** The limits that every device has and no features, whatever the adapter's are. */
  readonly defaultLimits?: boolean;
  /** Instead of what the adapter says of itself. */
  readonly parallel?: boolean;
  /** Instead of those that are measured. */
  readonly ways?: ProductWays;
  /** Ways are measured also where threads do not run side by side, or the adapter is a program. */
  readonly measures?: boolean;
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
    : {
        maxStorageBufferBindingSize: bindingBytes,
        maxBufferSize: adapter.limits.maxBufferSize,
        maxComputeWorkgroupStorageSize: Math.min(
          adapter.limits.maxComputeWorkgroupStorageSize,
          mostWorkgroupBytes,
        ),
      };
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
      packedDots: gpu.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') ?? false,
      matrixUnit: device.features.has(matrixFeature) ? matrixUnitOf(adapter.info) : undefined,
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      tileWays: plainTiles,
      rowWays: plainRows,
      wrongKernels: new Map(),
    },
  };
}

/** Of a workgroup of 64, a power of two. */
const smallestSubgroup = ({ subgroupMinSize }: { readonly subgroupMinSize?: number }): number =>
  2 ** Math.floor(Math.log2(Math.min(64, Math.max(1, subgroupMinSize ?? 1))));

/** Halves before floats; sums in float32 in either case. A subgroup is taken to be as large as the adapter's largest. */
function matrixUnitOf(info: GPUAdapterInfo): MatrixUnit | undefined {
  const { subgroupMatrixConfigs = [], subgroupMaxSize } = info as GPUAdapterInfo & {
    readonly subgroupMatrixConfigs?: Iterable<MatrixConfig>;
    readonly subgroupMaxSize?: number;
  };
  const units = [...subgroupMatrixConfigs].filter(({ resultComponentType }) => resultComponentType === 'f32');
  for (const component of ['f16', 'f32'] as const) {
    for (const { componentType, M: rows, N: columns, K: inner } of units) {
      const unit = { component, rows, columns, inner, subgroupSize: subgroupMaxSize ?? 0 };
      if (componentType === component && dividesTile(unit)) return unit;
    }
  }
  return undefined;
}
