/** IQ4_NL: 32 codes of 4 bits into a table of uneven levels, and one scale. */
import { readHalf, writeHalf } from '../base/half.ts';
import type { NumberFormat } from '../format.ts';
import { signedExtreme } from './extremes.ts';
import { iq4Levels, nearestIq4Code } from './iq4-levels.ts';
import { unevenLevels } from './search/levels.ts';
import { encodeByScale } from './search/scale.ts';

// Byte 0: scale d, half. Bytes 2…17: byte 2 + j holds value j in its low and value j + 16 in its high four bits.
// Value: d · iq4Levels[code].
const blockBytes = 18;
const levels = unevenLevels(iq4Levels);

export const iq4_nl: NumberFormat = {
  name: 'iq4_nl',
  ggufType: 20,
  blockValues: 32,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      const first = targetOffset + block * 32;
      const scale = readHalf(source, at);
      for (let j = 0; j < 16; j++) {
        const pair = source[at + 2 + j] ?? 0;
        target[first + j] = scale * (iq4Levels[pair & 15] ?? 0);
        target[first + 16 + j] = scale * (iq4Levels[pair >> 4] ?? 0);
      }
    }
  },

  /**
   * The value of largest magnitude m becomes level −127. Error at most 14/127 · m (a value of the other sign that large;
   * 12/127 · m elsewhere) plus the rounding of the scale, m/2048.
   */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const first = sourceOffset + block * 32;
      const at = targetOffset + block * blockBytes;
      writeBlock(source, first, signedExtreme(source, first, 32) / -127, target, at);
    }
  },

  encodeClosely: encodeByScale(levels, blockBytes, writeBlock),
};

function writeBlock(
  source: Float32Array | Float64Array,
  first: number,
  wanted: number,
  target: Uint8Array,
  at: number,
): void {
  const scale = writeHalf(target, at, wanted);
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let j = 0; j < 16; j++) {
    const low = nearestIq4Code((source[first + j] ?? 0) * inverse);
    const high = nearestIq4Code((source[first + 16 + j] ?? 0) * inverse);
    target[at + 2 + j] = low | (high << 4);
  }
}
