/**
 * The machine under the kernels: a control block in shared memory, claims of work, and the barrier between tape entries.
 * Word offsets are shared with `threads.ts` on the host.
 *
 *   word   0 tapes submitted    16 tapes finished   32 arrivals at the barrier   48 barrier generation
 *         64 next claim         80 ticket to cancel 96 stop (decided at a barrier) 112 threads  113 scratch base
 *        114 scratch bytes per thread   115 sleepers   128… ring of 64 tape addresses
 * Words that different threads write often lie 64 bytes apart.
 */
export const CONTROL: usize = 32768;
const SUBMITTED: usize = CONTROL;
const FINISHED: usize = CONTROL + 16 * 4;
const ARRIVALS: usize = CONTROL + 32 * 4;
const GENERATION: usize = CONTROL + 48 * 4;
const CLAIM: usize = CONTROL + 64 * 4;
const CANCEL: usize = CONTROL + 80 * 4;
const STOP: usize = CONTROL + 96 * 4;
const THREADS: usize = CONTROL + 112 * 4;
const SCRATCH_BASE: usize = CONTROL + 113 * 4;
const SCRATCH_BYTES: usize = CONTROL + 114 * 4;
const SLEEPERS: usize = CONTROL + 115 * 4;
const RING: usize = CONTROL + 128 * 4;

/** Loads of a spinning thread before it sleeps: about 20 to 50 microseconds. */
const SPINS: i32 = 20000;

export function threadCount(): i32 {
  return load<i32>(THREADS);
}

export function scratchOf(thread: i32): usize {
  return <usize>load<u32>(SCRATCH_BASE) + <usize>thread * <usize>load<u32>(SCRATCH_BYTES);
}

/** The next unit of the current tape entry; at least `units` once there is none left or the ticket is cancelled. */
// @ts-ignore: decorator
@inline
export function claim(units: i32): i32 {
  if (atomic.load<i32>(CANCEL) == load<i32>(FINISHED) + 1) return units;
  return atomic.add<i32>(CLAIM, 1);
}

/** Waits until every thread has come here. Returns true when the ticket is cancelled: all threads learn the same. */
export function barrier(): bool {
  const threads = load<i32>(THREADS);
  const generation = atomic.load<i32>(GENERATION);
  if (atomic.add<i32>(ARRIVALS, 1) == threads - 1) {
    atomic.store<i32>(ARRIVALS, 0);
    atomic.store<i32>(CLAIM, 0);
    atomic.store<i32>(STOP, i32(atomic.load<i32>(CANCEL) == load<i32>(FINISHED) + 1));
    atomic.store<i32>(GENERATION, generation + 1);
    if (threads > 1 && atomic.load<i32>(SLEEPERS) > 0) atomic.notify(GENERATION, -1);
  } else {
    waitForChange(GENERATION, generation);
  }
  return atomic.load<i32>(STOP) != 0;
}

function waitForChange(address: usize, value: i32): void {
  for (let i: i32 = 0; i < SPINS; i++) if (atomic.load<i32>(address) != value) return;
  atomic.add<i32>(SLEEPERS, 1);
  while (atomic.load<i32>(address) == value) atomic.wait<i32>(address, value, -1);
  atomic.sub<i32>(SLEEPERS, 1);
}

/** The tape that follows the `seen` already run, waiting for it; 0 asks the thread to leave. */
export function nextTape(seen: i32): usize {
  waitForChange(SUBMITTED, seen);
  return <usize>load<u32>(RING + <usize>(seen & 63) * 4);
}

/** Called by one thread, after the last barrier of a tape. */
export function finishTape(shared: bool): void {
  atomic.add<i32>(FINISHED, 1);
  if (shared) atomic.notify(FINISHED, -1);
}
