/** Sums, activations, factors and caps, row selection and arg-max. */
import { activated, gated } from './activation';
import { claim } from './machine';
import { hyperbolicTangent } from './simd';
import { selectedRow } from './step';

/** Values an elementwise unit covers. */
const SHARE: i32 = 8192;

/** Tape entry: [values, a, b, out]. */
export function add(args: usize): void {
  const count = load<i32>(args);
  const units = (count + SHARE - 1) / SHARE;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const start = unit * SHARE;
    const length = <usize>(min(count, start + SHARE) - start) * 4;
    const a = <usize>load<u32>(args, 4) + (<usize>start << 2);
    const b = <usize>load<u32>(args, 8) + (<usize>start << 2);
    const out = <usize>load<u32>(args, 12) + (<usize>start << 2);
    let i: usize = 0;
    for (; i + 16 <= length; i += 16) v128.store(out + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
    for (; i < length; i += 4) store<f32>(out + i, load<f32>(a + i) + load<f32>(b + i));
  }
}

/**
 * Tape entry: [values, function, gate, up, out, alpha, limit]. Here and below whole vectors are taken: buffers begin at
 * multiples of 64 bytes, so that one may be written to its last vector's end.
 */
export function gatedValues(args: usize): void {
  const count = load<i32>(args);
  const kind = load<i32>(args, 4);
  const alpha = load<f32>(args, 20);
  const limit = load<f32>(args, 24);
  const units = (count + SHARE - 1) / SHARE;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const start = unit * SHARE;
    const length = <usize>(min(count, start + SHARE) - start) * 4;
    const gate = <usize>load<u32>(args, 8) + (<usize>start << 2);
    const up = <usize>load<u32>(args, 12) + (<usize>start << 2);
    const out = <usize>load<u32>(args, 16) + (<usize>start << 2);
    for (let i: usize = 0; i < length; i += 16) {
      v128.store(out + i, gated(kind, v128.load(gate + i), v128.load(up + i), alpha, limit));
    }
  }
}

/** Tape entry: [values, function, x, out]. */
export function activate(args: usize): void {
  const count = load<i32>(args);
  const kind = load<i32>(args, 4);
  const units = (count + SHARE - 1) / SHARE;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const start = unit * SHARE;
    const length = <usize>(min(count, start + SHARE) - start) * 4;
    const x = <usize>load<u32>(args, 8) + (<usize>start << 2);
    const out = <usize>load<u32>(args, 12) + (<usize>start << 2);
    for (let i: usize = 0; i < length; i += 16) v128.store(out + i, activated(kind, v128.load(x + i)));
  }
}

/** Tape entry: [values, factor, x, out]. */
export function scale(args: usize): void {
  const count = load<i32>(args);
  const factor = f32x4.splat(load<f32>(args, 4));
  const units = (count + SHARE - 1) / SHARE;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const start = unit * SHARE;
    const length = <usize>(min(count, start + SHARE) - start) * 4;
    const x = <usize>load<u32>(args, 8) + (<usize>start << 2);
    const out = <usize>load<u32>(args, 12) + (<usize>start << 2);
    for (let i: usize = 0; i < length; i += 16) v128.store(out + i, f32x4.mul(v128.load(x + i), factor));
  }
}

/** Tape entry: [values, limit, x, out]. */
export function softcap(args: usize): void {
  const count = load<i32>(args);
  const limit = f32x4.splat(load<f32>(args, 4));
  const units = (count + SHARE - 1) / SHARE;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const start = unit * SHARE;
    const length = <usize>(min(count, start + SHARE) - start) * 4;
    const x = <usize>load<u32>(args, 8) + (<usize>start << 2);
    const out = <usize>load<u32>(args, 12) + (<usize>start << 2);
    for (let i: usize = 0; i < length; i += 16) v128.store(out + i, capped(v128.load(x + i), limit));
  }
}

/** limit · tanh(x / limit) */
@inline
export function capped(x: v128, limit: v128): v128 {
  return f32x4.mul(limit, hyperbolicTangent(f32x4.div(x, limit)));
}

/** Tape entry: [selected rows, row bytes, step, x, out]. */
export function selectRows(args: usize): void {
  const count = load<i32>(args);
  const bytes = <usize>load<u32>(args, 4);
  const step = <usize>load<u32>(args, 8);
  const x = <usize>load<u32>(args, 12);
  const out = <usize>load<u32>(args, 16);
  for (let i = claim(count); i < count; i = claim(count)) {
    memory.copy(out + <usize>i * bytes, x + <usize>selectedRow(step, i) * bytes, bytes);
  }
}

/** Tape entry: [rows, size, x, out]: index (as float32 up to 2^24) and value of each row's largest entry, lowest index first. */
export function argmax(args: usize): void {
  const rows = load<i32>(args);
  const size = load<i32>(args, 4);
  const out = <usize>load<u32>(args, 12);
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const x = <usize>load<u32>(args, 8) + <usize>row * <usize>size * 4;
    let best = load<f32>(x);
    let place = 0;
    let i = 0;
    // Skip vectors without a larger entry; look at the lanes of those that have one.
    for (; i + 4 <= size; i += 4) {
      const v = v128.load(x + (<usize>i << 2));
      if (!v128.any_true(f32x4.gt(v, f32x4.splat(best)))) continue;
      for (let lane = 0; lane < 4; lane++) {
        const value = load<f32>(x + (<usize>(i + lane) << 2));
        if (value > best) {
          best = value;
          place = i + lane;
        }
      }
    }
    for (; i < size; i++) {
      const value = load<f32>(x + (<usize>i << 2));
      if (value > best) {
        best = value;
        place = i;
      }
    }
    store<f32>(out + (<usize>row << 3), <f32>place);
    store<f32>(out + (<usize>row << 3), best, 4);
  }
}
