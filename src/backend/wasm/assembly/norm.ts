/** Root mean square norm, written as float32, as 8-bit blocks, or both. */
import { claim } from './machine';
import { quantizeRow } from './quantize';
import { multiplyAdd, sumLanes } from './simd';

/** Tape entry: [rows, size, x, weight, epsilon, out or 0, quantized out or 0, scratch is the thread's]. */
export function rmsNorm(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const size = load<i32>(args, 4);
  const weight = <usize>load<u32>(args, 12);
  const epsilon = load<f32>(args, 16);
  const out = <usize>load<u32>(args, 20);
  const quantized = <usize>load<u32>(args, 24);
  const bytes = <usize>size * 4;
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const x = <usize>load<u32>(args, 8) + <usize>row * bytes;
    const target = out ? out + <usize>row * bytes : scratch;
    normRow(x, weight, target, size, epsilon);
    if (quantized) quantizeRow(target, quantized + <usize>row * <usize>(size >> 5) * 48, size);
  }
}

function normRow(x: usize, weight: usize, out: usize, size: i32, epsilon: f32): void {
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
}
