/** How long the device itself takes for a pass, where it has timestamps: what waits in its queue before is not counted. */
import { mapRead, usage } from './device.ts';

const queryResolve = 512;
/** Two timestamps of 64 bits, in nanoseconds. */
const byteLength = 16;

interface Slot {
  readonly queries: GPUQuerySet;
  readonly resolved: GPUBuffer;
  readonly staging: GPUBuffer;
}

export interface Timing {
  readonly writes: GPUComputePassTimestampWrites;
  /** Behind the pass. */
  resolve(encoder: GPUCommandEncoder): void;
  /** Once the commands are with the device. Undefined where it does not tell. */
  milliseconds(): Promise<number | undefined>;
}

export class PassTimer {
  readonly #device: GPUDevice;
  readonly #free: Slot[] = [];
  readonly #all: Slot[] = [];

  /** Undefined for a device without timestamps. */
  static of(device: GPUDevice): PassTimer | undefined {
    return device.features.has('timestamp-query') ? new PassTimer(device) : undefined;
  }

  private constructor(device: GPUDevice) {
    this.#device = device;
  }

  begin(): Timing {
    const slot = this.#free.pop() ?? this.#make();
    const { queries, resolved, staging } = slot;
    return {
      writes: { querySet: queries, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
      resolve(encoder) {
        encoder.resolveQuerySet(queries, 0, 2, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, staging, 0, byteLength);
      },
      milliseconds: async () => {
        try {
          await staging.mapAsync(mapRead);
          const [began = 0n, ended = 0n] = new BigUint64Array(staging.getMappedRange());
          staging.unmap();
          this.#free.push(slot);
          return ended > began ? Number(ended - began) / 1e6 : undefined;
        } catch {
          // The device is gone, or closed.
          return undefined;
        }
      },
    };
  }

  close(): void {
    for (const { queries, resolved, staging } of this.#all.splice(0)) {
      queries.destroy();
      resolved.destroy();
      staging.destroy();
    }
    this.#free.length = 0;
  }

  #make(): Slot {
    const buffer = (flags: number) =>
      this.#device.createBuffer({ size: byteLength, usage: flags, label: 'timestamps' });
    const slot: Slot = {
      queries: this.#device.createQuerySet({ type: 'timestamp', count: 2 }),
      resolved: buffer(queryResolve | usage.copySource),
      staging: buffer(usage.mapRead | usage.copyTarget),
    };
    this.#all.push(slot);
    return slot;
  }
}
