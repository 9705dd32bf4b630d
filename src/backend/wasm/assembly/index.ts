/** Walks tapes: flat lists of operations in memory, [operation, words in all, arguments…], ended by operation 0. */
import { attention } from './attention';
import { add, argmax, gatedSilu, selectRows } from './elementwise';
import { embed } from './embed';
import { barrier, finishTape, nextTape, scratchOf } from './machine';
import { matmul } from './matmul';
import { rmsNorm } from './norm';
import { pack, packFloats } from './pack';
import { quantize } from './quantize';
import { cacheMove, cacheWrite, rope, ropeCache, ropeTable } from './rope';
import { dot } from './simd';

/** Runs one entry's share of this thread. Numbers are `operationNumbers` in `tape.ts`. */
function runEntry(operation: i32, args: usize, scratch: usize): void {
  switch (operation) {
    case 1: embed(args); break;
    case 2: rmsNorm(args, scratch); break;
    case 3: quantize(args); break;
    case 4: matmul(args, scratch); break;
    case 5: ropeTable(args); break;
    case 6: rope(args); break;
    case 7: cacheWrite(args); break;
    case 8: ropeCache(args, scratch); break;
    case 9: attention(args, scratch); break;
    case 10: add(args); break;
    case 11: gatedSilu(args); break;
    case 12: selectRows(args); break;
    case 13: argmax(args); break;
    case 14: cacheMove(args); break;
    case 15: pack(args, scratch); break;
    case 16: packFloats(args); break;
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

/** A thread's life: tape after tape, until a tape address of 0. `seen` is the number of tapes already run. */
export function serve(thread: i32, seen: i32): void {
  const scratch = scratchOf(thread);
  for (;;) {
    const tape = nextTape(seen);
    if (tape == 0) return;
    walk(tape, scratch);
    if (thread == 0) finishTape(true);
    seen++;
  }
}

function walk(tape: usize, scratch: usize): void {
  for (let entry = tape; load<i32>(entry) != 0; entry += <usize>load<u32>(entry, 4) << 2) {
    runEntry(load<i32>(entry), entry + 8, scratch);
    if (barrier()) break;
  }
  // Nobody may start the next tape while another thread still decides whether to go on.
  barrier();
}

/**
 * Without shared memory there is one thread, the caller's. Runs entries until about `budget` of them are done and returns
 * where to go on, or 0 at the end of the tape or when it was cancelled.
 */
export function advance(entry: usize, budget: i32): usize {
  const scratch = scratchOf(0);
  for (let done = 0; done < budget; done++) {
    if (load<i32>(entry) == 0) break;
    runEntry(load<i32>(entry), entry + 8, scratch);
    if (barrier()) break;
    entry += <usize>load<u32>(entry, 4) << 2;
    if (load<i32>(entry) != 0 && done + 1 == budget) return entry;
  }
  finishTape(false);
  return 0;
}
