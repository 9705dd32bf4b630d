/**
 * Buffers of the device as regions. Regions that submits bind have a buffer each; those that a step block addresses lie in
 * few large ones (banks), since a kernel sees at most eight. A bank grows by being copied to a larger buffer; addresses
 * stay as they are: the bank's number in the top bits, a word of the bank in the others.
 */
import type { Region, RegionUse } from '../../backend.ts';
import { known, NearfieldError } from '../../base/error.ts';
import { usage } from './device.ts';
import type { DeviceProfile } from './profile.ts';
import { bankBits } from './shader/cache.ts';
import { bindingAlignment } from './weight-layout.ts';

/** A buffer that may be replaced by a larger one. */
export interface Store {
  buffer: GPUBuffer;
}

export interface GpuRegion extends Region {
  readonly store: Store;
  /** Within the store. */
  readonly offset: number;
}

interface Bank extends Store {
  byteLength: number;
  /** Living regions, by offset. */
  readonly regions: GpuRegion[];
}

/** Banks that fit beside arena, step block, partial sums and sinks where a stage sees eight buffers. */
export const mostBanks = 4;
const firstBankBytes = 1 << 22;
/** Addresses of regions that nobody looks for. */
const firstUnaddressed = 7 * 2 ** bankBits;

export const storageUsage = usage.storage | usage.copySource | usage.copyTarget;

const align = (bytes: number): number => Math.max(1, Math.ceil(bytes / bindingAlignment)) * bindingAlignment;

export class GpuMemory {
  #device: GPUDevice;
  readonly #profile: DeviceProfile;
  /** In the order of everything else the device is asked for. */
  readonly #inOrder: (run: () => void) => void;
  readonly #onFailure: (failure: NearfieldError) => void;
  readonly #banks: Bank[] = [];
  readonly #regions = new Set<GpuRegion>();
  #unaddressed = firstUnaddressed;
  #generation = 0;
  #regionBytes = 0;

  constructor(
    device: GPUDevice,
    profile: DeviceProfile,
    inOrder: (run: () => void) => void,
    onFailure: (failure: NearfieldError) => void,
  ) {
    this.#onFailure = onFailure;
    this.#device = device;
    this.#profile = profile;
    this.#inOrder = inOrder;
  }

  get regionBytes(): number {
    return this.#regionBytes;
  }

  /** Changes whenever a bank has another buffer, or there is another bank. */
  get generation(): number {
    return this.#generation;
  }

  get bankCount(): number {
    return this.#banks.length;
  }

  bank(number: number): GPUBuffer {
    return known(this.#banks[number], 'buffer of cache pages').buffer;
  }

  allocate(byteLength: number, purpose: string, use: RegionUse = 'bindings'): GpuRegion {
    if (!(byteLength >= 0)) throw new NearfieldError('out-of-budget', `${byteLength} bytes for ${purpose}`);
    const region =
      use === 'pages' ? this.#allocatePages(byteLength, purpose) : this.#allocateOwn(byteLength, purpose);
    this.#regions.add(region);
    this.#regionBytes += byteLength;
    return region;
  }

  release(region: Region): void {
    const own = this.of(region);
    this.#regions.delete(own);
    this.#regionBytes -= region.byteLength;
    const bank = this.#banks.find((candidate) => candidate === own.store);
    if (!bank) {
      const { buffer } = own.store;
      this.#inOrder(() => buffer.destroy());
      return;
    }
    bank.regions.splice(bank.regions.indexOf(own), 1);
  }

  of(region: Region): GpuRegion {
    const own = region as GpuRegion;
    if (this.#regions.has(own)) return own;
    throw new NearfieldError('internal', 'A region is used that this backend does not hold');
  }

  /** A buffer of zeros. Throws `out-of-budget` where the device allows none so large. */
  createBuffer(byteLength: number, purpose: string): GPUBuffer {
    const size = align(byteLength);
    if (size > this.#profile.bufferBytes) {
      throw new NearfieldError(
        'out-of-budget',
        `The GPU has no buffer of ${byteLength} bytes for ${purpose}; the largest is ${this.#profile.bufferBytes}`,
      );
    }
    this.#device.pushErrorScope('out-of-memory');
    const buffer = this.#device.createBuffer({ size, usage: storageUsage, label: purpose });
    // Told later: whoever waits for the device hears of it then.
    this.#device.popErrorScope().then(
      (refusal) => {
        if (refusal) this.#onRefusal(byteLength, purpose);
      },
      () => {},
    );
    return buffer;
  }

  #onRefusal(byteLength: number, purpose: string): void {
    const message = `The GPU has no room for ${byteLength} bytes of ${purpose}; use a smaller model, a shorter context, or another backend`;
    this.#onFailure(new NearfieldError('out-of-budget', message));
  }

