/** Rows of a packed matrix by token or position: the embedding lookup. */
import { claim } from './machine';
import { bfloats, halves, halvesExact } from './simd';
import { positionOf, rowRecord, tokenOf } from './step';

/** Where the parts of a record lie; the host states it from `layout.ts`. */
const SCALE_KIND: usize = 0; // 0 halves, 1 two halves, 2 exponents
const BIAS: usize = 4; // byte offset, or 0 for none
const ZERO: usize = 8;
const RECORD_BYTES: usize = 12;
const TABLE: usize = 16; // address of 16 bytes, or 0
const FURTHER_BLOCKS: usize = 20; // blocks of a record less one
const BLOCK_BYTES: usize = 24; // from the planes of one block to those of the next
const PLANES: usize = 28; // per plane: kind (0 nibble, 1 pair, 2 bit, 3 byte), byte offset; ends with -1

/**
 * Tape entry: [rows, step, inner (blocks, or values for floats), out, size, layout, weights, group bytes, group scales,
 * address of the record description, by position].
 */
export function embed(args: usize): void {
  const rows = load<i32>(args);
  const step = <usize>load<u32>(args, 4);
  const inner = load<i32>(args, 8);
  const size = <usize>load<u32>(args, 16);
  const layout = load<i32>(args, 20);
  const groupBytes = <usize>load<u32>(args, 28);
  const byPosition = load<i32>(args, 40) != 0;
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const record = rowRecord(step, row);
    const index = byPosition ? positionOf(record) : tokenOf(record);
    const group = index >> 4;
    const w = <usize>load<u32>(args, 24) + <usize>group * groupBytes;
    const out = <usize>load<u32>(args, 12) + <usize>row * size * 4;
    if (layout >= 100) {
      floatRow(layout - 100, w, index & 15, inner, out);
    } else {
      const scale = load<f32>(<usize>load<u32>(args, 32) + (<usize>group << 2));
      packedRow(<usize>load<u32>(args, 36), w, index & 15, inner, scale, out);
    }
  }
}

function floatRow(kind: i32, w: usize, lane: i32, size: i32, out: usize): void {
  for (let k: i32 = 0; k < size; k++) {
    if (kind == 0) {
      store<f32>(out, load<f32>(w + (<usize>lane << 2)));
      w += 64;
    } else {
      const bits = v128.load16_splat(w + (<usize>lane << 1));
      store<f32>(out, f32x4.extract_lane(kind == 1 ? halvesExact(bits) : bfloats(bits), 0));
      w += 32;
    }
    out += 4;
  }
}

/** The scale's lift of 2^56 (see `quantize.ts`) is on the activations of a matmul; here the code's factor bears it. */
const LIFT: f32 = 7.2057594037927936e16;

function packedRow(description: usize, w: usize, lane: i32, blocks: i32, groupScale: f32, out: usize): void {
  const kind = load<i32>(description + SCALE_KIND);
  const bias = load<i32>(description + BIAS);
  const zero = load<i32>(description + ZERO);
  const bytes = <usize>load<u32>(description + RECORD_BYTES);
  const further = load<i32>(description + FURTHER_BLOCKS);
  for (let block: i32 = 0; block < blocks; block++) {
    const codes = w + <usize>(block & further) * <usize>load<u32>(description + BLOCK_BYTES);
    for (let half: i32 = 0; half < 2; half++) {
      const scale = partScale(w, kind, half, lane) * LIFT * groupScale;
      const offset = bias ? partScale(w + <usize>bias, kind, half, lane) * LIFT * groupScale : <f32>0;
      for (let k: i32 = half * 16; k < half * 16 + 16; k++) {
        store<f32>(out, <f32>(codeAt(description, codes, lane, k) - zero) * scale + offset);
        out += 4;
      }
    }
    if ((block & further) == further) w += bytes;
  }
}

function partScale(w: usize, kind: i32, half: i32, lane: i32): f32 {
  if (kind == 2) return f32.reinterpret_i32(<i32>load<u8>(w + <usize>lane) << 23);
  const place = kind == 1 ? half * 16 + lane : lane;
  return f32x4.extract_lane(halves(v128.load16_splat(w + (<usize>place << 1)), i32x4.splat(0x8fffe000)), 0);
}

/** Code of value `k` of a block for row `lane` of the group; `w` is the record, moved to the block's planes. */
export function codeAt(description: usize, w: usize, lane: i32, k: i32): i32 {
  const quad = <usize>(lane >> 2);
  const byte = <usize>((lane & 3) * 4 + (k & 3));
  const j = (k & 15) >> 2;
  const high = k >> 4;
  let code = 0;
  let position = 0;
  for (let p = description + PLANES; load<i32>(p) >= 0; p += 8) {
    const plane = w + <usize>load<u32>(p, 4);
    switch (load<i32>(p)) {
      case 0:
        code |= ((<i32>load<u8>(plane + quad * 64 + <usize>j * 16 + byte) >> (high * 4)) & 15) << position;
        position += 4;
        break;
      case 1:
        code |= ((<i32>load<u8>(plane + quad * 32 + <usize>high * 16 + byte) >> (2 * j)) & 3) << position;
        position += 2;
        break;
      case 2:
        code |= ((<i32>load<u8>(plane + quad * 16 + byte) >> (high * 4 + j)) & 1) << position;
        position += 1;
        break;
      default:
        code = <i32>load<u8>(plane + quad * 128 + <usize>(k >> 2) * 16 + byte);
    }
  }
  const table = <usize>load<u32>(description + TABLE);
  return table ? <i32>load<u8>(table + <usize>code) : code;
}
