/**
 * What kernels that draw compute with: logits by their bits, and whole numbers of 64 bits. No driver may round those in
 * another way or another order, so a bound on the error of a draw holds everywhere.
 */

/** Bits of a part of a weight; sums of as many as a vocabulary has ids fit 32 bits. */
export const limbBits = 13;

/** 2^-f for f in [0, 1): a least-squares fit at Chebyshev nodes, within 2^-22 of it in float32. */
const powers = [
  0.9999999981441443, -0.6931470125708107, 0.24022396357405706, -0.0554894044214188, 0.00957697366024856,
  -0.0012730164125287335, 0.00010849894720201497,
];

const polynomial = powers.reduceRight(
  (inner, power) => (inner ? `(${inner}) * f + ${power}` : `${power}`),
  '',
);

/** `logitBits(i)` must be there: the bits of a logit, in which no zero is negative. */
export const drawNumbers = `
const banned = 0xff800000u;

/** Larger for the larger logit. */
fn keyOf(bits: u32) -> u32 { return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u); }

fn bitsOf(key: u32) -> u32 { return select(~key, key & 0x7fffffffu, (key & 0x80000000u) != 0u); }

/** No number, or +Infinity. */
fn isBad(bits: u32) -> bool { return (bits & 0x7fffffffu) >= 0x7f800000u && bits != banned; }

/** In units of 2^-22, rounded; from 512 on the largest there is. */
fn fixed(bits: u32) -> i32 {
  let exponent = i32((bits >> 23u) & 255u) - 127;
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  var magnitude = 0u;
  if (exponent > 8) { magnitude = 0x7fffffffu; }
  else if (exponent >= 1) { magnitude = mantissa << u32(exponent - 1); }
  else if (exponent >= -23) {
    let shift = u32(1 - exponent);
    magnitude = (mantissa + (1u << (shift - 1u))) >> shift;
  }
  return select(i32(magnitude), -i32(magnitude), (bits & 0x80000000u) != 0u);
}

/** How far a logit is below another. */
fn distance(greatest: u32, bits: u32) -> u32 { return bitcast<u32>(fixed(greatest)) - bitcast<u32>(fixed(bits)); }

/** 64-bit numbers: the lower word first. */
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn minus64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less64(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }

fn product64(a: u32, b: u32) -> vec2<u32> {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let low = al * bl;
  let middle = ah * bl + (low >> 16u);
  let cross = al * bh + (middle & 0xffffu);
  return vec2<u32>((cross << 16u) | (low & 0xffffu), ah * bh + (middle >> 16u) + (cross >> 16u));
}

/** So many 2^-32 of a number. */
fn share64(a: vec2<u32>, share: u32) -> vec2<u32> {
  return add64(product64(a.y, share), vec2<u32>(product64(a.x, share).y, 0u));
}

fn shiftRight64(a: vec2<u32>, count: u32) -> vec2<u32> {
  if (count == 0u) { return a; }
  if (count >= 32u) { return vec2<u32>(a.y >> min(count - 32u, 31u), 0u); }
  return vec2<u32>((a.x >> count) | (a.y << (32u - count)), a.y >> count);
}

/** The exponent y of a weight 2^-y, in 2^-24, at most 2^32 - 1. */
fn exponentOf(away: u32, steepness: vec2<u32>) -> u32 {
  let product = shiftRight64(product64(away, steepness.x), steepness.y);
  return select(product.x, 0xffffffffu, product.y != 0u);
}

/** In units of 2^-39: nothing from 2^-41 on. */
fn weightAt(away: u32, steepness: vec2<u32>) -> vec2<u32> {
  let y = exponentOf(away, steepness);
  if ((y >> 24u) > 40u) { return vec2<u32>(0u, 0u); }
  let f = f32(y & 0xffffffu) * 0x1p-24f;
  let power = u32((${polynomial}) * 0x1p31f);
  return shiftRight64(vec2<u32>(power << 8u, power >> 24u), y >> 24u);
}
`;
