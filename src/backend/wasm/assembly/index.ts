/** Walks tapes: flat lists of operations in memory, [operation, words in all, arguments…], ended by operation 0. */
import { attention } from './attention';
import { activate, add, argmax, gatedValues, scale, selectRows, softcap } from './elementwise';
import { embed } from './embed';
import { expertMatmul } from './expert-matmul';
import { arrive, awaitTape, beginEntry, finishTape, handedOver, handOver, mustStop, pass, scratchOf, tapeOf, tellHost } from './machine';
import { matmul } from './matmul';
import { norm } from './norm';
import { pack, packFloats } from './pack';
import { quantize } from './quantize';
import { cacheMove, cacheWrite, rope, ropeCache, ropeTable } from './rope';
import { expertSum, route } from './routing';
import { dot } from './simd';

/** Runs one entry's share of this thread. Numbers are `operationNumbers` in `tape.ts`. */
function runEntry(operation: i32, args: usize, scratch: usize): void {
  switch (operation) {
    case 1: embed(args); break;
    case 2: norm(args, scratch); break;
    case 3: quantize(args); break;
    case 4: matmul(args, scratch); break;
    case 5: ropeTable(args); break;
    case 6: rope(args); break;
    case 7: cacheWrite(args); break;
    case 8: ropeCache(args, scratch); break;
    case 9: attention(args, scratch); break;
    case 10: add(args); break;
    case 11: gatedValues(args); break;
    case 12: selectRows(args); break;
    case 13: argmax(args); break;
    case 14: cacheMove(args); break;
    case 15: pack(args, scratch); break;
    case 16: packFloats(args); break;
    case 17: activate(args); break;
    case 18: scale(args); break;
    case 19: softcap(args); break;
    case 20: route(args, scratch); break;
    case 21: expertMatmul(args, scratch); break;
    case 22: expertSum(args); break;
  }
}

/**
 * How the host's relaxed dot product takes codes above 127: 0 as they are (VNNI), 1 as negative numbers, 2 with a saturating
 * step of 16 bits; also 2 where the module is compiled without it. Index into `dotVariants` of `dot-variant.ts`.
 */
export function dotVariant(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return 2;
  const sum = i32x4.extract_lane(dot(i8x16.splat(127), i8x16.splat(-1), i32x4.splat(0)), 0);
  return sum == 4 * 127 * 255 ? 0 : sum == -4 * 127 ? 1 : 2;
}

/** Milliseconds on a clock of the host. */
@external("env", "now")
declare function now(): f64;

/** Stands for what was not timed; the host knows it. */
const UNTIMED: i32 = 1000000000;

/** A thread's life: tape after tape, until a tape address of 0. */
export function serve(thread: i32): void {
  for (let seen = 0; ; seen++) {
    seen = awaitTape(thread, seen);
    const tape = tapeOf(thread, seen);
    if (tape == 0) return;
    if (thread != 0) {
      walk(tape, thread, 0, 0, -1);
      continue;
    }
    const began = now();
    walk(tape, 0, 0, 0, -1);
    // Of a tape that another thread began only the rest was seen.
    finishTape((tape & 1) != 0 ? UNTIMED : <i32>min((now() - began) * 1000, <f64>UNTIMED));
    tellHost();
  }
}

/**
 * Thread 0's part on the caller's own thread. Returns 0 when the tape is done, else where to go on, which takes this
 * function again or thread 0's worker: where others keep it waiting at a barrier for longer than `patience` microseconds,
 * and, if `stride` is not 0, at a look at the clock every so many entries, `forMicroseconds` after it began.
 */
export function advance(from: usize, stride: i32, forMicroseconds: i32, patience: i32): usize {
  const until = stride == 0 ? 0 : now() + <f64>forMicroseconds / 1000;
  const rest = walk(from, 0, stride, until, patience);
  if (rest == 0) finishTape(UNTIMED);
  return rest;
}

/**
 * `from`: an entry, or an odd number after it: then this thread's place has arrived at the entry's barrier already. Behind
 * the last barrier the tape is not read: as soon as thread 0 is there, it may be another one.
 */
function walk(from: usize, thread: i32, stride: i32, until: f64, patience: i32): usize {
  const scratch = scratchOf(thread);
  let entry = from & ~1;
  let hasArrived = (from & 1) != 0;
  let generation = handedOver();
  for (let left = stride; ; ) {
    const operation = load<i32>(entry);
    const next = entry + (<usize>load<u32>(entry, 4) << 2);
    const isLast = operation == 0 || load<i32>(next) == 0;
    if (!hasArrived) {
      beginEntry(thread);
      runEntry(operation, entry + 8, scratch);
      generation = arrive();
    }
    hasArrived = false;
    if (!pass(generation, patience)) break;
    if (isLast || mustStop()) return 0;
    if (--left == 0) {
      if (now() > until) break;
      left = stride;
    }
    entry = next;
  }
  handOver(generation);
  return entry | 1;
}
