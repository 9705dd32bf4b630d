/**
 * Cache pages: how one head's keys and values of 128 rows lie, by cache type.
 *
 *   f32, f16   keys in four blocks of 32 rows, each transposed, [4, key size, 32]; then the values, [128, value size]
 *   q8_0       keys in units of 16 rows × 32 values: 16 scales (float32), 16 sums of codes, negated (int16), then codes
 *              [8, 16 rows, 4 values]; unit after unit along the key, then the next 16 rows. Values: scales
 *              [value size / 32, 128] (float32), then codes in units of 16 values × 128 rows, [value size / 16, 32, 16
 *              values, 4 rows]. A value is scale · code, codes are signed bytes. Four bytes side by side meet in one dot
 *              product.
 */
import { copy, halvesOf } from './simd';

export const F32: i32 = 0;
export const F16: i32 = 1;
export const Q8: i32 = 2;

/** Bytes of a page per value of a key, and of a value: 128 rows. */
@inline
function keyColumnBytes(type: i32): usize {
  return type == F32 ? 512 : type == F16 ? 256 : 152;
}

@inline
function valueColumnBytes(type: i32): usize {
  return type == F32 ? 512 : type == F16 ? 256 : 144;
}

/** Bytes of a unit of keys, and where its sums and codes begin. */
const UNIT: usize = 608;
export const UNIT_SUMS: usize = 64;
const UNIT_CODES: usize = 96;

/** Bytes of one head in a page of a layer. */
export function headBytes(type: i32, keySize: i32, valueSize: i32): usize {
  return <usize>keySize * keyColumnBytes(type) + <usize>valueSize * valueColumnBytes(type);
}

/** Where a head's values begin. */
export function valuesOffset(type: i32, keySize: i32): usize {
  return <usize>keySize * keyColumnBytes(type);
}

/** Byte offset of a row's first key value within its head; further ones follow at 32 rows' distance. */
@inline
function keyPlace<T>(slot: usize, keySize: i32): usize {
  return ((slot >> 5) * <usize>keySize * 32 + (slot & 31)) * sizeof<T>();
}

@inline
function q8KeyPlace(slot: usize, keySize: i32): usize {
  return (slot >> 4) * <usize>(keySize >> 5) * UNIT;
}

/** Byte offset of a row's first code in a unit of 16 values. */
@inline
function q8ValuePlace(slot: usize): usize {
  return (slot >> 2) * 64 + (slot & 3);
}

/** Writes a row's key and value (float32) of one head into slot 0…127 of a page. */
export function writeHead(type: i32, head: usize, slot: usize, key: usize, value: usize, keySize: i32, valueSize: i32): void {
  const values = head + valuesOffset(type, keySize);
  if (type == F32) {
    let target = head + keyPlace<f32>(slot, keySize);
    for (let i = 0; i < keySize; i++) {
      store<f32>(target, load<f32>(key + (<usize>i << 2)));
      target += 128;
    }
    copy(values + slot * <usize>valueSize * 4, value, <usize>valueSize * 4);
  } else if (type == F16) {
    const target = head + keyPlace<u16>(slot, keySize);
    for (let i: usize = 0; i < <usize>keySize; i += 4) {
      const bits = halvesOf(v128.load(key + (i << 2)));
      v128.store16_lane(target + (i << 6), bits, 0);
      v128.store16_lane(target + (i << 6), bits, 1, 64);
      v128.store16_lane(target + (i << 6), bits, 2, 128);
      v128.store16_lane(target + (i << 6), bits, 3, 192);
    }
    const row = values + slot * <usize>valueSize * 2;
    for (let i: usize = 0; i < <usize>valueSize; i += 4) v128.store64_lane(row + (i << 1), halvesOf(v128.load(value + (i << 2))), 0);
  } else {
    writeQ8Key(head + q8KeyPlace(slot, keySize), slot & 15, key, keySize);
    writeQ8Value(values, slot, value, valueSize);
  }
}

/** Scale of 32 values, whose codes are at most 127. */
function scaleOf(x: usize): f32 {
  let largest = f32x4.abs(v128.load(x));
  for (let i: usize = 16; i < 128; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(x + i)));
  const most = max(
    max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
    max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  );
  // Smaller ones vanish beside anything else; it keeps the inverse finite. NaN stays NaN.
  return most > 1e-30 ? most / 127 : most * 0;
}

@inline
function codesOf(x: usize, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), inverse)));
}

