/** NVFP4: 64 floats of 4 bits (E2M1), and for every 16 a scale of 8 bits (E4M3 without its sign). */
import type { NumberFormat } from '../format.ts';
import { e2m1Levels } from './mxfp4.ts';

// Bytes 0…3: scales. Bytes 4…35: eight for each sub-block of 16 values; byte j of these holds value j in its low and value j + 8
// in its high four bits. Value: scale/2 · level, where a level is twice the E2M1 number of the code.
const blockBytes = 36;

/** Half of the E4M3 number of the low seven bits; the bits of NaN stand for 0, as in llama.cpp. */
const halfScales = Float64Array.from({ length: 256 }, (_, bits) => {
  const [exponent, mantissa] = [(bits >> 3) & 15, bits & 7];
  if (bits === 0x7f) return 0;
  return exponent === 0 ? mantissa * 2 ** -10 : (8 + mantissa) * 2 ** (exponent - 11);
});

export const nvfp4: NumberFormat = {
  name: 'nvfp4',
  ggufType: 40,
  blockValues: 64,
  blockBytes,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    for (let block = 0; block < blockCount; block++) {
      const at = sourceOffset + block * blockBytes;
      for (let subBlock = 0; subBlock < 4; subBlock++) {
        const scale = halfScales[source[at + subBlock] ?? 0] ?? 0;
        const first = targetOffset + block * 64 + subBlock * 16;
        for (let j = 0; j < 8; j++) {
          const pair = source[at + 4 + subBlock * 8 + j] ?? 0;
          target[first + j] = scale * (e2m1Levels[pair & 15] ?? 0);
          target[first + 8 + j] = scale * (e2m1Levels[pair >> 4] ?? 0);
        }
      }
    }
  },
};
