/** Regions of the reference backend: array buffers under made-up addresses, no two living ones alike. */
import type { Region } from '../../backend.ts';
import { NearfieldError } from '../../base/error.ts';

export interface ReferenceRegion extends Region {
  readonly buffer: ArrayBuffer;
}

/** A place inside a region. */
export interface Place {
  readonly buffer: ArrayBuffer;
  readonly offsetBytes: number;
}

/** Addresses fit 32 bits with a sign: a step block holds them as such. */
const addressLimit = 2 ** 31;

export class Regions {
  readonly #byAddress = new Map<number, ReferenceRegion>();
  #heldBytes = 0;

  get heldBytes(): number {
    return this.#heldBytes;
  }

  allocate(byteLength: number, purpose: string): ReferenceRegion {
    const refused = (cause?: unknown) =>
      new NearfieldError('out-of-budget', `The host refused ${byteLength} bytes for ${purpose}`, { cause });
    // Even addresses, so that a float64 view of any region is aligned.
    const words = Math.ceil(byteLength / 8) * 2;
    const addressWords = this.#gapOf(words);
    if (!(byteLength >= 0) || addressWords + words > addressLimit) throw refused();
    let buffer: ArrayBuffer;
    try {
      buffer = new ArrayBuffer(words * 4);
    } catch (cause) {
      throw refused(cause);
    }
    const region: ReferenceRegion = { addressWords, byteLength, buffer };
    this.#byAddress.set(addressWords, region);
    this.#heldBytes += byteLength;
    return region;
  }

  release(region: Region): void {
    this.#heldBytes -= this.of(region).byteLength;
    this.#byAddress.delete(region.addressWords);
  }

  /** The living region behind a handle; throws `internal` for one that was released or is another backend's. */
  of(region: Region): ReferenceRegion {
    const known = this.#byAddress.get(region.addressWords);
    if (!known || known !== region) {
      throw new NearfieldError('internal', 'A region is used that this backend does not hold');
    }
    return known;
  }

  /** The bytes `[offsetBytes, offsetBytes + byteLength)` of a region; throws `internal` beyond its end. */
  bytes(region: Region, offsetBytes: number, byteLength: number): Uint8Array {
    const { buffer } = this.of(region);
    if (!(offsetBytes >= 0 && offsetBytes + byteLength <= region.byteLength)) {
      throw new NearfieldError(
        'internal',
        `Bytes ${offsetBytes}…${offsetBytes + byteLength} lie outside a region of ${region.byteLength}`,
      );
    }
    return new Uint8Array(buffer, offsetBytes, byteLength);
  }

  /** What lies at an address: the beginning of a region, or a place inside one. */
  at(addressWords: number): Place {
    const region = this.#byAddress.get(addressWords) ?? this.#around(addressWords);
    if (!region) throw new NearfieldError('internal', `No region holds the address ${addressWords}`);
    return { buffer: region.buffer, offsetBytes: (addressWords - region.addressWords) * 4 };
  }

  #around(addressWords: number): ReferenceRegion | undefined {
    for (const region of this.#byAddress.values()) {
      const words = addressWords - region.addressWords;
      if (words > 0 && words * 4 < region.byteLength) return region;
    }
    return undefined;
  }

  /** Where `words` fit between living regions. Address 0 is nobody's, and a region of no bytes has an address too. */
  #gapOf(words: number): number {
    const living = [...this.#byAddress.values()].sort((a, b) => a.addressWords - b.addressWords);
    let address = 2;
    for (const region of living) {
      if (region.addressWords - address >= Math.max(2, words)) break;
      address = region.addressWords + Math.max(2, region.buffer.byteLength / 4);
    }
    return address;
  }

  clear(): void {
    this.#byAddress.clear();
    this.#heldBytes = 0;
  }
}
