/** Blocks whose levels are evenly spaced, for callers that choose the codes themselves. */

export interface Ladder {
  readonly largestCode: number;
  /** Code q of the block at `source[at]` stands for origin + step · q. */
  read(source: Uint8Array, at: number): Rungs;
  /** Replaces the codes of the block, one for each value. */
  writeCodes(target: Uint8Array, at: number, codes: Uint8Array): void;
}

export interface Rungs {
  readonly origin: number;
  readonly step: number;
}

/** Of codes of 4 bits from byte `headBytes` on: 16 bytes for every 32 values, of which byte j holds values j (low) and j + 16. */
export function nibbleLadder(headBytes: number, read: Ladder['read']): Ladder {
  return {
    largestCode: 15,
    read,
    writeCodes(target, at, codes) {
      for (let part = 0; part < codes.length; part += 32) {
        for (let j = 0; j < 16; j++) {
          const pair = (codes[part + j] ?? 0) | ((codes[part + 16 + j] ?? 0) << 4);
          target[at + headBytes + part / 2 + j] = pair;
        }
      }
    },
  };
}
