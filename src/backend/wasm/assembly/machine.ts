/**
 * The machine under the kernels: a control block in shared memory, claims of work, and the barrier between tape entries.
 * Word offsets are shared with `control.ts` on the host.
 *
 *   word   0 tapes submitted    16 tapes finished   32 arrivals at the barrier   48 barrier generation
 *         80 tapes up to this number are cancelled          96 tapes given to thread 0
 *        112 threads           113 scratch base    114 scratch bytes per thread
 *        115 sleepers at the barrier    116 sleepers for a tape, but thread 0    117 whether thread 0 sleeps for one
 *        118 generation at which a tape was handed over                          119 number of the tape the host waits for
 *        120 tapes submitted when the number of threads was last changed
 *        128… ring of 64 tape addresses            192… thread 0's ring          256… microseconds of the last 64 tapes
 *        320… per thread 16 words: of its share of the current entry's units, those that are claimed
 *
 * Words that different threads write often lie 64 bytes apart. Numbers of tapes and generations may wrap. A generation's
 * lowest bit tells whether the tape stops: no thread can be a generation behind, so all of them read the same.
 */
export const CONTROL: usize = 32768;
const SUBMITTED: usize = CONTROL;
const FINISHED: usize = CONTROL + 16 * 4;
const ARRIVALS: usize = CONTROL + 32 * 4;
const GENERATION: usize = CONTROL + 48 * 4;
const CANCEL: usize = CONTROL + 80 * 4;
const GIVEN: usize = CONTROL + 96 * 4;
const THREADS: usize = CONTROL + 112 * 4;
const SCRATCH_BASE: usize = CONTROL + 113 * 4;
const SCRATCH_BYTES: usize = CONTROL + 114 * 4;
const BARRIER_SLEEPERS: usize = CONTROL + 115 * 4;
const TAPE_SLEEPERS: usize = CONTROL + 116 * 4;
const THREAD_0_SLEEPS: usize = CONTROL + 117 * 4;
const HANDED_OVER: usize = CONTROL + 118 * 4;
const WANTED: usize = CONTROL + 119 * 4;
const SINCE: usize = CONTROL + 120 * 4;
const RING: usize = CONTROL + 128 * 4;
const GIVEN_RING: usize = CONTROL + 192 * 4;
const TIMES: usize = CONTROL + 256 * 4;
const CLAIMS: usize = CONTROL + 320 * 4;
const CLAIM_BYTES: usize = 64;

/** Loads of a spinning thread before it sleeps: about 20 to 50 microseconds. */
const SPINS: i32 = 20000;
/** Longer between tapes, for the host chooses a token meanwhile and must not have to wake anybody. */
const TAPE_SPINS: i32 = 100000;

export function threadCount(): i32 {
  return load<i32>(THREADS);
}

export function scratchOf(thread: i32): usize {
  return <usize>load<u32>(SCRATCH_BASE) + <usize>thread * <usize>load<u32>(SCRATCH_BYTES);
}

@inline
function isCancelled(): bool {
  return atomic.load<i32>(CANCEL) - atomic.load<i32>(FINISHED) > 0;
}

/** This instance's thread, and how many shares of the current entry it has seen to the end, its own first. */
let thisThread: i32 = 0;
let sharesDone: i32 = 0;

export function beginEntry(thread: i32): void {
  thisThread = thread;
  sharesDone = 0;
}

/**
 * The next unit of the current tape entry; `units` once there is none left or the tape is cancelled. Each thread has a
 * share of neighbouring units, so that what it reads is one stream, and then takes what others have left of theirs.
 */
export function claim(units: i32): i32 {
  if (isCancelled()) return units;
  const threads = load<i32>(THREADS);
  for (; sharesDone < threads; sharesDone++) {
    const sum = thisThread + sharesDone;
    const owner = sum < threads ? sum : sum - threads;
    const first = shareBegin(units, owner, threads);
    const count = shareBegin(units, owner + 1, threads) - first;
    const claims = CLAIMS + <usize>owner * CLAIM_BYTES;
    if (atomic.load<i32>(claims) >= count) continue;
    const unit = atomic.add<i32>(claims, 1);
    if (unit < count) return first + unit;
  }
  return units;
}

@inline
function shareBegin(units: i32, thread: i32, threads: i32): i32 {
  return <i32>((<i64>units * thread) / threads);
}

