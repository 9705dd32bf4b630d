/** IEEE binary32, little-endian. */
import type { NumberFormat } from '../format.ts';

export const f32: NumberFormat = {
  name: 'f32',
  ggufType: 0,
  blockValues: 1,
  blockBytes: 4,

  decode(source, sourceOffset, target, targetOffset, blockCount) {
    // A Float32Array needs four-byte alignment; bytes elsewhere are copied first.
    const end = sourceOffset + 4 * blockCount;
    const aligned = (source.byteOffset + sourceOffset) % 4 === 0;
    const bytes = aligned ? source.subarray(sourceOffset, end) : source.slice(sourceOffset, end);
    target.set(new Float32Array(bytes.buffer, bytes.byteOffset, blockCount), targetOffset);
  },

  /** Relative error at most 2^-24, none from a Float32Array. */
  encode(source, sourceOffset, target, targetOffset, blockCount) {
    const values = new Float32Array(source.subarray(sourceOffset, sourceOffset + blockCount));
    target.set(new Uint8Array(values.buffer), targetOffset);
  },
};
