/** What a device is like, as far as the choice of kernels follows from it. */

import type { RowWay, TileWay } from './product-ways.ts';
import type { MatrixUnit } from './shader/matrix-product.ts';

export interface DeviceProfile {
  /** Largest range of a buffer that a shader may see. */
  readonly bindingBytes: number;
  readonly bufferBytes: number;
  readonly workgroups: number;
  /**
   * Threads of a workgroup run at the same time, and meeting costs little. Not so where the adapter is a program: there a
   * thread that works alone is ten times as fast.
   */
  readonly parallel: boolean;
  /** Threads that can look at each other's values at least, a power of two; 1 where there are no subgroups. */
  readonly subgroupSize: number;
  /** Halves are a type of the device's language. */
  readonly halves: boolean;
  /** Its language has dot products of four bytes. */
  readonly packedDots: boolean;
  /** What its units for matrices multiply, where it has some. */
  readonly matrixUnit: MatrixUnit | undefined;
  /** Memory of a workgroup. */
  readonly workgroupBytes: number;
  /** Quickest first, as far as it was measured; the last are those that every device has. */
  tileWays: readonly TileWay[];
  rowWays: readonly RowWay[];
  /** Keys of kernels that were found wrong here, with what is wrong; grows as kernels are first used. */
  readonly wrongKernels: Map<string, string>;
  /** The adapter says that it is a program. */
  readonly emulated: boolean;
}
