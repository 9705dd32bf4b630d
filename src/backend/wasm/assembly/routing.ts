/** The choice of experts, and the sum of what they gave. */
import { claim } from './machine';
import { exponential, multiplyAdd, sumLanes } from './simd';

/** In a thread's scratch: scores of all experts, what is compared, and the largest of it. */
const COMPARED: usize = 4 * 4096;
const LARGEST: usize = 2 * COMPARED;

const LEAST_SUM: f32 = 6.103515625e-5; // 2^-14

/**
 * Tape entry: [rows, experts, chosen, gating (0 softmax, 1 sigmoid, 2 softmax of the chosen), normalize, scale, logits,
 * bias or 0, out].
 */
export function route(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const experts = load<i32>(args, 4);
  const chosen = load<i32>(args, 8);
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const logits = <usize>load<u32>(args, 24) + (<usize>(row * experts) << 2);
    const out = <usize>load<u32>(args, 32) + (<usize>(row * chosen) << 3);
    routeRow(args, logits, out, scratch);
  }
}

function routeRow(args: usize, logits: usize, out: usize, scratch: usize): void {
  const experts = load<i32>(args, 4);
  const chosen = load<i32>(args, 8);
  const gating = load<i32>(args, 12);
  const bias = <usize>load<u32>(args, 28);
  // To a multiple of four values, the last ones without weight.
  v128.store(scratch + (<usize>(experts & ~3) << 2), f32x4.splat(-Infinity));
  memory.copy(scratch, logits, <usize>experts << 2);
  if (gating == 0) softmax(scratch, experts);
  if (gating == 1) {
    for (let i: usize = 0; i < <usize>experts << 2; i += 16) v128.store(scratch + i, sigmoid(v128.load(scratch + i)));
  }
  let compared = logits;
  if (bias) {
    compared = scratch + COMPARED;
    for (let i: usize = 0; i < <usize>experts << 2; i += 4) {
      store<f32>(compared + i, load<f32>(scratch + i) + load<f32>(bias + i));
    }
  }
  choose(compared, experts, chosen, out, scratch + LARGEST);
  const weights = out + (<usize>chosen << 2);
  for (let i: usize = 0; i < <usize>chosen << 2; i += 4) {
    store<f32>(weights + i, load<f32>(scratch + (<usize>load<f32>(out + i) << 2)));
  }
  if (gating == 2) {
    v128.store(scratch + (<usize>(chosen & ~3) << 2), f32x4.splat(-Infinity));
    memory.copy(scratch, weights, <usize>chosen << 2);
    softmax(scratch, chosen);
    memory.copy(weights, scratch, <usize>chosen << 2);
  }
  finish(weights, chosen, load<i32>(args, 16) != 0, load<f32>(args, 20));
}

/** In place, over a multiple of four values, those beyond `count` being -Infinity. */
function softmax(x: usize, count: i32): void {
  const end = <usize>count << 2;
  let largest = v128.load(x);
  for (let i: usize = 16; i < end; i += 16) largest = f32x4.pmax(largest, v128.load(x + i));
  const left = max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1));
  const most = f32x4.splat(max(left, max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3))));
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const power = exponential(f32x4.sub(v128.load(x + i), most));
    sum = f32x4.add(sum, power);
    v128.store(x + i, power);
  }
  const total = f32x4.splat(sumLanes(sum));
  for (let i: usize = 0; i < end; i += 16) v128.store(x + i, f32x4.div(v128.load(x + i), total));
}

@inline
function sigmoid(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exponential(f32x4.neg(x))));
}

/** Numbers stand before what is none, so that there are always `chosen` different experts. */
@inline
function isLarger(a: f32, b: f32): bool {
  return a > b || (b != b && a == a);
}

/** Numbers of the largest values to `out`, as float32, in one pass over them; `kept` holds the values beside. */
function choose(values: usize, experts: i32, chosen: i32, out: usize, kept: usize): void {
  let count = 0;
  for (let expert = 0; expert < experts; expert++) {
    const value = load<f32>(values + (<usize>expert << 2));
    if (count == chosen) {
      if (!isLarger(value, load<f32>(kept + (<usize>(count - 1) << 2)))) continue;
      count--;
    }
    let place = <usize>count << 2;
    for (; place > 0 && isLarger(value, load<f32>(kept + place - 4)); place -= 4) {
      store<f32>(kept + place, load<f32>(kept + place - 4));
      store<f32>(out + place, load<f32>(out + place - 4));
    }
    store<f32>(kept + place, value);
    store<f32>(out + place, <f32>expert);
    count++;
  }
}

function finish(weights: usize, chosen: i32, normalize: bool, scale: f32): void {
  const end = <usize>chosen << 2;
  let sum: f32 = 0;
  for (let i: usize = 0; i < end; i += 4) sum += load<f32>(weights + i);
  const divisor = normalize ? max(sum, LEAST_SUM) : <f32>1;
  for (let i: usize = 0; i < end; i += 4) store<f32>(weights + i, (load<f32>(weights + i) / divisor) * scale);
}

/** Columns of a unit. */
const SHARE: i32 = 1024;

/** Tape entry: [rows, width, chosen, x, routes, residual or 0, out]: Σ weight · part of x, added over the residual. */
export function expertSum(args: usize): void {
  const width = load<i32>(args, 4);
  const shares = (width + SHARE - 1) / SHARE;
  const units = load<i32>(args) * shares;
  for (let unit = claim(units); unit < units; unit = claim(units)) {
    const start = (unit % shares) * SHARE;
    sumRow(args, unit / shares, start, min(SHARE, width - start));
  }
}

function sumRow(args: usize, row: i32, start: i32, count: i32): void {
  const bytes = <usize>load<u32>(args, 4) << 2;
  const chosen = <usize>load<u32>(args, 8);
  const x = <usize>load<u32>(args, 12) + <usize>row * chosen * bytes + (<usize>start << 2);
  const weights = <usize>load<u32>(args, 16) + ((<usize>row * 2 + 1) * chosen << 2);
  const residual = <usize>load<u32>(args, 20);
  const offset = <usize>row * bytes + (<usize>start << 2);
  const out = <usize>load<u32>(args, 24) + offset;
  const end = <usize>count << 2;
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) {
    let sum = f32x4.splat(0);
    for (let used: usize = 0; used < chosen; used++) {
      sum = multiplyAdd(v128.load32_splat(weights + (used << 2)), v128.load(x + used * bytes + i), sum);
    }
    if (residual) sum = f32x4.add(sum, v128.load(residual + offset + i));
    v128.store(out + i, sum);
  }
  for (; i < end; i += 4) {
    let sum: f32 = 0;
    for (let used: usize = 0; used < chosen; used++) {
      sum += load<f32>(weights + (used << 2)) * load<f32>(x + used * bytes + i);
    }
    if (residual) sum += load<f32>(residual + offset + i);
    store<f32>(out + i, sum);
  }
}
