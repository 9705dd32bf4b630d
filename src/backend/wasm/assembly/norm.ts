/** Norms of rows or of parts of rows, written as float32, as 8-bit blocks, or both. */
import { claim } from './machine';
import { quantizeRow } from './quantize';
import { multiplyAdd, sumLanes } from './simd';

/**
 * Tape entry: [rows, parts of a row, size of a part, x, epsilon, less the mean, weight, its bytes from part to part,
 * bias or 0, its bytes from part to part, out or 0, quantized out or 0]; scratch is the thread's.
 */
export function norm(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const parts = load<i32>(args, 4);
  const size = load<i32>(args, 8);
  const epsilon = load<f32>(args, 16);
  const centers = load<i32>(args, 20) != 0;
  const bias = <usize>load<u32>(args, 32);
  const out = <usize>load<u32>(args, 40);
  const quantized = <usize>load<u32>(args, 44);
  const bytes = <usize>size * 4;
  const rowBytes = <usize>parts * bytes;
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const x = <usize>load<u32>(args, 12) + <usize>row * rowBytes;
    const target = out ? out + <usize>row * rowBytes : scratch;
    for (let part: usize = 0; part < <usize>parts; part++) {
      const weight = <usize>load<u32>(args, 24) + part * <usize>load<u32>(args, 28);
      const offset = bias ? bias + part * <usize>load<u32>(args, 36) : 0;
      if (centers) layerNormPart(x + part * bytes, weight, offset, target + part * bytes, size, epsilon);
      else rmsNormPart(x + part * bytes, weight, offset, target + part * bytes, size, epsilon);
    }
    if (quantized) {
      const width = parts * size;
      quantizeRow(target, quantized + <usize>row * <usize>(width >> 5) * 48, width);
    }
  }
}

function rmsNormPart(x: usize, weight: usize, bias: usize, out: usize, size: i32, epsilon: f32): void {
  const end = <usize>size * 4;
  const vectors = end & ~63;
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let i: usize = 0;
  for (; i < vectors; i += 64) {
    const p = v128.load(x + i);
    const q = v128.load(x + i, 16);
    const r = v128.load(x + i, 32);
    const s = v128.load(x + i, 48);
    a = multiplyAdd(p, p, a);
    b = multiplyAdd(q, q, b);
    c = multiplyAdd(r, r, c);
    d = multiplyAdd(s, s, d);
  }
  let sum = sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
  for (; i < end; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
  const scale = <f32>1 / Mathf.sqrt(sum / <f32>size + epsilon);
  const factor = f32x4.splat(scale);
  i = 0;
  for (; i + 16 <= end; i += 16) {
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), factor), v128.load(weight + i)));
  }
  for (; i < end; i += 4) store<f32>(out + i, load<f32>(x + i) * scale * load<f32>(weight + i));
  if (bias) addBias(out, bias, end);
}

/** Two passes: differences from the mean are written to `out` first, and their squares summed there. */
function layerNormPart(x: usize, weight: usize, bias: usize, out: usize, size: i32, epsilon: f32): void {
  const end = <usize>size * 4;
  const vectors = end & ~15;
  let total = f32x4.splat(0);
  let i: usize = 0;
  for (; i < vectors; i += 16) total = f32x4.add(total, v128.load(x + i));
  let sum = sumLanes(total);
  for (; i < end; i += 4) sum += load<f32>(x + i);
  const mean = sum / <f32>size;
  const means = f32x4.splat(mean);
  let squares = f32x4.splat(0);
  for (i = 0; i < vectors; i += 16) {
    const difference = f32x4.sub(v128.load(x + i), means);
    v128.store(out + i, difference);
    squares = multiplyAdd(difference, difference, squares);
  }
  let square = sumLanes(squares);
  for (; i < end; i += 4) {
    const difference = load<f32>(x + i) - mean;
    store<f32>(out + i, difference);
    square += difference * difference;
  }
  const scale = <f32>1 / Mathf.sqrt(square / <f32>size + epsilon);
  const factor = f32x4.splat(scale);
  for (i = 0; i < vectors; i += 16) {
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(out + i), factor), v128.load(weight + i)));
  }
  for (; i < end; i += 4) store<f32>(out + i, load<f32>(out + i) * scale * load<f32>(weight + i));
  if (bias) addBias(out, bias, end);
}

function addBias(out: usize, bias: usize, end: usize): void {
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) v128.store(out + i, f32x4.add(v128.load(out + i), v128.load(bias + i)));
  for (; i < end; i += 4) store<f32>(out + i, load<f32>(out + i) + load<f32>(bias + i));
}
