/** Rotary embedding and the cache write. Angles are computed once a step, in float64, for every layer to use. */
import { headBytes, moveHead, writeHead } from './cache';
import { claim } from './machine';
import { blockOf, cacheRowOf, positionOf, rowRecord, sequenceOf, sequenceRecord } from './step';

/** Tape entry: [rows, step, pairs, frequencies (float64), magnitude, out]: per row and pair a cosine and a sine. */
export function ropeTable(args: usize): void {
  const rows = load<i32>(args);
  const step = <usize>load<u32>(args, 4);
  const pairs = load<i32>(args, 8);
  const frequencies = <usize>load<u32>(args, 12);
  const magnitude = <f64>load<f32>(args, 16);
  const out = <usize>load<u32>(args, 20);
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const position = <f64>positionOf(rowRecord(step, row));
    let target = out + <usize>row * <usize>pairs * 8;
    for (let i = 0; i < pairs; i++) {
      const angle = position * load<f64>(frequencies + (<usize>i << 3));
      store<f32>(target, <f32>(NativeMath.cos(angle) * magnitude));
      store<f32>(target, <f32>(NativeMath.sin(angle) * magnitude), 4);
      target += 8;
    }
  }
}

function rotateHead(x: usize, out: usize, table: usize, pairs: i32, split: bool, size: i32): void {
  // Byte offsets of the first pair's values and from one pair to the next.
  const stride: usize = split ? 4 : 8;
  let first: usize = 0;
  let second: usize = split ? <usize>pairs * 4 : 4;
  for (let i = 0; i < pairs; i++) {
    const a = load<f32>(x + first);
    const b = load<f32>(x + second);
    const cosine = load<f32>(table);
    const sine = load<f32>(table, 4);
    store<f32>(out + first, a * cosine - b * sine);
    store<f32>(out + second, a * sine + b * cosine);
    table += 8;
    first += stride;
    second += stride;
  }
  const rotated = <usize>pairs * 8;
  if (out != x && <usize>size * 4 > rotated) memory.copy(out + rotated, x + rotated, <usize>size * 4 - rotated);
}

/** Tape entry: [rows, heads, head size, pairs, split, table, x, out]. */
export function rope(args: usize): void {
  const rows = load<i32>(args);
  const heads = load<i32>(args, 4);
  const size = load<i32>(args, 8);
  const pairs = load<i32>(args, 12);
  const split = load<i32>(args, 16) != 0;
  const rowBytes = <usize>heads * <usize>size * 4;
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const table = <usize>load<u32>(args, 20) + <usize>row * <usize>pairs * 8;
    const x = <usize>load<u32>(args, 24) + <usize>row * rowBytes;
    const out = <usize>load<u32>(args, 28) + <usize>row * rowBytes;
    for (let head = 0; head < heads; head++) {
      const offset = <usize>head * <usize>size * 4;
      rotateHead(x + offset, out + offset, table, pairs, split, size);
    }
  }
}

/** Tape entry: [rows, step, layer offset in the page, heads, key size, value size, cache type, k, v]. */
export function cacheWrite(args: usize): void {
  const rows = load<i32>(args);
  for (let row = claim(rows); row < rows; row = claim(rows)) writeRow(args, row, <usize>load<u32>(args, 28));
}

function writeRow(args: usize, row: i32, keys: usize): void {
  const step = <usize>load<u32>(args, 4);
  const heads = load<i32>(args, 12);
  const keySize = load<i32>(args, 16);
  const valueSize = load<i32>(args, 20);
  const type = load<i32>(args, 24);
  const record = rowRecord(step, row);
  const cacheRow = cacheRowOf(record);
  const sequence = sequenceRecord(step, sequenceOf(record));
  const layer = <usize>load<u32>(args, 8);
  const bytes = headBytes(type, keySize, valueSize);
  const key = keys + <usize>row * <usize>(heads * keySize) * 4;
  const value = <usize>load<u32>(args, 32) + <usize>row * <usize>(heads * valueSize) * 4;
  for (let head: usize = 0; head < <usize>heads; head++) {
    const from = key + head * <usize>keySize * 4;
    const values = value + head * <usize>valueSize * 4;
    const block = blockOf(step, sequence, cacheRow, layer, head, bytes);
    writeHead(type, block, <usize>(cacheRow & 127), from, values, keySize, valueSize);
  }
}

/**
 * Rotates queries and keys and writes keys and values to the cache. Tape entry: the nine words of `cacheWrite`, then
 * [query heads, pairs, split, table, q, q out].
 */
export function ropeCache(args: usize, scratch: usize): void {
  const rows = load<i32>(args);
  const heads = load<i32>(args, 12);
  const size = load<i32>(args, 16);
  const queryHeads = load<i32>(args, 36);
  const pairs = load<i32>(args, 40);
  const split = load<i32>(args, 44) != 0;
  const keyBytes = <usize>(heads * size) * 4;
  const queryBytes = <usize>(queryHeads * size) * 4;
  for (let row = claim(rows); row < rows; row = claim(rows)) {
    const table = <usize>load<u32>(args, 48) + <usize>row * <usize>pairs * 8;
    const query = <usize>load<u32>(args, 52) + <usize>row * queryBytes;
    const queryOut = <usize>load<u32>(args, 56) + <usize>row * queryBytes;
    for (let head = 0; head < queryHeads; head++) {
      const offset = <usize>(head * size) * 4;
      rotateHead(query + offset, queryOut + offset, table, pairs, split, size);
    }
    const key = <usize>load<u32>(args, 28) + <usize>row * keyBytes;
    for (let head = 0; head < heads; head++) {
      const offset = <usize>(head * size) * 4;
      rotateHead(key + offset, scratch + offset, table, pairs, split, size);
    }
    writeRow(args, row, scratch - <usize>row * keyBytes);
  }
}

/** Tape entry: [moves, step, layer offset, heads, key size, value size, cache type]. Moves of a head run in order. */
export function cacheMove(args: usize): void {
  const step = <usize>load<u32>(args, 4);
  const layer = <usize>load<u32>(args, 8);
  const heads = load<i32>(args, 12);
  const keySize = load<i32>(args, 16);
  const valueSize = load<i32>(args, 20);
  const type = load<i32>(args, 24);
  const bytes = headBytes(type, keySize, valueSize);
  for (let head = claim(heads); head < heads; head = claim(heads)) {
    const moves = load<i32>(step, 12);
    let move = step + (<usize>load<u32>(step, 28) << 2);
    for (let i = 0; i < moves; i++) {
      const fromRow = load<i32>(move, 4);
      const toRow = load<i32>(move, 12);
      const from = blockOf(step, sequenceRecord(step, load<i32>(move)), fromRow, layer, <usize>head, bytes);
      const to = blockOf(step, sequenceRecord(step, load<i32>(move, 8)), toRow, layer, <usize>head, bytes);
      moveHead(type, from, <usize>(fromRow & 127), to, <usize>(toRow & 127), keySize, valueSize);
      move += 16;
    }
  }
}