  /** The same regions, all zero, on another device. */
  recreate(device: GPUDevice): void {
    this.#device = device;
    this.#generation++;
    for (const bank of this.#banks) bank.buffer = this.createBuffer(bank.byteLength, 'KV cache');
    const inBanks = new Set<Store>(this.#banks);
    for (const { store, byteLength } of this.#regions) {
      if (!inBanks.has(store)) store.buffer = this.createBuffer(byteLength, store.buffer.label);
    }
  }

  close(): void {
    for (const bank of this.#banks) bank.buffer.destroy();
    this.#banks.length = 0;
    this.#regions.clear();
    this.#regionBytes = 0;
  }

  #allocateOwn(byteLength: number, purpose: string): GpuRegion {
    const buffer = this.createBuffer(byteLength, purpose);
    return { store: { buffer }, offset: 0, byteLength, addressWords: this.#unaddressed++ };
  }

  #allocatePages(byteLength: number, purpose: string): GpuRegion {
    const length = align(byteLength);
    const bankLimit = Math.floor(this.#profile.bindingBytes / bindingAlignment) * bindingAlignment;
    for (const bank of this.#banks) {
      const offset = gapOf(bank, length);
      if (offset + length > bankLimit) continue;
      if (offset + length > bank.byteLength) this.#grow(bank, offset + length, bankLimit, purpose);
      return this.#regionIn(bank, offset, byteLength);
    }
    if (this.#banks.length === mostBanks || length > bankLimit) {
      throw new NearfieldError(
        'out-of-budget',
        `The GPU's kernels see at most ${mostBanks * bankLimit} bytes of cache; use a shorter context or fewer sessions`,
      );
    }
    const size = Math.min(bankLimit, Math.max(firstBankBytes, length));
    const bank: Bank = { buffer: this.createBuffer(size, purpose), byteLength: size, regions: [] };
    this.#banks.push(bank);
    this.#generation++;
    return this.#regionIn(bank, 0, byteLength);
  }

  #regionIn(bank: Bank, offset: number, byteLength: number): GpuRegion {
    const addressWords = this.#banks.indexOf(bank) * 2 ** bankBits + offset / 4;
    const region: GpuRegion = { store: bank, offset, byteLength, addressWords };
    bank.regions.push(region);
    bank.regions.sort((a, b) => a.offset - b.offset);
    this.#inOrder(() => this.#clear(bank.buffer, offset, align(byteLength)));
    return region;
  }

  /** By half at least, so that a cache that grows page by page is copied seldom. */
  #grow(bank: Bank, needed: number, limit: number, purpose: string): void {
    const size = Math.min(limit, Math.max(align(needed), align(bank.byteLength * 1.5)));
    const larger = this.createBuffer(size, purpose);
    const before = bank.byteLength;
    bank.byteLength = size;
    this.#generation++;
    this.#inOrder(() => {
      const encoder = this.#device.createCommandEncoder();
      encoder.copyBufferToBuffer(bank.buffer, 0, larger, 0, before);
      this.#device.queue.submit([encoder.finish()]);
      bank.buffer.destroy();
      bank.buffer = larger;
    });
  }

  #clear(buffer: GPUBuffer, offset: number, byteLength: number): void {
    const encoder = this.#device.createCommandEncoder();
    encoder.clearBuffer(buffer, offset, byteLength);
    this.#device.queue.submit([encoder.finish()]);
  }
}

/** Lowest offset that has so many bytes free, the end of the bank's last region being free for ever. */
function gapOf(bank: Bank, length: number): number {
  let end = 0;
  for (const region of bank.regions) {
    if (region.offset - end >= length) return end;
    end = region.offset + align(region.byteLength);
  }
  return end;
}