function writeQ8Key(unit: usize, row: usize, key: usize, keySize: i32): void {
  for (let block = 0; block < keySize >> 5; block++) {
    const scale = scaleOf(key);
    const inverse = f32x4.splat(scale > 0 ? <f32>1 / scale : 0);
    let sums = i32x4.splat(0);
    store<f32>(unit + (row << 2), scale);
    for (let g: usize = 0; g < 8; g++) {
      const codes = codesOf(key + (g << 4), inverse);
      const halves = i16x8.narrow_i32x4_s(codes, codes);
      store<i32>(unit + UNIT_CODES + (g << 6) + (row << 2), i32x4.extract_lane(i8x16.narrow_i16x8_s(halves, halves), 0));
      sums = i32x4.sub(sums, codes);
    }
    const sum =
      i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
    store<i16>(unit + UNIT_SUMS + (row << 1), <i16>sum);
    unit += UNIT;
    key += 128;
  }
}

function writeQ8Value(values: usize, slot: usize, value: usize, valueSize: i32): void {
  let target = values + <usize>(valueSize >> 5) * 512 + q8ValuePlace(slot);
  for (let block = 0; block < valueSize >> 5; block++) {
    const scale = scaleOf(value);
    const inverse = f32x4.splat(scale > 0 ? <f32>1 / scale : 0);
    store<f32>(values + (<usize>block << 9) + (slot << 2), scale);
    for (let half = 0; half < 2; half++) {
      for (let i: usize = 0; i < 16; i += 4) {
        const codes = codesOf(value + (i << 2), inverse);
        store<u8>(target + (i << 2), <u8>i32x4.extract_lane(codes, 0));
        store<u8>(target + (i << 2), <u8>i32x4.extract_lane(codes, 1), 4);
        store<u8>(target + (i << 2), <u8>i32x4.extract_lane(codes, 2), 8);
        store<u8>(target + (i << 2), <u8>i32x4.extract_lane(codes, 3), 12);
      }
      value += 64;
      target += 2048;
    }
  }
}

/** Copies a row of one head from page to page. */
export function moveHead(
  type: i32, from: usize, fromSlot: usize, to: usize, toSlot: usize, keySize: i32, valueSize: i32,
): void {
  const values = valuesOffset(type, keySize);
  if (type == F32) {
    moveFloats<f32>(from, fromSlot, to, toSlot, values, keySize, valueSize);
  } else if (type == F16) {
    moveFloats<u16>(from, fromSlot, to, toSlot, values, keySize, valueSize);
  } else {
    const fromRow = fromSlot & 15;
    const toRow = toSlot & 15;
    let source = from + q8KeyPlace(fromSlot, keySize);
    let target = to + q8KeyPlace(toSlot, keySize);
    for (let block = 0; block < keySize >> 5; block++) {
      store<f32>(target + (toRow << 2), load<f32>(source + (fromRow << 2)));
      store<i16>(target + (toRow << 1), load<i16>(source + (fromRow << 1), UNIT_SUMS), UNIT_SUMS);
      for (let g: usize = 0; g < 512; g += 64) {
        store<u32>(target + g + (toRow << 2), load<u32>(source + g + (fromRow << 2), UNIT_CODES), UNIT_CODES);
      }
      source += UNIT;
      target += UNIT;
    }
    source = from + values;
    target = to + values;
    for (let block: usize = 0; block < <usize>(valueSize >> 5); block++) {
      store<f32>(target + (block << 9) + (toSlot << 2), load<f32>(source + (block << 9) + (fromSlot << 2)));
    }
    source += <usize>(valueSize >> 5) * 512 + q8ValuePlace(fromSlot);
    target += <usize>(valueSize >> 5) * 512 + q8ValuePlace(toSlot);
    for (let i: usize = 0; i < <usize>valueSize; i++) {
      const place = (i >> 4) * 2048 + (i & 15) * 4;
      store<u8>(target + place, load<u8>(source + place));
    }
  }
}

function moveFloats<T>(
  from: usize, fromSlot: usize, to: usize, toSlot: usize, values: usize, keySize: i32, valueSize: i32,
): void {
  const source = from + keyPlace<T>(fromSlot, keySize);
  const target = to + keyPlace<T>(toSlot, keySize);
  for (let i: usize = 0; i < <usize>keySize; i++) {
    store<T>(target + i * 32 * sizeof<T>(), load<T>(source + i * 32 * sizeof<T>()));
  }
  const bytes = <usize>valueSize * sizeof<T>();
  memory.copy(to + values + toSlot * bytes, from + values + fromSlot * bytes, bytes);
}