/** Numbers from 0 on, each given out once, for entries whose units are not counted beforehand. */
export function claimInOrder(): i32 {
  return isCancelled() ? i32.MAX_VALUE : atomic.add<i32>(CLAIMS, 1);
}

/** Counts this thread in at the barrier, which the last one opens. Returns the generation that has then passed. */
export function arrive(): i32 {
  const generation = atomic.load<i32>(GENERATION);
  if (atomic.add<i32>(ARRIVALS, 1) == load<i32>(THREADS) - 1) {
    atomic.store<i32>(ARRIVALS, 0);
    for (let thread: usize = 0; thread < <usize>load<i32>(THREADS); thread++) {
      atomic.store<i32>(CLAIMS + thread * CLAIM_BYTES, 0);
    }
    atomic.store<i32>(GENERATION, ((generation & ~1) + 2) | i32(isCancelled()));
    if (atomic.load<i32>(BARRIER_SLEEPERS) > 0) atomic.notify(GENERATION, -1);
  }
  return generation;
}

/** Waits for the barrier to open, at most `patience` microseconds (-1: for ever). False: it is closed yet. */
export function pass(generation: i32, patience: i32): bool {
  return hasChanged(GENERATION, generation, SPINS, BARRIER_SLEEPERS, patience);
}

/** At an open barrier: true where the tape is cancelled. */
export function mustStop(): bool {
  return (atomic.load<i32>(GENERATION) & 1) != 0;
}

function hasChanged(address: usize, value: i32, spins: i32, sleepers: usize, patience: i32): bool {
  for (let i: i32 = 0; i < spins; i++) if (atomic.load<i32>(address) != value) return true;
  atomic.add<i32>(sleepers, 1);
  let inTime = true;
  while (inTime && atomic.load<i32>(address) == value) {
    inTime = atomic.wait<i32>(address, value, <i64>patience * 1000) != AtomicWaitResult.TIMED_OUT;
  }
  atomic.sub<i32>(sleepers, 1);
  return inTime || atomic.load<i32>(address) != value;
}

/**
 * Waits for the next tape that this thread has a part in; returns its number, `seen` or above: where fewer threads compute
 * it sleeps, and passes over the tapes of that time. The host changes the number of threads when every tape is done, and
 * says before it from which tape on it holds: so a thread that counts now counts until it has run that tape.
 */
export function awaitTape(thread: i32, seen: i32): i32 {
  if (thread == 0) {
    hasChanged(GIVEN, seen, SPINS, THREAD_0_SLEEPS, -1);
    return seen;
  }
  for (;;) {
    hasChanged(SUBMITTED, seen, TAPE_SPINS, TAPE_SLEEPERS, -1);
    const threads = atomic.load<i32>(THREADS);
    if (thread >= threads) {
      atomic.wait<i32>(THREADS, threads, -1);
      continue;
    }
    const since = atomic.load<i32>(SINCE);
    if (seen - since >= 0) break;
    seen = since;
  }
  return seen;
}

/** The tape of this number; 0 asks the thread to leave. */
export function tapeOf(thread: i32, number: i32): usize {
  return <usize>load<u32>((thread == 0 ? GIVEN_RING : RING) + <usize>(number & 63) * 4);
}

/** Thread 0 gives its place in the tape away, between its arrival at a barrier and the barrier's opening. */
export function handOver(generation: i32): void {
  atomic.store<i32>(HANDED_OVER, generation);
}

export function handedOver(): i32 {
  return atomic.load<i32>(HANDED_OVER);
}

/** Called by thread 0, after the last barrier of a tape. */
export function finishTape(microseconds: i32): void {
  const finished = load<i32>(FINISHED);
  store<i32>(TIMES + <usize>(finished & 63) * 4, microseconds);
  // Numbers wrap: one that is never cancelled must not seem to lie ahead some day.
  const cancelled = atomic.load<i32>(CANCEL);
  if (finished - cancelled > 1 << 20) atomic.cmpxchg<i32>(CANCEL, cancelled, finished);
  atomic.store<i32>(FINISHED, finished + 1);
}

/** Wakes the host where it waits for a tape that is finished. */
export function tellHost(): void {
  if (load<i32>(FINISHED) - atomic.load<i32>(WANTED) >= 0) atomic.notify(FINISHED, -1);
}
