/** 16-bit floats: IEEE binary16 ("half") and bfloat16, to and from float64. Bits are integers 0…65535. */

/**
 * A 16-bit float splits into a prefix (sign and exponent) and a mantissa: value = start[prefix] + mantissa · unit[prefix],
 * exact in float64. Subnormals share the unit of the smallest normals and start at ±0.
 */
interface PrefixTable {
  readonly start: Float64Array;
  readonly unit: Float64Array;
}

function prefixTable(exponentBits: number, mantissaBits: number): PrefixTable {
  const exponentCount = 1 << exponentBits;
  const bias = exponentCount / 2 - 1;
  const start = new Float64Array(2 * exponentCount);
  const unit = new Float64Array(2 * exponentCount);
  for (let exponent = 0; exponent < exponentCount; exponent++) {
    const step = 2 ** (Math.max(exponent, 1) - bias - mantissaBits);
    const first = exponent === 0 ? 0 : step * 2 ** mantissaBits;
    start[exponent] = first;
    unit[exponent] = step;
    start[exponent + exponentCount] = -first;
    unit[exponent + exponentCount] = -step;
  }
  return { start, unit };
}

const half = prefixTable(5, 10);
const bfloat = prefixTable(8, 7);

/** Every half, including subnormals, infinities and NaN, is exact in float64 and in float32. */
export function floatFromHalf(bits: number): number {
  if ((bits & 0x7c00) === 0x7c00) return specialValue(bits & 0x8000, bits & 0x3ff);
  const prefix = bits >>> 10;
  return (half.start[prefix] ?? 0) + (bits & 0x3ff) * (half.unit[prefix] ?? 0);
}

/** Every bfloat16 is exact in float64 and in float32. */
export function floatFromBfloat(bits: number): number {
  if ((bits & 0x7f80) === 0x7f80) return specialValue(bits & 0x8000, bits & 0x7f);
  const prefix = bits >>> 7;
  return (bfloat.start[prefix] ?? 0) + (bits & 0x7f) * (bfloat.unit[prefix] ?? 0);
}

function specialValue(sign: number, mantissa: number): number {
  if (mantissa !== 0) return Number.NaN;
  return sign === 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
}

/** Halfway between the largest finite half and the next power of two: from here on a value rounds to infinity. */
const halfOverflow = 65520;
/** As `halfOverflow`, for bfloat16. */
const bfloatOverflow = (2 - 2 ** -8) * 2 ** 127;

/** Nearest half, ties to even; overflow gives an infinity, NaN the quiet NaN 0x7e00. */
export function halfFromFloat(value: number): number {
  const sign = signBit(value);
  const magnitude = Math.abs(value);
  if (!(magnitude < halfOverflow)) return Number.isNaN(value) ? 0x7e00 : sign | 0x7c00;
  // Times 2^14 the normals are 1 … 2^30, so that clz32 finds their exponent; subnormals count with the lowest.
  const exponent = Math.max(0, 31 - Math.clz32(magnitude * 16384));
  // The leading one of a normal's mantissa adds one to the exponent field, as does a carry out of rounding.
  return sign | ((exponent << 10) + roundHalfEven(magnitude / (half.unit[exponent + 1] ?? 1)));
}

/** Nearest bfloat16, ties to even; overflow gives an infinity, NaN the quiet NaN 0x7fc0. */
export function bfloatFromFloat(value: number): number {
  const sign = signBit(value);
  const magnitude = Math.abs(value);
  if (!(magnitude < bfloatOverflow)) return Number.isNaN(value) ? 0x7fc0 : sign | 0x7f80;
  // A logarithm that errs beside a power of two does no harm: both exponents then give the same bits.
  const exponent = Math.max(0, Math.floor(Math.log2(magnitude)) + 126);
  return sign | ((exponent << 7) + roundHalfEven(magnitude / (bfloat.unit[exponent + 1] ?? 1)));
}

/** Little-endian half at a byte offset of any alignment. */
export function readHalf(bytes: Uint8Array, offset: number): number {
  return floatFromHalf((bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8));
}

/** Writes the nearest half, little-endian, and returns the value it stands for. */
export function writeHalf(bytes: Uint8Array, offset: number, value: number): number {
  const bits = halfFromFloat(value);
  bytes[offset] = bits & 0xff;
  bytes[offset + 1] = bits >>> 8;
  return floatFromHalf(bits);
}

function signBit(value: number): number {
  return value < 0 || Object.is(value, -0) ? 0x8000 : 0;
}

/** For 0 ≤ value < 2^52: adding 2^52 leaves no fraction bits, and float64 addition rounds ties to even. */
function roundHalfEven(value: number): number {
  return value + 0x10000000000000 - 0x10000000000000;
}
